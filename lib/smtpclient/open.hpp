// SPDX-License-Identifier: MIT
// From an endpoint to a Session: connect, and be greeted.
#pragma once

#include <memory>
#include <optional>

#include "smtpclient/greet.hpp"
#include "smtpclient/targets.hpp"

namespace postrider::smtpclient {

// A session, or a Trouble; with the Trouble there is a session when the server is owed a goodbye.
struct Opened {
  std::unique_ptr<Session> session;
  std::optional<Trouble> trouble;
  Opened() {}
};

// WAITS. Options and tables must outlive the session.
ev::Task<Opened> open_session(ev::Loop& loop, const Options& options, Tables& tables,
                              ev::Lent<const Endpoint> endpoint, ev::Lent<const Occasion> occasion);

} // namespace postrider::smtpclient
