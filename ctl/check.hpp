// SPDX-License-Identifier: MIT
// What is wrong with a configuration, as `postrider check` says it: the parsing of the programs
// themselves, once for each service with its -o overrides, and what only a look at this host shows.
// Blocks on the local disk.
#pragma once

#include <string>
#include <vector>

#include "config/settings.hpp"

namespace postrider::ctl {

struct Report {
  std::vector<std::string> errors; // each names a file and a line where there is one
  std::vector<std::string> warnings;
};

Report check_configuration(const std::string& config_directory);

} // namespace postrider::ctl
