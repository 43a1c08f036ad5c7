// SPDX-License-Identifier: MIT
// Names of header fields: where one ends, and which of them mean something to us. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postrider::mime {

enum class Field : std::uint8_t { other, content_type, content_transfer_encoding, delivered_to };

struct FieldInfo {
  Field field = Field::other;
  bool addresses = false; // its value is a list of addresses
  bool of_mime = false;   // RFC 2045 section 3: says what the body is
};

// Length of the field name at the front of `line`, or 0 when this is no header line. Blanks between
// name and colon are the obsolete form of RFC 5322 section 4.5.
std::size_t field_name_length(std::string_view line);

// `name` without the colon, in any case.
FieldInfo find_field(std::string_view name);

} // namespace postrider::mime
