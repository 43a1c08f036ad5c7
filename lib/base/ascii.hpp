// SPDX-License-Identifier: MIT
// ASCII text without locales: mail protocols know no other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postrider {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_alnum(char c) { return is_digit(c) || is_alpha(c); }
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string lowercase(std::string_view text);
std::string uppercase(std::string_view text);
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);
std::string_view trim(std::string_view text);
std::string_view trim_right(std::string_view text);
// Pieces between any of the separator bytes; empty pieces are left out.
std::vector<std::string_view> split(std::string_view text, std::string_view separators);
// Decimal, whole text, no sign, no overflow.
std::optional<std::uint64_t> parse_decimal(std::string_view text);
// Bytes of the UTF-8 character at the front (RFC 3629); 0 when it is not one. REQUIRES !empty.
std::size_t utf8_length(std::string_view text);
bool is_valid_utf8(std::string_view text);
bool is_ascii(std::string_view text);

} // namespace postrider
