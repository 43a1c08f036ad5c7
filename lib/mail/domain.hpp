// SPDX-License-Identifier: MIT
// Domain names and address literals as mail uses them. Pure (libidn2 does IDNA2008).
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace postrider::mail {

// Labels of letters, digits, '-', '_' (and non-ASCII bytes), each 1..63 bytes and not beginning or
// ending with '-', 255 bytes at most. No dot at the end.
bool is_domain(std::string_view text);
// An ASCII is_domain() whose last label is not all digits: may be used as a host name in a look-up.
bool is_hostname(std::string_view text);
// "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 section 4.1.3).
bool is_address_literal(std::string_view text);
// "192.0.2.1" of "[192.0.2.1]", "2001:db8::1" of "[IPv6:2001:db8::1]" or "[2001:db8::1]"; empty
// when the text is no such literal.
std::string literal_address(std::string_view text);

// Lower case, IDNA A-labels. Error protocol when the text is no domain.
Result<std::string> to_ascii(std::string_view domain);

} // namespace postrider::mail
