// SPDX-License-Identifier: MIT
#include "mail/log_line.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/check.hpp"
#include "base/log.hpp"
#include "mail/address.hpp"
#include "mail/status.hpp"

namespace postrider::mail {

std::string log_address(std::string_view address, const LogStyle& style) {
  if (address.empty() || style.internal_addresses) return std::string(address);
  return to_external(address);
}

std::string format_delay(std::int64_t micros, int decimals) {
  constexpr std::int64_t kSecond = 1'000'000;
  micros = std::max<std::int64_t>(micros, 0);
  std::int64_t unit = kSecond; // what the last digit stands for
  for (int i = 0; i < decimals; ++i)
    unit /= 10;
  if (micros >= 10 * kSecond)
    unit = kSecond;
  else if (micros >= kSecond)
    unit = std::max(unit, kSecond / 10);
  else
    while (micros >= 100 * unit)
      unit *= 10;
  const std::int64_t rounded = micros + (unit > 1 ? unit / 2 : 0);
  std::string out = std::to_string(rounded / kSecond);
  std::int64_t rest = rounded % kSecond / unit * unit;
  if (rest > 0) out.push_back('.');
  for (std::int64_t place = kSecond / 10; rest > 0; place /= 10) {
    out.push_back(static_cast<char>('0' + rest / place));
    rest %= place;
  }
  return out;
}

std::string format_relay(const Outcome& outcome) {
  if (outcome.address.empty()) return outcome.host.empty() ? "none" : outcome.host;
  std::string out = outcome.host + "[" + outcome.address + "]";
  if (outcome.port != 0) out += ":" + std::to_string(outcome.port);
  return out;
}

std::string_view format_status(Verdict verdict, const LogStyle& style) {
  switch (verdict) {
  case Verdict::delivered: return "sent";
  case Verdict::bounced: return style.soft_bounce ? "SOFTBOUNCE" : "bounced";
  case Verdict::deferred:
  case Verdict::in_doubt: return "deferred";
  }
  POSTRIDER_UNREACHABLE();
}

namespace {

struct Line {
  Line(const Recipient& recipient, const Outcome& outcome, const Delays& d, std::size_t uses,
       const LogStyle& style)
      : to(log_address(recipient.address, style)), relay(format_relay(outcome)),
        delay(format_delay(d.total(), style.decimals)), dsn(outcome.dsn),
        status(format_status(outcome.verdict, style)) {
    if (!recipient.original.empty() && !iequals(recipient.original, recipient.address))
      original = log_address(recipient.original, style);
    for (const std::int64_t part : {d.before_queue, d.in_queue, d.connecting, d.sending})
      delays.append(delays.empty() ? "" : "/").append(format_delay(part, style.decimals));
    if (outcome.verdict == Verdict::bounced && style.soft_bounce && is_status(dsn))
      dsn = with_class(dsn, '4');
    text.reserve(256);
    text.append("to=<").append(to).append(">");
    if (!original.empty()) text.append(", orig_to=<").append(original).append(">");
    text.append(", relay=").append(relay);
    if (uses > 1) text.append(", conn_use=").append(std::to_string(uses));
    text.append(", delay=").append(delay).append(", delays=").append(delays);
    if (!outcome.tls_status.empty()) text.append(", tls=").append(outcome.tls_status);
    text.append(", dsn=").append(dsn).append(", status=").append(status);
    text.append(" (").append(outcome.text).append(")");
  }
  std::string to, original, relay, delay, delays, dsn;
  std::string_view status;
  std::string text;
};

} // namespace

std::string delivery_text(const Recipient& recipient, const Outcome& outcome, const Delays& delays,
                          std::size_t connection_uses, const LogStyle& style) {
  return Line(recipient, outcome, delays, connection_uses, style).text;
}

void log_delivery(std::string_view id, const Recipient& recipient, const Outcome& outcome,
                  const Delays& delays, std::size_t connection_uses, const LogStyle& style) {
  const Line line(recipient, outcome, delays, connection_uses, style);
  log::event("delivery", id, line.text,
             {{"to", line.to},
              {"orig_to", line.original},
              {"relay", line.relay},
              {"delay", line.delay},
              {"delays", line.delays},
              {"tls", outcome.tls_status},
              {"dsn", line.dsn},
              {"status", line.status},
              {"text", outcome.text}});
}

} // namespace postrider::mail
