// SPDX-License-Identifier: MIT
#include "text.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/ascii.hpp"
#include "base/display.hpp"
#include "mail/address.hpp"

namespace postrider::bounce {

namespace {

constexpr std::size_t kWrapAt = 76;     // columns of text and folded fields
constexpr std::size_t kHardLimit = 900; // a word longer than a line may be (RFC 5322 2.1.1: 998)
constexpr std::size_t kMaxText = 4096;  // of one reply

} // namespace

std::string safe_text(std::string_view text, bool utf8) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, length);
    if (c == '\t' || c == '\r' || c == '\n')
      out.push_back(' ');
    else if (length == 0 || (length > 1 && !utf8) || is_control_character(character))
      out.push_back('?');
    else
      out.append(character);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string limited(std::string_view text, bool utf8) {
  if (text.size() <= kMaxText) return safe_text(text, utf8);
  std::size_t cut = kMaxText;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80)
    --cut;
  return safe_text(text.substr(0, cut), utf8) + " [...]";
}

std::string safe_host(std::string_view host) {
  std::string out(host.substr(0, 255));
  for (char& c : out)
    if (!is_alnum(c) && std::string_view("-._:[]").find(c) == std::string_view::npos) c = '?';
  return out;
}

std::string wrapped(std::string_view text, std::size_t first, std::string_view indent) {
  std::string out;
  std::size_t column = first;
  bool at_start = true;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    std::string_view word = text.substr(0, space);
    text = space == std::string_view::npos ? std::string_view() : text.substr(space + 1);
    if (word.empty()) continue;
    if (!at_start) {
      if (column + 1 + word.size() > kWrapAt) {
        out.append("\r\n").append(indent);
        column = indent.size();
      } else {
        out.push_back(' ');
        ++column;
      }
    }
    at_start = false;
    while (column + word.size() > kHardLimit) {
      std::size_t cut = kHardLimit - column;
      while (cut > 0 && (static_cast<unsigned char>(word[cut]) & 0xc0) == 0x80)
        --cut;
      out.append(word.substr(0, cut)).append("\r\n").append(indent);
      word.remove_prefix(cut);
      column = indent.size();
    }
    out.append(word);
    column += word.size();
  }
  return out;
}

void put_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  out.append(wrapped(value, name.size() + 2, "    ")).append("\r\n");
}

std::string typed_address(std::string_view address, bool utf8) {
  const std::string external = mail::to_external(address);
  if (is_ascii(external)) return "rfc822; " + safe_text(external, false);
  if (utf8 && is_valid_utf8(external)) return "utf-8; " + safe_text(external, true);
  return "utf-8; " + utf8_addr_xtext(external);
}

std::string utf8_addr_xtext(std::string_view address) {
  std::string out;
  while (!address.empty()) {
    const std::size_t length = utf8_length(address);
    const auto lead = static_cast<unsigned char>(address.front());
    if (length == 0) {
      out.push_back('?');
      address.remove_prefix(1);
      continue;
    }
    if (length == 1 && lead > 0x20 && lead < 0x7f && lead != '\\' && lead != '+' && lead != '=') {
      out.push_back(address.front());
    } else {
      std::uint32_t point = length == 1 ? lead : lead & (0xffU >> (length + 1));
      for (std::size_t i = 1; i < length; ++i)
        point = (point << 6) | (static_cast<unsigned char>(address[i]) & 0x3fU);
      char text[16];
      std::snprintf(text, sizeof text, "\\x{%X}", point);
      out.append(text);
    }
    address.remove_prefix(length);
  }
  return out;
}

std::string message_id(std::string_view hostname, WallTime now, std::string_view token) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y%m%d%H%M%S", &utc);
  return "<" + std::string(stamp) + "." + std::string(token.substr(0, 24)) + "@" +
         safe_host(hostname) + ">";
}

} // namespace postrider::bounce
