// SPDX-License-Identifier: MIT
// From an endpoint to a Session: connect, read the greeting, EHLO (or HELO, or LHLO).
#pragma once

#include <memory>
#include <optional>

#include "smtpclient/session.hpp"
#include "smtpclient/targets.hpp"

namespace postrider::smtpclient {

struct Opened {
  std::unique_ptr<Session> session; // or:
  std::optional<Trouble> trouble;
  Opened() {}
};

// WAITS. `detect_loop`: a server that gives our own name is ourselves. The options must outlive the
// session.
ev::Task<Opened> open_session(ev::Loop& loop, const Options& options,
                              ev::Lent<const Endpoint> endpoint, bool detect_loop);

// The part behind the connection; for tests as well.
ev::Task<std::optional<Trouble>> greet(Session& session, bool detect_loop);

} // namespace postrider::smtpclient
