// SPDX-License-Identifier: MIT
// What a worker must not be able to do, as a table. Each attempt is made in a process of its own:
// in the sandbox of a worker, and once outside of it, to know whether it can be made on this
// machine.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::evil {

// What the test says about its instance: lines "name value" of <config_directory>/evil.
using Target = std::map<std::string, std::string, std::less<>>;
Target read_target(const std::string& path);

struct Attempt {
  const char* name;
  // Programs whose own work this is, and who may: "smtp lmtp".
  std::string_view right_of;
  // 0 when it was done or could have been: the error that came is one of the deed, not of a right
  // to do it. Else errno.
  int (*make)(const Target&);
};

const std::vector<Attempt>& attempts();
bool is_right_of(const Attempt& attempt, std::string_view program);

} // namespace postrider::evil
