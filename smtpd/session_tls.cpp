// SPDX-License-Identifier: MIT
// STARTTLS (RFC 3207), and TLS from the first byte.
#include "session.hpp"

namespace postrider::smtpd {

ev::Task<void> Session::starttls() {
  fail(502, "5.5.1", "Error: command not implemented");
  co_return;
}

} // namespace postrider::smtpd
