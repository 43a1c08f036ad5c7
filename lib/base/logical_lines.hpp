// SPDX-License-Identifier: MIT
// The lines of a text that an administrator wrote, by the rules that Postfix's text files share:
//   - empty lines, lines of white space, and lines whose first non-blank byte is '#' are skipped,
//     also in the middle of a logical line;
//   - a line that starts with white space continues the logical line before it.
// And more leniently: a CR before a line end, and a byte order mark in front, are dropped. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace postrider {

struct LogicalLine {
  std::size_t number = 0; // of its first line, from 1
  std::string text;       // without the newlines; white space inside is kept
};

class LogicalLines {
 public:
  explicit LogicalLines(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
  }
  // Nothing more: nullopt. A line that continues nothing comes back with its leading white space.
  std::optional<LogicalLine> next();

 private:
  std::string_view take_line();
  std::string_view rest_;
  std::size_t number_ = 0;
};

} // namespace postrider
