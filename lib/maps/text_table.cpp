// SPDX-License-Identifier: MIT
#include "maps/text_table.hpp"

#include "base/ascii.hpp"
#include "base/text_file.hpp"

namespace postrider::maps {

namespace {

std::string where(std::string_view file, std::size_t line) {
  return std::string(file) + ":" + std::to_string(line);
}

// Splits the key off `text`.
Result<std::string> take_key(std::string_view& text) {
  std::string key;
  if (text.front() != '"') {
    std::size_t end = 0;
    while (end < text.size() && !is_space(text[end]))
      ++end;
    key = text.substr(0, end);
    text.remove_prefix(end);
    return key;
  }
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return key;
    }
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    key.push_back(text[i]);
  }
  return Error(ErrorKind::config, "the key begins with a quote that does not end");
}

} // namespace

Result<void>
for_each_row(std::string_view text, std::string_view file,
             const std::function<Result<void>(std::string_view key, std::string_view value)>& row) {
  LogicalLines lines(text);
  while (auto line = lines.next()) {
    std::string_view rest = line->text;
    if (is_space(rest.front()))
      return Error(ErrorKind::config,
                   where(file, line->number) +
                       ": the line starts with white space but continues nothing");
    auto key = take_key(rest);
    if (!key) return key.error().in(where(file, line->number));
    const std::string_view value = trim(rest);
    if (key->empty() || value.empty())
      return Error(ErrorKind::config,
                   where(file, line->number) + ": no value; write a key, white space, and a value");
    if (value.find('\0') != std::string_view::npos || key->find('\0') != std::string::npos)
      return Error(ErrorKind::config, where(file, line->number) + ": the line holds a zero byte");
    if (auto done = row(*key, value); !done) return done.error().in(where(file, line->number));
  }
  return {};
}

Result<TextTable> parse_text_table(std::string_view text, const std::string& file) {
  TextTable table;
  POSTRIDER_TRY_VOID(for_each_row(text, file, [&](std::string_view key, std::string_view value) {
    table.emplace(lowercase(key), std::string(value));
    return Result<void>();
  }));
  return table;
}

} // namespace postrider::maps
