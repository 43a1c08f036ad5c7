// SPDX-License-Identifier: MIT
// The syntax of text tables: logical lines of `key white-space value`; a key with white space
// stands in "...", with \ before a quote or backslash. Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.hpp"

namespace postrider::maps {

// Lower-case keys. A key given twice keeps its first value.
using TextTable = std::unordered_map<std::string, std::string>;

// Calls `row` for each; Error config names file and line of the first line that is wrong.
Result<void>
for_each_row(std::string_view text, std::string_view file,
             const std::function<Result<void>(std::string_view key, std::string_view value)>& row);

Result<TextTable> parse_text_table(std::string_view text, const std::string& file);

} // namespace postrider::maps
