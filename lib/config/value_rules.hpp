// SPDX-License-Identifier: MIT
// What the type and the row of a parameter (parameters.def) say of a value. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "config/parameter.hpp"
#include "config/settings.hpp"

namespace postrider::config {

// Whether value.text is one of the parameter's; its number and words are set then. Error config:
// what is wrong with it and what to write instead, to be put behind "name = value: ".
Result<void> judge_value(const Parameter& parameter, Value& value);

// `choices`: "may|encrypt|none", compared without regard to case.
bool is_choice(std::string_view choices, std::string_view value);

// Of a value in a message: its first 80 bytes.
std::string shown(std::string_view text);

} // namespace postrider::config
