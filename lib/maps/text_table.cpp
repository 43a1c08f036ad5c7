// SPDX-License-Identifier: MIT
#include "maps/text_table.hpp"

#include "base/ascii.hpp"
#include "base/logical_lines.hpp"

namespace postrider::maps {

namespace {

// Where the key at the front of `text` ends; npos: within quotes.
std::size_t key_length(std::string_view text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      quoted = !quoted;
    else if (!quoted && is_space(text[i]))
      return i;
  }
  return quoted ? std::string_view::npos : text.size();
}

} // namespace

Result<void> for_each_row(std::string_view text, Problems& problems,
                          const std::function<Result<void>(std::size_t line, std::string_view key,
                                                           std::string_view value)>& row) {
  LogicalLines lines(text);
  while (auto line = lines.next()) {
    const std::string_view content = line->text;
    const auto ignore = [&](std::string_view why) {
      problems.add(line->number, std::string(why) + " -- ignoring this line");
    };
    if (is_space(content.front())) {
      ignore("logical line must not start with whitespace");
      continue;
    }
    if (content.find('\0') != std::string_view::npos) {
      ignore("the line holds a zero byte");
      continue;
    }
    const std::size_t length = key_length(content);
    if (length == std::string_view::npos) {
      ignore("unbalanced '\"'");
      continue;
    }
    const std::string_view value = trim(content.substr(length));
    if (value.empty()) {
      ignore("expected format: key whitespace value");
      continue;
    }
    POSTRIDER_TRY_VOID(row(line->number, content.substr(0, length), value));
  }
  return {};
}

TextTable parse_text_table(std::string_view text, Problems& problems) {
  TextTable table;
  const Result<void> read = for_each_row(
      text, problems, [&](std::size_t line, std::string_view key, std::string_view value) {
        std::string folded = lowercase(key);
        if (table.find(folded) != table.end())
          problems.add(line, "duplicate entry: \"" + folded.substr(0, 100) + "\"");
        else
          table.emplace(std::move(folded), std::string(value));
        return Result<void>();
      });
  POSTRIDER_CHECK(read.ok());
  return table;
}

} // namespace postrider::maps
