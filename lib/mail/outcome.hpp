// SPDX-License-Identifier: MIT
// What became of one recipient in one attempt. This record is what the queue stores, the log
// prints, `postrider why` shows and bounce reports: there is no second copy of these facts.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace postrider::mail {

enum class Verdict : std::uint8_t {
  delivered,
  deferred, // try again later
  bounced,  // never
  in_doubt, // the final dot was sent and no reply read: may have been delivered; tried again later
};
constexpr Verdict highest(Verdict) { return Verdict::in_doubt; }

// How far bad news reaches: decides what qmgr backs off.
enum class Scope : std::uint8_t { recipient, message, session, site, transport };
constexpr Scope highest(Scope) { return Scope::transport; }

// What holds a recipient back now. `postrider why` names it.
enum class Gate : std::uint8_t {
  none, // in delivery, or may go at once
  retry_timer,
  destination_backed_off,
  concurrency_full,
  rate_limit,
  held,
  tls_policy,
  no_agent,   // transport unknown or its processes are down
  queue_full, // waits on disk until there is room in memory
};
constexpr Gate highest(Gate) { return Gate::queue_full; }
std::string_view to_string(Gate gate);

struct Outcome {
  Verdict verdict = Verdict::deferred;
  Scope scope = Scope::recipient;
  std::string dsn;   // "4.4.1": RFC 3463, always set
  std::string text;  // for people: "host mx[192.0.2.1] said: 450 ... (in reply to RCPT TO command)"
  std::string reply; // the remote reply verbatim, lines joined by " / "; empty when none was read
  std::string host;  // remote host name; "none" when there was no connection
  std::string address; // remote address, without brackets
  std::uint16_t port = 0;
  std::string tls;        // what protected the session; empty: clear text
  std::string tls_status; // by which level: "may", "may:none", "!verify"; empty: never came so far
  std::int64_t at = 0;    // unix time, microseconds

  bool operator==(const Outcome&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("verdict", s.verdict);
    v("scope", s.scope);
    v("dsn", s.dsn);
    v("text", s.text);
    v.optional("reply", s.reply);
    v.optional("host", s.host);
    v.optional("address", s.address);
    v.optional("port", s.port);
    v.optional("tls", s.tls);
    v.optional("tls_status", s.tls_status);
    v.optional("at", s.at);
  }
};

} // namespace postrider::mail
