// SPDX-License-Identifier: MIT
// Text from strangers, made harmless: whatever reply texts, host names and addresses hold, they add
// no line, no header and no record to what bounce writes. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace postrider::bounce {

// For one line: control bytes become spaces or '?', and what is not ASCII stays only when `utf8`
// and well-formed.
std::string safe_text(std::string_view text, bool utf8);
// The same for one reply, cut when it is very long.
std::string limited(std::string_view text, bool utf8);
// A host name or address literal, from a peer or from DNS.
std::string safe_host(std::string_view host);

// Words put into lines of at most 76 columns where possible. `first` columns of the first line are
// taken; each further line begins with `indent`. No line end at the end.
std::string wrapped(std::string_view text, std::size_t first, std::string_view indent);
// One field of a header or of the status part. The value must be harmless already.
void put_field(std::string& out, std::string_view name, std::string_view value);

// "rfc822; a@b", "utf-8; ..." for an address that is not ASCII.
std::string typed_address(std::string_view address, bool utf8);
// RFC 6533 section 3: utf-8-addr-xtext, for a message that must stay ASCII.
std::string utf8_addr_xtext(std::string_view address);
// With angle brackets. `token`: letters or digits that nobody could foresee.
std::string message_id(std::string_view hostname, WallTime now, std::string_view token);

} // namespace postrider::bounce
