// SPDX-License-Identifier: MIT
#include "config/main_cf.hpp"

#include <algorithm>
#include <map>

#include "base/ascii.hpp"
#include "base/logical_lines.hpp"

namespace postrider::config {

namespace {

// A line of a megabyte is not repeated in a message.
std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 60;
  return text.size() <= kMost ? std::string(text) : std::string(text.substr(0, kMost)) + "...";
}

} // namespace

bool is_parameter_name(std::string_view name) {
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_alnum(c) || c == '_'; });
}

MainCf parse_main_cf(std::string_view text, std::string_view file) {
  MainCf parsed;
  std::map<std::string, std::size_t, std::less<>> places; // name -> place in entries
  LogicalLines lines(text);
  while (auto line = lines.next()) {
    const std::string where = std::string(file) + ":" + std::to_string(line->number) + ": ";
    if (is_space(line->text.front())) {
      parsed.errors.push_back(where + "the line starts with white space but continues nothing; "
                                      "remove the white space");
      continue;
    }
    if (line->text.find('\0') != std::string::npos) {
      parsed.errors.push_back(where + "the line holds a zero byte; write the file as plain text");
      continue;
    }
    const std::size_t equals = line->text.find('=');
    const std::string_view name = trim(std::string_view(line->text).substr(0, equals));
    if (equals == std::string::npos) {
      parsed.errors.push_back(where + shown(name) + ": no '=' in this line; write name = value");
      continue;
    }
    if (!is_parameter_name(name)) {
      parsed.errors.push_back(where + "\"" + shown(name) +
                              "\" is not a name; use letters, digits and '_' before the '='");
      continue;
    }
    Entry entry{.name = std::string(name),
                .value = std::string(trim(std::string_view(line->text).substr(equals + 1))),
                .line = line->number};
    const std::size_t hash = entry.value.find('#');
    if (hash != std::string::npos && hash > 0 && is_space(entry.value[hash - 1]))
      parsed.warnings.push_back(where + entry.name +
                                ": the text after '#' belongs to the value; a comment needs a line "
                                "of its own");
    if (auto known = places.find(entry.name); known != places.end()) {
      Entry& earlier = parsed.entries[known->second];
      parsed.warnings.push_back(where + entry.name + " is given twice; this one counts, not line " +
                                std::to_string(earlier.line));
      earlier = std::move(entry);
    } else {
      places.emplace(entry.name, parsed.entries.size());
      parsed.entries.push_back(std::move(entry));
    }
  }
  return parsed;
}

} // namespace postrider::config
