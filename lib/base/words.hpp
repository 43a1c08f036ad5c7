// SPDX-License-Identifier: MIT
// Lists in values: words between commas and white space; a word in { } may hold both. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider {

// Braces that begin a word are taken away with the white space inside them; those within a word,
// as in inline:{a=b, c=d}, stay. Error config: a brace without its partner.
Result<std::vector<std::string>> split_words(std::string_view text,
                                             std::string_view separators = ", \t\r\n\f\v");

} // namespace postrider
