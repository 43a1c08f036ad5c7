// SPDX-License-Identifier: MIT
#include "config/units.hpp"

#include <limits>

#include "base/ascii.hpp"

namespace postrider::config {

namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

std::optional<std::int64_t> times(std::optional<std::int64_t> value, std::int64_t factor) {
  if (!value || *value > kMax / factor) return std::nullopt;
  return *value * factor;
}

std::int64_t unit_millis(char unit) {
  constexpr std::int64_t kSecond = 1000, kMinute = 60 * kSecond, kHour = 60 * kMinute;
  switch (to_lower(unit)) {
  case 's': return kSecond;
  case 'm': return kMinute;
  case 'h': return kHour;
  case 'd': return 24 * kHour;
  case 'w': return 7 * 24 * kHour;
  default: return 0;
  }
}

} // namespace

std::optional<std::int64_t> parse_number(std::string_view text) {
  const auto value = parse_decimal(text);
  if (!value || *value > static_cast<std::uint64_t>(kMax)) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<std::int64_t> parse_time(std::string_view text, char default_unit) {
  text = trim(text);
  if (text.empty()) return std::nullopt;
  if (is_digit(text.back())) return times(parse_number(text), unit_millis(default_unit));
  const char unit = text.back();
  text.remove_suffix(1);
  if (to_lower(unit) == 's' && !text.empty() && to_lower(text.back()) == 'm')
    return parse_number(text.substr(0, text.size() - 1));
  const std::int64_t factor = unit_millis(unit);
  if (factor == 0) return std::nullopt;
  return times(parse_number(text), factor);
}

std::optional<std::int64_t> parse_size(std::string_view text) {
  text = trim(text);
  if (text.empty()) return std::nullopt;
  std::int64_t factor = 1;
  switch (to_lower(text.back())) {
  case 'k': factor = std::int64_t{1} << 10; break;
  case 'm': factor = std::int64_t{1} << 20; break;
  case 'g': factor = std::int64_t{1} << 30; break;
  default: return parse_number(text);
  }
  return times(parse_number(text.substr(0, text.size() - 1)), factor);
}

std::optional<bool> parse_flag(std::string_view text) {
  text = trim(text);
  if (iequals(text, "yes")) return true;
  if (iequals(text, "no")) return false;
  return std::nullopt;
}

std::string show_time(std::int64_t milliseconds) {
  if (milliseconds % 1000 != 0) return std::to_string(milliseconds) + "ms";
  return std::to_string(milliseconds / 1000) + "s";
}

} // namespace postrider::config
