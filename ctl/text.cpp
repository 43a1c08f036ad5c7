// SPDX-License-Identifier: MIT
#include "text.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/ascii.hpp"
#include "base/display.hpp"

namespace postrider::ctl {

namespace {

enum class Breaks { escape, keep };

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string escaped(std::string_view text, Breaks breaks) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
    const bool kept = breaks == Breaks::keep && (c == '\n' || c == '\t');
    if (length == 0 || (is_control_character(character) && !kept)) {
      for (const char byte : character) {
        char hex[8];
        std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(byte));
        out.append(hex);
      }
    } else {
      out.append(character);
    }
    text.remove_prefix(character.size());
  }
  return out;
}

} // namespace

std::string shown(std::string_view text, std::size_t most) {
  std::string out = escaped(text, Breaks::escape);
  if (most == 0 || characters(out) <= most) return out;
  std::size_t at = 0;
  for (std::size_t count = 0; at < out.size() && count + 3 < most; ++count)
    at += std::max<std::size_t>(utf8_length(std::string_view(out).substr(at)), 1);
  return out.substr(0, at) + "...";
}

std::string shown_lines(std::string_view text) { return escaped(text, Breaks::keep); }

std::string show_size(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"k", "M", "G", "T"}) {
    value /= 1024;
    unit = next;
    if (value < 999.5) break;
  }
  char text[32];
  std::snprintf(text, sizeof text, value < 9.95 ? "%.1f%s" : "%.0f%s", value, unit);
  return text;
}

std::string show_duration(std::int64_t seconds) {
  if (seconds < 0) seconds = 0;
  if (seconds < 120) return std::to_string(seconds) + "s";
  if (seconds < 120 * 60) return std::to_string(seconds / 60) + "m";
  if (seconds < 48 * 3600) return std::to_string(seconds / 3600) + "h";
  return std::to_string(seconds / 86400) + "d";
}

std::string show_until(std::int64_t at, std::int64_t now) {
  if (at == 0) return "-";
  if (at <= now) return "now";
  return "in " + show_duration((at - now + 999999) / 1000000);
}

std::string show_age(std::int64_t at, std::int64_t now) {
  return at == 0 ? "-" : show_duration((now - at) / 1000000);
}

std::string show_time(std::int64_t micros) {
  if (micros == 0) return "-";
  const std::time_t seconds = static_cast<std::time_t>(micros / 1000000);
  std::tm local{};
  if (::localtime_r(&seconds, &local) == nullptr) return "?";
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z", &local);
  return text;
}

std::string show_sender(std::string_view sender) { return sender.empty() ? "<>" : shown(sender); }

std::string counted(std::uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string Table::text() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], characters(row[i]));
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i != 0) line.append("  ");
      const std::size_t missing = widths[i] - characters(row[i]);
      const bool right = std::find(right_.begin(), right_.end(), i) != right_.end();
      if (right) line.append(missing, ' ');
      line.append(row[i]);
      if (!right && i + 1 != row.size()) line.append(missing, ' ');
    }
    out.append(trim_right(line)).append("\n");
  }
  return out;
}

} // namespace postrider::ctl
