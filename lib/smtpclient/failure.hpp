// SPDX-License-Identifier: MIT
// THE outcome table: what went wrong, at which step -> what happens to the mail. Nowhere else is
// decided whether mail is delivered, deferred, bounced, given to the next host, or in doubt. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "mail/outcome.hpp"
#include "smtp/reply.hpp"
#include "smtp/steps.hpp"

namespace postrider::smtpclient {

enum class Cause : std::uint8_t {
  // the connection
  timeout,
  closed,
  refused,
  unreachable,
  protocol,
  too_much,
  local_resources,
  local_data, // a table that the dialogue depends on
  cancelled,
  // a reply that is no success
  reply_421,
  reply_temporary,
  reply_permanent,
  reply_odd,
  // where to
  dns_temporary,
  no_domain,
  null_mx,
  no_address,
  no_address_yet,
  dns_filtered,
  loop,
  loop_elsewhere, // a lesser host of the destination is ourselves
  bad_nexthop,
  misconfigured, // a relay that the administrator named leads nowhere
  cannot_bind,
  // the protection of the session
  tls_required,
  tls_failed,
  tls_untrusted,
  tls_policy,
  tls_downgraded,
  auth_refused, // with smtp_sasl_auth_soft_bounce = no it is a reply_permanent
  auth_impossible,
  // the message
  too_large,
  needs_smtputf8,
  content_unreadable,
  content_changed,
  mime_nesting,
  forwarding_loop,
};
inline constexpr int kCauses = 37;

struct Trouble {
  Cause cause = Cause::closed;
  smtp::Step step = smtp::Step::connect;
  smtp::Reply reply;  // for Cause::reply_*
  std::string detail; // "Connection refused"; for the log
};

enum class Next : std::uint8_t { none, host }; // may another host of the destination be tried now?

struct Row {
  mail::Verdict verdict;
  mail::Scope scope;
  Next next;
  std::string_view dsn; // used when no reply gives a better one
};
// Total: every pair has a row.
Row decide(Cause cause, smtp::Step step);

Cause to_cause(const Error& error);
Cause to_cause(const smtp::Reply& reply); // of a reply that was not the one hoped for
Trouble trouble_from(const Error& error, smtp::Step step);
Trouble trouble_from(const smtp::Reply& reply, smtp::Step step);
// Of a look-up that failed: logs it, and makes it our own trouble and not the server's.
Error table_error(const Error& error, std::string_view parameter);

// Of notify_classes: "protocol" when the server did not understand us or we not it, "data" when our
// own data failed; empty: no reason to wake anybody.
std::string_view notice_class(const Trouble& trouble);

// Who we talked to, for the texts.
struct Peer {
  std::string host = "none"; // as in relay=host[address]:port
  std::string address;
  std::uint16_t port = 0;
  bool operator==(const Peer&) const = default;
  std::string shown() const; // "host[address]", or "none"
  std::string shown_with_port() const;
};

// The record for one recipient. `at` is left 0.
mail::Outcome to_outcome(const Trouble& trouble, const Peer& peer);
mail::Outcome delivered(const smtp::Reply& reply, const Peer& peer);

} // namespace postrider::smtpclient
