// SPDX-License-Identifier: MIT
// From an endpoint to a Session: connect, be greeted, be as safe as the policy asks, log in.
#pragma once

#include <memory>
#include <optional>

#include "smtpclient/authenticate.hpp"
#include "smtpclient/starttls.hpp"
#include "smtpclient/targets.hpp"

namespace postrider::smtpclient {

// A session, or a Trouble; with the Trouble there is a session when the server is owed a goodbye.
struct Opened {
  std::unique_ptr<Session> session;
  std::optional<Trouble> trouble;
  Opened() {}
};

// WAITS. Options and tables must outlive the session. `authenticator` may be null when nothing
// finds an Occasion::login.
ev::Task<Opened> open_session(ev::Loop& loop, const Options& options, Tables& tables,
                              TlsClient& tls, Authenticator* authenticator,
                              ev::Lent<const Endpoint> endpoint, ev::Lent<const Occasion> occasion);

} // namespace postrider::smtpclient
