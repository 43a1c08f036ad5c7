// SPDX-License-Identifier: MIT
#include "mail/status.hpp"

#include "base/ascii.hpp"

namespace postrider::mail {

std::string_view leading_status(std::string_view text) {
  if (text.size() < 5 || (text[0] != '2' && text[0] != '4' && text[0] != '5')) return {};
  std::size_t at = 1;
  for (int part = 0; part < 2; ++part) {
    if (at >= text.size() || text[at] != '.') return {};
    const std::size_t start = ++at;
    while (at < text.size() && at - start < 4 && is_digit(text[at]))
      ++at;
    if (at == start || at - start > 3) return {};
  }
  if (at < text.size() && text[at] != ' ' && text[at] != '\t') return {};
  return text.substr(0, at);
}

bool is_status(std::string_view text) { return !text.empty() && leading_status(text) == text; }

std::string status_of_code(int reply_code) {
  switch (reply_code / 100) {
  case 2: return "2.0.0";
  case 5: return "5.0.0";
  default: return "4.0.0";
  }
}

std::string with_class(std::string_view status, char new_class) {
  std::string out(status);
  out.front() = new_class;
  return out;
}

} // namespace postrider::mail
