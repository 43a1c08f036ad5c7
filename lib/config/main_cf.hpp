// SPDX-License-Identifier: MIT
// The syntax of main.cf: `name = value` in logical lines (base/text_file.hpp). Pure; it knows
// neither names nor values.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::config {

struct Entry {
  std::string name;
  std::string value; // trimmed; continuation lines joined
  std::size_t line = 0;
};

struct MainCf {
  std::vector<Entry> entries;        // each name once, the last one given, in the order of the file
  std::vector<std::string> errors;   // "main.cf:3: ..."
  std::vector<std::string> warnings; // names given twice, comments behind a value
};

// `file` is for messages only. A file with errors still yields the entries that are right.
MainCf parse_main_cf(std::string_view text, std::string_view file = "main.cf");

// Letters, digits and '_' (as in Postfix, "2bounce_notice_recipient" is a name).
bool is_parameter_name(std::string_view name);

} // namespace postrider::config
