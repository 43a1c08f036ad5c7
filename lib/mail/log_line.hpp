// SPDX-License-Identifier: MIT
// What log tools read of a delivery: to=<..>, orig_to=<..>, relay=.., conn_use=.., delay=..,
// delays=a/b/c/d, tls=.., dsn=.., status=.. (..). One form for agents and for what qmgr decides
// itself. Pure but for log_delivery().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mail/envelope.hpp"
#include "mail/outcome.hpp"

namespace postrider::mail {

struct LogStyle {
  int decimals = 2;                // delay_logging_resolution_limit: 0 to 6
  bool internal_addresses = false; // info_log_address_format
  bool soft_bounce = false;        // bounced is not the end
};

// An address as from=<> and to=<> have it. The empty one stays empty.
std::string log_address(std::string_view address, const LogStyle& style);

// Seconds. Ten and more are whole; below, one or two significant digits as far as `decimals` allow:
// 12345 us is "0.01" with 2 decimals and "0.012" with 6. What is negative (clocks jump) is 0.
std::string format_delay(std::int64_t micros, int decimals);

// "mx.example[192.0.2.1]:25", "host[path]" of a UNIX socket, "none"
std::string format_relay(const Outcome& outcome);
// "sent", "deferred", "bounced", "SOFTBOUNCE"
std::string_view format_status(Verdict verdict, const LogStyle& style);

struct Delays {                  // microseconds
  std::int64_t before_queue = 0; // arrival until in memory
  std::int64_t in_queue = 0;     // until this delivery began
  std::int64_t connecting = 0;   // look-ups, connection, greeting
  std::int64_t sending = 0;
  std::int64_t total() const { return before_queue + in_queue + connecting + sending; }
};

// The text behind "ID: ".
std::string delivery_text(const Recipient& recipient, const Outcome& outcome, const Delays& delays,
                          std::size_t connection_uses, const LogStyle& style);
void log_delivery(std::string_view id, const Recipient& recipient, const Outcome& outcome,
                  const Delays& delays, std::size_t connection_uses, const LogStyle& style);

} // namespace postrider::mail
