// SPDX-License-Identifier: MIT
// AUTH (RFC 4954).
#include "session.hpp"

namespace postrider::smtpd {

ev::Task<void> Session::auth(std::string_view) {
  fail(503, "5.5.1", "Error: authentication not enabled");
  co_return;
}

} // namespace postrider::smtpd
