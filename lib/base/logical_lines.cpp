// SPDX-License-Identifier: MIT
#include "base/logical_lines.hpp"

#include "base/ascii.hpp"

namespace postrider {

std::string_view LogicalLines::take_line() {
  const std::size_t end = rest_.find('\n');
  std::string_view line = rest_.substr(0, end);
  rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
  ++number_;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

std::optional<LogicalLine> LogicalLines::next() {
  std::optional<LogicalLine> logical;
  while (!rest_.empty()) {
    // A line that starts a new logical line ends the one at hand and stays for the next call.
    if (logical && !is_space(rest_.front()) && rest_.front() != '#') return logical;
    const std::string_view line = take_line();
    const std::string_view trimmed = trim(line);
    if (trimmed.empty() || trimmed.front() == '#') continue;
    if (!logical) logical = LogicalLine{.number = number_, .text = {}};
    logical->text.append(line);
  }
  return logical;
}

} // namespace postrider
