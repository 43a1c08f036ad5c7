// SPDX-License-Identifier: MIT
#include "smtp/xtext.hpp"

#include "base/ascii.hpp"

namespace postrider::smtp {
namespace {

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1; // RFC 3461 allows upper case only
}

} // namespace

std::string to_xtext(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && c != '+' && c != '=') {
      out.push_back(c);
    } else {
      out.push_back('+');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

std::optional<std::string> from_xtext(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    if (text[i] == '+') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      byte = static_cast<unsigned char>(high * 16 + low);
      i += 2;
    } else if (text[i] == '=' || text[i] == ' ') {
      return std::nullopt;
    }
    if (byte < 0x20 || byte == 0x7f) return std::nullopt;
    out.push_back(static_cast<char>(byte));
  }
  return out;
}

std::string to_unitext(std::string_view address) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < address.size(); ++i) {
    const char c = address[i];
    const bool is_form = address.substr(i).starts_with("\\x{");
    if (c != ' ' && c != '+' && c != '=' && (c != '\\' || is_form))
      out.push_back(c);
    else
      out.append("\\x{").append({kHex[c >> 4], kHex[c & 15], '}'});
  }
  return out;
}

} // namespace postrider::smtp
