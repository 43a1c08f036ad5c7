// SPDX-License-Identifier: MIT
// What servers in front of us say of the client: XCLIENT, XFORWARD.
#include "session.hpp"

namespace postrider::smtpd {

ev::Task<void> Session::xclient(std::string_view) {
  fail(502, "5.5.1", "Error: command not implemented");
  co_return;
}

void Session::xforward(std::string_view) { fail(502, "5.5.1", "Error: command not implemented"); }

} // namespace postrider::smtpd
