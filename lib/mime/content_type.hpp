// SPDX-License-Identifier: MIT
// What the headers Content-Type and Content-Transfer-Encoding say about a part (RFC 2045 sections
// 5 and 6), as far as it matters for finding parts and converting them. Pure; linear in the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::mime {

enum class Type : std::uint8_t { text, message, multipart, other };

struct ContentType {
  Type type = Type::other;
  bool is_rfc822 = false; // message/rfc822: its body is a message
  bool is_global = false; // message/global (RFC 6532): may be encoded as a whole
  bool is_digest = false; // multipart/digest: its parts are messages unless they say otherwise
  bool is_signed = false; // multipart/signed (RFC 1847)
  // All that are given. More than one is wrong, and readers disagree about which one counts.
  std::vector<std::string> boundaries;
};

// `value` is what follows the colon; it may be folded.
ContentType parse_content_type(std::string_view value);

// RFC 2045 section 6: what the bytes of the body are, after any encoding. An encoding makes them
// seven_bit.
enum class Domain : std::uint8_t { seven_bit, eight_bit, binary };

// nullopt: nothing that is known.
std::optional<Domain> parse_transfer_encoding(std::string_view value);

} // namespace postrider::mime
