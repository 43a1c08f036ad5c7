// SPDX-License-Identifier: MIT
// The opening of a dialogue: the server's greeting, then EHLO, HELO or LHLO, and what is made of
// what the server announces (PIX firewalls, keywords to overlook).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "smtpclient/login.hpp"
#include "smtpclient/session.hpp"

namespace postrider::smtpclient {

// For whom a session is opened.
struct Occasion {
  std::string id;           // of the message, for the log
  std::string nexthop;      // as in the request
  std::string destination;  // its domain or host, without brackets and port
  std::int64_t arrival = 0; // of the message; unix time, microseconds
  bool detect_loop = false; // a server that gives our own name is ourselves
  bool best_host = true;    // the destination has no better host: a loop is for ever
  TlsPlanPtr plan;          // for TLS; not asked by greet()
  LoginPtr login;           // who we are to the server; null: a stranger
  TlsSubjectPtr subject;    // of reports on TLS; null: none
};

// WAITS. A session that comes back with a Trouble is good for a goodbye only.
ev::Task<std::optional<Trouble>> greet(Session& session, ev::Lent<const Occasion> occasion);
// The greeting's second half alone: EHLO, and HELO when that is refused. Behind STARTTLS.
ev::Task<std::optional<Trouble>> say_hello(Session& session, ev::Lent<const Occasion> occasion,
                                           bool ehlo);

} // namespace postrider::smtpclient
