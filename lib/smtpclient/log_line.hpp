// SPDX-License-Identifier: MIT
// The line that log tools read: to=<..>, relay=.., delay=.., delays=a/b/c/d, dsn=.., status=..
// (..). Pure but for log_delivery().
#pragma once

#include <string>

#include "mail/envelope.hpp"
#include "mail/outcome.hpp"

namespace postrider::smtpclient {

struct Delays {
  double before_queue = 0; // arrival until in memory
  double in_queue = 0;     // until this request began
  double connecting = 0;   // look-ups, connection, greeting
  double sending = 0;
  double total() const { return before_queue + in_queue + connecting + sending; }
};

// Seconds with at most `decimals` digits behind the point, and no more than two significant digits
// where that leaves any: 0.012 -> "0.01", 1.23 -> "1.2", 123.4 -> "123".
std::string format_seconds(double seconds, int decimals);
// "mx.example[192.0.2.1]:25", "host[/path]", "none"
std::string format_relay(const mail::Outcome& outcome);
std::string_view format_status(mail::Verdict verdict); // "sent", "deferred", "bounced"

void log_delivery(std::string_view id, const mail::Recipient& recipient,
                  const mail::Outcome& outcome, const Delays& delays, std::size_t connection_uses,
                  int decimals);

} // namespace postrider::smtpclient
