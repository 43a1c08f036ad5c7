// SPDX-License-Identifier: MIT
// Changes in the text of main.cf, for `postrider conf -e`. Pure; comments and order stay.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace postrider::ctl {

struct Edit {
  std::string name;
  std::string value;
  bool remove = false;
};

// "name=value", "name = value". Error config for anything else, and for a value with a line break.
Result<Edit> parse_edit(std::string_view text);

// The last line that sets a name is replaced where it stands, others of the same name are removed,
// and a new name comes at the end.
std::string edited_main_cf(std::string_view text, const std::vector<Edit>& edits);

} // namespace postrider::ctl
