// SPDX-License-Identifier: MIT
#include "smtpclient/outcome_table.hpp"

#include "base/check.hpp"

namespace postrider::smtpclient {
namespace {

using smtp::Step;

struct CauseInfo {
  Cause cause;
  std::string_view name;
  std::string_view meaning;
};

constexpr CauseInfo kCauseTable[kCauses] = {
    {Cause::timeout, "timeout", "nothing came, or nothing was taken, within the time limit"},
    {Cause::closed, "closed", "the connection ended"},
    {Cause::refused, "refused", "nobody listens there"},
    {Cause::unreachable, "unreachable", "no way there, or the system failed the connection"},
    {Cause::protocol, "garbage",
     "what came is no reply: text, NUL, a code out of range; or a "
     "reply without a command"},
    {Cause::too_much, "too-long", "a reply beyond 2048 bytes in a line, 500 lines or 64 kB"},
    {Cause::local_resources, "local-resources", "no descriptors, memory or address here"},
    {Cause::local_data, "local-data", "a table could not be asked"},
    {Cause::cancelled, "interrupted", "this program was told to stop"},
    {Cause::reply_421, "421", "the server closes"},
    {Cause::reply_temporary, "4xx", "not now"},
    {Cause::reply_permanent, "5xx", "never"},
    {Cause::reply_odd, "odd", "a 2xx or 3xx reply that does not belong to the command"},
    {Cause::dns_temporary, "dns-temporary", "SERVFAIL, no answer, or a bogus signature"},
    {Cause::no_domain, "no-domain", "the domain does not exist"},
    {Cause::null_mx, "null-mx", "the domain takes no mail"},
    {Cause::no_address, "no-address", "no mail host has an address"},
    {Cause::no_address_yet, "no-address-yet", "the same, with smtp_defer_if_no_mx_address_found"},
    {Cause::dns_filtered, "dns-filtered", "smtp_dns_reply_filter leaves nothing of the answer"},
    {Cause::loop, "loop", "the destination is this host"},
    {Cause::loop_elsewhere, "loop-elsewhere", "a lesser host of the destination is this one"},
    {Cause::bad_nexthop, "bad-nexthop", "the next hop makes no sense"},
    {Cause::misconfigured, "misconfigured", "the relayhost or a fallback relay leads nowhere"},
    {Cause::cannot_bind, "cannot-bind", "smtp_bind_address, with smtp_bind_address_enforce"},
    {Cause::tls_required, "tls-required",
     "TLS is mandatory, and the server does not offer it, or refuses it"},
    {Cause::tls_failed, "tls-failed", "the handshake failed"},
    {Cause::tls_untrusted, "tls-untrusted",
     "the certificate does not prove what the level asks for"},
    {Cause::tls_policy, "tls-policy",
     "what protection is asked for cannot be found out, or cannot be given"},
    {Cause::tls_downgraded, "tls-downgraded",
     "the server had good TLS before: the mail waits for a while"},
    {Cause::auth_refused, "auth-refused", "the server refused the login (535 and its like)"},
    {Cause::auth_impossible, "auth-impossible",
     "no mechanism, no token, or a challenge that makes no sense"},
    {Cause::too_large, "too-large", "the message is beyond the server's SIZE"},
    {Cause::needs_smtputf8, "needs-smtputf8", "the server does not offer SMTPUTF8"},
    {Cause::content_unreadable, "content-unreadable", "the content could not be read"},
    {Cause::content_changed, "content-changed", "the content is not what was accepted"},
    {Cause::mime_nesting, "mime-nesting", "parts beyond mime_nesting_limit, and no 8BITMIME"},
    {Cause::forwarding_loop, "forwarding-loop", "flags=D, and it was delivered to the recipient"},
};

constexpr bool in_order() {
  for (int i = 0; i < kCauses; ++i)
    if (static_cast<int>(kCauseTable[i].cause) != i) return false;
  return true;
}
static_assert(in_order());

std::string_view word_of(mail::Verdict verdict) {
  switch (verdict) {
  case mail::Verdict::delivered: return "delivered";
  case mail::Verdict::deferred: return "deferred";
  case mail::Verdict::bounced: return "bounced";
  case mail::Verdict::in_doubt: return "unknown";
  }
  POSTRIDER_UNREACHABLE();
}

std::string_view word_of(mail::Scope scope) {
  switch (scope) {
  case mail::Scope::recipient: return "recipient";
  case mail::Scope::message: return "message";
  case mail::Scope::session: return "session";
  case mail::Scope::site: return "site";
  case mail::Scope::transport: return "transport";
  }
  POSTRIDER_UNREACHABLE();
}

// A failure that does not concern the mail.
std::string_view what_follows(Step step) {
  if (step == Step::ehlo) return "HELO";
  if (step == Step::xforward) return "MAIL";
  return step == Step::rset ? "next session" : "-";
}

} // namespace

std::string_view name_of(Step step) {
  constexpr std::string_view kNames[] = {"lookup",    "connect",  "greeting", "EHLO",      "HELO",
                                         "LHLO",      "STARTTLS", "AUTH",     "XFORWARD",  "MAIL",
                                         "RCPT",      "DATA",     "content",  "final-dot", "BDAT",
                                         "BDAT-LAST", "RSET",     "QUIT"};
  static_assert(std::size(kNames) == smtp::kSteps);
  return kNames[static_cast<int>(step)];
}

std::string_view name_of(Cause cause) { return kCauseTable[static_cast<int>(cause)].name; }
std::string_view meaning_of(Cause cause) { return kCauseTable[static_cast<int>(cause)].meaning; }

bool can_happen(Cause cause, Step step) {
  const bool talking = step >= Step::greeting;
  const bool has_reply = talking && step != Step::body;
  switch (cause) {
  case Cause::cancelled: return true;
  case Cause::timeout:
  case Cause::closed:
  case Cause::unreachable:
  case Cause::local_resources: return step != Step::lookup;
  case Cause::refused: return step == Step::connect;
  case Cause::protocol:
  case Cause::too_much:
  case Cause::local_data:
  case Cause::reply_421:
  case Cause::reply_temporary:
  case Cause::reply_permanent:
  case Cause::reply_odd: return has_reply;
  case Cause::dns_temporary:
  case Cause::no_domain:
  case Cause::null_mx:
  case Cause::no_address:
  case Cause::no_address_yet:
  case Cause::dns_filtered:
  case Cause::forwarding_loop:
  case Cause::bad_nexthop:
  case Cause::misconfigured: return step == Step::lookup;
  case Cause::cannot_bind: return step == Step::connect;
  case Cause::loop: return step == Step::lookup || step == Step::ehlo || step == Step::helo;
  case Cause::loop_elsewhere: return step == Step::ehlo || step == Step::helo;
  case Cause::tls_required:
  case Cause::tls_failed:
  case Cause::tls_untrusted:
  case Cause::tls_downgraded: return step == Step::starttls;
  case Cause::tls_policy: return step == Step::lookup || step == Step::starttls;
  case Cause::auth_refused:
  case Cause::auth_impossible: return step == Step::auth;
  case Cause::too_large:
  case Cause::needs_smtputf8: return step == Step::mail;
  case Cause::content_unreadable:
  case Cause::content_changed:
  case Cause::mime_nesting: return step == Step::body;
  }
  POSTRIDER_UNREACHABLE();
}

bool concerns_mail(Cause cause, Step step) {
  const bool refusal = cause >= Cause::reply_temporary && cause <= Cause::reply_odd;
  switch (step) {
  case Step::quit: return false;
  case Step::rset: return cause == Cause::cancelled;
  // HELO follows, or MAIL: more than that was not refused.
  case Step::ehlo:
  case Step::xforward: return !refusal;
  case Step::lookup:
  case Step::connect:
  case Step::greeting:
  case Step::helo:
  case Step::lhlo:
  case Step::starttls:
  case Step::auth:
  case Step::mail:
  case Step::rcpt:
  case Step::data:
  case Step::body:
  case Step::end_of_data:
  case Step::bdat:
  case Step::bdat_last: return true;
  }
  POSTRIDER_UNREACHABLE();
}

std::vector<TableLine> outcome_table() {
  std::vector<TableLine> lines;
  for (const smtp::StepInfo& info : smtp::kStepTable)
    for (const CauseInfo& cause : kCauseTable) {
      if (!can_happen(cause.cause, info.step)) continue;
      TableLine line{name_of(info.step), cause.name, "none", "", "-", "", cause.meaning};
      if (concerns_mail(cause.cause, info.step)) {
        const Row row = decide(cause.cause, info.step);
        line.outcome = word_of(row.verdict);
        line.dsn = row.dsn;
        line.next = row.next == Next::host ? "next host" : "-";
        line.scope = word_of(row.scope);
      } else {
        line.next = what_follows(info.step);
      }
      lines.push_back(line);
    }
  return lines;
}

} // namespace postrider::smtpclient
