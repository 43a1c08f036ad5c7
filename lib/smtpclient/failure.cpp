// SPDX-License-Identifier: MIT
#include "smtpclient/failure.hpp"

#include <cerrno>

#include "base/check.hpp"
#include "base/log.hpp"
#include "mail/status.hpp"

namespace postrider::smtpclient {

using mail::Scope;
using mail::Verdict;
using smtp::Step;

Row decide(Cause cause, Step step) {
  const bool dot = smtp::ends_content(step); // it may have been read: duplicate possible
  const bool early = step <= Step::auth;     // no message has been named yet
  const Scope session_or_site = early ? Scope::site : Scope::session;
  switch (cause) {
  case Cause::timeout:
  case Cause::closed:
    if (dot) return {Verdict::in_doubt, Scope::session, Next::none, "4.4.2"};
    return {Verdict::deferred, session_or_site, Next::host,
            step == Step::connect ? "4.4.1" : "4.4.2"};
  case Cause::refused:
  case Cause::unreachable:
    if (dot) return {Verdict::in_doubt, Scope::session, Next::none, "4.4.2"};
    return {Verdict::deferred, session_or_site, Next::host, "4.4.1"};
  case Cause::protocol:
  case Cause::too_much:
    if (dot) return {Verdict::in_doubt, Scope::session, Next::none, "4.5.0"};
    return {Verdict::deferred, session_or_site, Next::host, "4.5.0"};
  // Our own trouble is never the mail's, and another host would see it again.
  case Cause::local_resources:
    if (dot) return {Verdict::in_doubt, Scope::session, Next::none, "4.3.0"};
    return {Verdict::deferred, Scope::transport, Next::none, "4.3.0"};
  case Cause::local_data:
    if (dot) return {Verdict::in_doubt, Scope::session, Next::none, "4.3.0"};
    return {Verdict::deferred, Scope::transport, Next::host, "4.3.0"};
  case Cause::cancelled:
    if (dot) return {Verdict::in_doubt, Scope::session, Next::none, "4.3.2"};
    return {Verdict::deferred, Scope::transport, Next::none, "4.3.2"};

  case Cause::reply_421: return {Verdict::deferred, session_or_site, Next::host, "4.0.0"};
  case Cause::reply_temporary:
    if (early) return {Verdict::deferred, Scope::site, Next::host, "4.0.0"};
    return {Verdict::deferred, step == Step::rcpt ? Scope::recipient : Scope::message, Next::host,
            "4.0.0"};
  case Cause::reply_permanent:
    if (early) return {Verdict::bounced, Scope::site, Next::none, "5.0.0"};
    return {Verdict::bounced, step == Step::rcpt ? Scope::recipient : Scope::message, Next::none,
            "5.0.0"};
  case Cause::reply_odd: // 2xx or 3xx where it makes no sense
    if (dot) return {Verdict::in_doubt, Scope::session, Next::none, "4.5.0"};
    return {Verdict::deferred, session_or_site, Next::host, "4.5.0"};

  case Cause::dns_temporary: return {Verdict::deferred, Scope::site, Next::none, "4.4.3"};
  case Cause::no_domain: return {Verdict::bounced, Scope::site, Next::none, "5.4.4"};
  case Cause::null_mx: return {Verdict::bounced, Scope::site, Next::none, "5.1.10"};
  case Cause::no_address: return {Verdict::bounced, Scope::site, Next::none, "5.4.4"};
  case Cause::no_address_yet: return {Verdict::deferred, Scope::site, Next::none, "4.4.4"};
  case Cause::dns_filtered: return {Verdict::deferred, Scope::site, Next::none, "4.7.0"};
  case Cause::loop: return {Verdict::bounced, Scope::site, Next::none, "5.4.6"};
  case Cause::loop_elsewhere: return {Verdict::deferred, Scope::site, Next::host, "4.4.0"};
  case Cause::bad_nexthop: return {Verdict::deferred, Scope::transport, Next::none, "4.3.5"};
  case Cause::misconfigured: return {Verdict::deferred, Scope::site, Next::none, "4.3.5"};
  case Cause::cannot_bind: return {Verdict::deferred, Scope::transport, Next::host, "4.4.0"};

  // Never the mail's fault, and never a reason to do with less protection.
  case Cause::tls_required:
  case Cause::tls_downgraded: return {Verdict::deferred, Scope::site, Next::host, "4.7.4"};
  case Cause::tls_failed:
  case Cause::tls_untrusted:
  case Cause::tls_policy: return {Verdict::deferred, Scope::site, Next::host, "4.7.5"};
  case Cause::auth_refused: return {Verdict::deferred, Scope::site, Next::host, "4.7.8"};
  case Cause::auth_impossible: return {Verdict::deferred, Scope::site, Next::host, "4.7.0"};

  case Cause::too_large: return {Verdict::bounced, Scope::message, Next::none, "5.3.4"};
  case Cause::needs_smtputf8: return {Verdict::bounced, Scope::message, Next::host, "5.6.7"};
  case Cause::content_unreadable:
  case Cause::content_changed: return {Verdict::deferred, Scope::message, Next::none, "4.3.0"};
  case Cause::mime_nesting: return {Verdict::bounced, Scope::message, Next::none, "5.6.0"};
  case Cause::forwarding_loop: return {Verdict::bounced, Scope::message, Next::none, "5.4.6"};
  }
  POSTRIDER_UNREACHABLE();
}

Cause to_cause(const Error& error) {
  switch (error.kind()) {
  case ErrorKind::timeout: return Cause::timeout;
  case ErrorKind::closed: return Cause::closed;
  case ErrorKind::refused: return Cause::refused;
  case ErrorKind::protocol: return Cause::protocol;
  case ErrorKind::limit: return Cause::too_much;
  case ErrorKind::cancelled: return Cause::cancelled;
  case ErrorKind::busy: return Cause::local_resources;
  case ErrorKind::config: return Cause::local_data;
  case ErrorKind::not_found: return Cause::unreachable;
  case ErrorKind::io: break;
  }
  switch (error.saved_errno()) {
  case EMFILE:
  case ENFILE:
  case ENOBUFS:
  case ENOMEM: return Cause::local_resources;
  default: return Cause::unreachable;
  }
}

Cause to_cause(const smtp::Reply& reply) {
  if (reply.code == 421) return Cause::reply_421;
  if (reply.temporary()) return Cause::reply_temporary;
  if (reply.permanent()) return Cause::reply_permanent;
  return Cause::reply_odd;
}

Trouble trouble_from(const Error& error, Step step) {
  return Trouble{to_cause(error), step, {}, error.text()};
}

Trouble trouble_from(const smtp::Reply& reply, Step step) {
  return Trouble{to_cause(reply), step, reply, {}};
}

std::string_view notice_class(const Trouble& trouble) {
  switch (trouble.cause) {
  case Cause::reply_421:
  case Cause::reply_temporary:
  case Cause::reply_permanent:
  case Cause::reply_odd: {
    // RFC 5321 section 4.2.1: x0z is about syntax and order; 555 about parameters.
    const int code = trouble.reply.code;
    const bool our_fault = code < 400 || code > 599 || code == 555 || (code >= 500 && code < 510);
    return our_fault ? "protocol" : "";
  }
  case Cause::protocol:
  case Cause::too_much: return "protocol";
  case Cause::local_data:
  case Cause::content_unreadable:
  case Cause::content_changed: return "data";
  case Cause::timeout:
  case Cause::closed:
  case Cause::refused:
  case Cause::unreachable:
  case Cause::local_resources:
  case Cause::cancelled:
  case Cause::dns_temporary:
  case Cause::no_domain:
  case Cause::null_mx:
  case Cause::no_address:
  case Cause::no_address_yet:
  case Cause::dns_filtered:
  case Cause::misconfigured:
  case Cause::cannot_bind:
  case Cause::loop:
  case Cause::loop_elsewhere:
  case Cause::bad_nexthop:
  case Cause::tls_required:
  case Cause::tls_failed:
  case Cause::tls_untrusted:
  case Cause::tls_policy:
  case Cause::tls_downgraded:
  case Cause::auth_refused:
  case Cause::auth_impossible:
  case Cause::too_large:
  case Cause::needs_smtputf8:
  case Cause::mime_nesting:
  case Cause::forwarding_loop: return "";
  }
  POSTRIDER_UNREACHABLE();
}

Error table_error(const Error& error, std::string_view parameter) {
  if (error.kind() == ErrorKind::cancelled) return error;
  log::warning(std::string(parameter) + ": " + error.text());
  return Error(ErrorKind::config, error.text());
}

std::string Peer::shown() const { return address.empty() ? host : host + "[" + address + "]"; }

std::string Peer::shown_with_port() const {
  return port == 0 ? shown() : shown() + ":" + std::to_string(port);
}

namespace {

std::string text_of(const Trouble& t, const Peer& peer) {
  const smtp::StepInfo& step = smtp::info(t.step);
  switch (t.cause) {
  case Cause::timeout:
    if (t.step == Step::connect)
      return "connect to " + peer.shown_with_port() + ": Connection timed out";
    return "conversation with " + peer.shown() + " timed out while " + std::string(step.doing);
  case Cause::closed:
    if (t.step == Step::connect) return "connect to " + peer.shown_with_port() + ": " + t.detail;
    return "lost connection with " + peer.shown() + " while " + std::string(step.doing);
  case Cause::refused:
  case Cause::unreachable:
  case Cause::local_resources:
    if (t.step == Step::connect) return "connect to " + peer.shown_with_port() + ": " + t.detail;
    return t.detail + " while " + std::string(step.doing) + " with " + peer.shown();
  case Cause::protocol:
  case Cause::too_much:
    return "Protocol error: " + peer.shown() + ": " + t.detail + " while " +
           std::string(step.doing);
  case Cause::local_data: return "local data error while talking to " + peer.shown();
  case Cause::cancelled:
    return "delivery interrupted while " + std::string(step.doing) +
           (peer.address.empty() ? std::string() : " with " + peer.shown());
  case Cause::reply_421:
  case Cause::reply_temporary:
  case Cause::reply_permanent:
  case Cause::auth_refused:
    if (t.step == Step::auth && !t.detail.empty()) return t.detail;
    if (t.step == Step::auth)
      return "SASL authentication failed; server " + peer.shown() + " said: " + t.reply.joined(" ");
    if (t.step <= Step::lhlo)
      return "host " + peer.shown() + " refused to talk to me: " + t.reply.joined(" ");
    return "host " + peer.shown() + " said: " + t.reply.joined(" ") + " (in reply to " +
           std::string(step.request) + ")";
  case Cause::reply_odd:
    return "Protocol error: host " + peer.shown() + " said: " + t.reply.joined(" ") +
           " (in reply to " + std::string(step.request) + ")";
  case Cause::dns_temporary:
  case Cause::no_domain:
  case Cause::null_mx:
  case Cause::no_address:
  case Cause::no_address_yet:
  case Cause::dns_filtered:
  case Cause::loop:
  case Cause::loop_elsewhere:
  case Cause::bad_nexthop:
  case Cause::misconfigured:
  case Cause::cannot_bind:
  case Cause::content_unreadable:
  case Cause::content_changed:
  case Cause::mime_nesting:
  case Cause::forwarding_loop:
  case Cause::tls_required:
  case Cause::tls_failed:
  case Cause::tls_untrusted:
  case Cause::tls_policy:
  case Cause::tls_downgraded:
  case Cause::auth_impossible:
  case Cause::too_large:
  case Cause::needs_smtputf8: return t.detail;
  }
  POSTRIDER_UNREACHABLE();
}

void put_peer(mail::Outcome& outcome, const Peer& peer) {
  outcome.host = peer.host;
  outcome.address = peer.address;
  outcome.port = peer.port;
}

} // namespace

mail::Outcome to_outcome(const Trouble& trouble, const Peer& peer) {
  const Row row = decide(trouble.cause, trouble.step);
  mail::Outcome outcome;
  outcome.verdict = row.verdict;
  outcome.scope = row.scope;
  outcome.dsn = row.dsn;
  // The server's own enhanced code, unless it contradicts what we do about it.
  const bool says_no = trouble.reply.temporary() || trouble.reply.permanent();
  const std::string given = says_no ? trouble.reply.status() : std::string();
  if (!given.empty() && given[0] == outcome.dsn[0])
    outcome.dsn = given;
  else if (!given.empty())
    outcome.dsn = mail::with_class(given, outcome.dsn[0]);
  outcome.text = text_of(trouble, peer);
  if (trouble.reply.code != 0) outcome.reply = trouble.reply.joined(" ");
  // Who never answered has relayed nothing and said nothing.
  put_peer(outcome, trouble.step > Step::connect ? peer : Peer());
  return outcome;
}

mail::Outcome delivered(const smtp::Reply& reply, const Peer& peer) {
  mail::Outcome outcome;
  outcome.verdict = Verdict::delivered;
  outcome.dsn = reply.status();
  outcome.text = reply.joined(" ");
  outcome.reply = reply.joined(" ");
  put_peer(outcome, peer);
  return outcome;
}

} // namespace postrider::smtpclient
