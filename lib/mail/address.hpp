// SPDX-License-Identifier: MIT
// Envelope addresses (RFC 5321 section 4.1.2). Inside the suite an address is one string without
// angle brackets and without quoting: local part, '@', domain; the last '@' divides them. The null
// sender is the empty string. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace postrider::mail {

// RFC 5321 section 4.5.3.1 asks for 64, 255 and 256 at least and for no limit where possible. Local
// parts beyond 64 are common (VERP, SRS), so ours is the one of a domain.
inline constexpr std::size_t kMaxLocalPart = 255;
inline constexpr std::size_t kMaxDomain = 255;
inline constexpr std::size_t kMaxLabel = 63;
inline constexpr std::size_t kMaxPath = 1024; // as written: quotes, source route, brackets

enum class Utf8 : bool { no, yes }; // RFC 6531

struct Path {
  std::string address;    // internal form; empty for "<>"
  std::size_t length = 0; // bytes of the text that were used
};

// The path at the front of `text`: "<a@b>", "<>", "<@relay,@relay:a@b>" (the route is dropped), or
// without brackets up to the next space. Error protocol says what is wrong, in words for a reply.
Result<Path> parse_path(std::string_view text, Utf8 utf8);
// The whole of `text` is one mailbox, quoted where it has to be; a domain may be missing.
Result<std::string> parse_mailbox(std::string_view text, Utf8 utf8);

// Of the internal form. domain_part is empty when there is no '@'.
std::string_view local_part(std::string_view address);
std::string_view domain_part(std::string_view address);

// The form for commands and headers: local part quoted when it is not a dot-string.
std::string to_external(std::string_view address);

} // namespace postrider::mail
