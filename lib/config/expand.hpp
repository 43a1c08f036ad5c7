// SPDX-License-Identifier: MIT
// $name in values, as main.cf has it. Pure; names are looked up by a callback.
//
//   $name ${name} $(name)      the value, itself expanded; $$ is one '$'
//   ${name?text} ${name:text}  text when the value is not empty; when it is empty
//   ${name?{text}:{text}}      both
//   ${{a} == {b} ? {c} : {d}}  == != < <= >= >; numbers by value when both sides are digits, else
//                              text; "<level" and its like compare 3.10 > 3.9 (compatibility
//                              levels)
// Depth, steps and size of the result are bounded: no text from a file can keep us busy.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace postrider::config {

// The unexpanded value of a name; nullopt when there is no such name.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;
// Told about each $name that has no value; may be empty.
using UnknownName = std::function<void(std::string_view name)>;

// Error config names the trouble; for a loop, its members: "a -> b -> a".
Result<std::string> expand(std::string_view text, const Lookup& lookup,
                           const UnknownName& unknown = {});

} // namespace postrider::config
