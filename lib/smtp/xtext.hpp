// SPDX-License-Identifier: MIT
// xtext (RFC 3461 section 4): "+XX" for bytes that may not stand in a parameter; and the form of
// its own that addresses of type utf-8 have (RFC 6533 section 3): "\x{XX}". Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postrider::smtp {

std::string to_xtext(std::string_view text);
// nullopt when malformed, or when a control character is encoded: nothing that comes out of here
// can begin a line, or a record, of its own.
std::optional<std::string> from_xtext(std::string_view text);

// utf-8-addr-unitext. What has this form already stays as it is.
std::string to_unitext(std::string_view address);

} // namespace postrider::smtp
