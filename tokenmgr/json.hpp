// SPDX-License-Identifier: MIT
// JSON as token endpoints speak it, and as it stands in the files of refresh: sources. Bounded
// input; nothing of it in an Error, because it holds secrets. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace postrider::tokenmgr {

// The members of an object that are strings or numbers, as text. Error protocol: no JSON object.
Result<std::map<std::string, std::string>> members_of(std::string_view text);
// The object with one member set, in lines that a person can read. REQUIRES members_of(text).
std::string with_member(std::string_view text, const std::string& name, const std::string& value);

} // namespace postrider::tokenmgr
