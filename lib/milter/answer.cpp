// SPDX-License-Identifier: MIT
#include "milter/answer.hpp"

#include "base/ascii.hpp"
#include "base/check.hpp"

namespace postrider::milter {

namespace {

constexpr std::size_t kMostLines = 32; // libmilter's limit
constexpr std::size_t kLongestLine = 980;

// Length of "5.7.1" and the blank behind it, or 0.
std::size_t dsn_length(std::string_view text) {
  std::size_t i = 0;
  for (int part = 0; part < 3; ++part) {
    const std::size_t from = i;
    while (i < text.size() && is_digit(text[i]))
      ++i;
    if (i == from || i - from > 3) return 0;
    const char then = part < 2 ? '.' : ' ';
    if (i < text.size() && text[i] == then) {
      ++i;
    } else if (part < 2 || i < text.size()) {
      return 0;
    }
  }
  return i;
}

std::string clean_line(std::string_view line) {
  std::string out;
  for (std::size_t i = 0; i < line.size() && out.size() < kLongestLine; ++i) {
    if (line[i] == '%') { // libmilter's users double it
      if (++i == line.size()) break;
    }
    const auto c = static_cast<unsigned char>(line[i]);
    out.push_back(c < ' ' || c == 0x7f ? ' ' : line[i]);
  }
  return out;
}

} // namespace

Verdict command_rejected() { return Verdict(550, "5.7.1", "Command rejected"); }
Verdict service_unavailable() {
  return Verdict(451, "4.7.1", "Service unavailable - try again later");
}
Verdict closing_connection() { return Verdict(421, "4.7.0", "Server closing connection"); }

std::optional<DefaultAction> parse_default_action(std::string_view text) {
  if (iequals(text, "tempfail")) return DefaultAction::tempfail;
  if (iequals(text, "accept")) return DefaultAction::accept;
  if (iequals(text, "reject")) return DefaultAction::reject;
  if (iequals(text, "quarantine")) return DefaultAction::quarantine;
  if (iequals(text, "shutdown")) return DefaultAction::shutdown;
  return std::nullopt;
}

Verdict verdict_of(DefaultAction action) {
  switch (action) {
  case DefaultAction::tempfail: return service_unavailable();
  case DefaultAction::accept: return Verdict();
  case DefaultAction::reject: return Verdict(550, "5.5.0", "Service unavailable");
  case DefaultAction::quarantine: return Verdict(Verdict::Kind::hold);
  case DefaultAction::shutdown: return closing_connection();
  }
  POSTRIDER_UNREACHABLE();
}

std::optional<smtp::Refusal> parse_reply(std::string_view text) {
  if (text.size() < 3 || (text[0] != '4' && text[0] != '5') || !is_digit(text[1]) ||
      !is_digit(text[2]))
    return std::nullopt;
  const std::string_view code = text.substr(0, 3);
  smtp::Refusal refusal;
  refusal.code = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
  refusal.dsn = code[0] == '4' ? "4.7.1" : "5.7.1";
  std::size_t lines = 0;
  for (std::string_view line : split(text, "\r\n")) {
    if (!line.starts_with(code) || ++lines > kMostLines) return std::nullopt;
    line.remove_prefix(3);
    if (!line.empty()) {
      if (line.front() != ' ' && line.front() != '-') return std::nullopt;
      line.remove_prefix(1);
    }
    if (const std::size_t length = dsn_length(line); length != 0) {
      if (line.front() != code.front()) return std::nullopt;
      refusal.dsn = trim(line.substr(0, length));
      line.remove_prefix(length);
    }
    if (lines > 1) refusal.text += '\n';
    refusal.text += clean_line(line);
  }
  return refusal;
}

} // namespace postrider::milter
