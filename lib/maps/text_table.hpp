// SPDX-License-Identifier: MIT
// The syntax of text tables: logical lines of `key white-space value`. White space within "..." is
// part of the key, and so are the quotes: "first last"@example.com. Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.hpp"
#include "maps/problems.hpp"

namespace postrider::maps {

// Lower-case keys. A key given twice keeps its first value.
using TextTable = std::unordered_map<std::string, std::string>;

// Calls `row` for each line that is right. Error: what `row` returns; it ends the reading.
Result<void> for_each_row(std::string_view text, Problems& problems,
                          const std::function<Result<void>(std::size_t line, std::string_view key,
                                                           std::string_view value)>& row);

TextTable parse_text_table(std::string_view text, Problems& problems);

} // namespace postrider::maps
