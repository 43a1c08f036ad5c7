// SPDX-License-Identifier: MIT
#include "smtpclient/log_line.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/check.hpp"
#include "base/log.hpp"
#include "mail/address.hpp"

namespace postrider::smtpclient {

std::string format_seconds(double seconds, int decimals) {
  seconds = std::max(seconds, 0.0);
  int digits = 0; // behind the point
  if (seconds < 10) digits = 1;
  for (double rest = seconds * 10; digits > 0 && digits < decimals && rest < 10; rest *= 10)
    ++digits;
  digits = std::min(digits, decimals);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, std::min(seconds, 1e15));
  std::string out = buffer;
  if (out.find('.') != std::string::npos) {
    out.erase(out.find_last_not_of('0') + 1);
    if (out.back() == '.') out.pop_back();
  }
  return out;
}

std::string format_relay(const mail::Outcome& outcome) {
  if (outcome.address.empty()) return outcome.host.empty() ? "none" : outcome.host;
  std::string out = outcome.host + "[" + outcome.address + "]";
  if (outcome.port != 0) out += ":" + std::to_string(outcome.port);
  return out;
}

std::string_view format_status(mail::Verdict verdict) {
  switch (verdict) {
  case mail::Verdict::delivered: return "sent";
  case mail::Verdict::bounced: return "bounced";
  case mail::Verdict::deferred:
  case mail::Verdict::in_doubt: return "deferred";
  }
  POSTRIDER_UNREACHABLE();
}

void log_delivery(std::string_view id, const mail::Recipient& recipient,
                  const mail::Outcome& outcome, const Delays& d, std::size_t connection_uses,
                  int decimals) {
  const std::string to = mail::to_external(recipient.address);
  const std::string relay = format_relay(outcome);
  const std::string delay = format_seconds(d.total(), decimals);
  const std::string delays =
      format_seconds(d.before_queue, decimals) + "/" + format_seconds(d.in_queue, decimals) + "/" +
      format_seconds(d.connecting, decimals) + "/" + format_seconds(d.sending, decimals);
  const std::string_view status = format_status(outcome.verdict);
  std::string text;
  text.reserve(256);
  text.append("to=<").append(to).append(">, relay=").append(relay);
  if (connection_uses > 1) text.append(", conn_use=").append(std::to_string(connection_uses));
  text.append(", delay=").append(delay).append(", delays=").append(delays);
  text.append(", dsn=").append(outcome.dsn).append(", status=").append(status);
  text.append(" (").append(outcome.text).append(")");
  log::event("delivery", id, text,
             {{"to", to},
              {"relay", relay},
              {"delay", delay},
              {"delays", delays},
              {"dsn", outcome.dsn},
              {"status", status},
              {"text", outcome.text}});
}

} // namespace postrider::smtpclient
