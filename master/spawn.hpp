// SPDX-License-Identifier: MIT
// fork, the descriptor contract of proto/child_status.hpp, exec; nothing else in between.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"

namespace postrider::master {

struct SpawnRequest {
  std::string path;
  std::vector<std::string> arguments;   // argv, the name first
  std::vector<std::string> environment; // "name=value"
  int status = -1;                      // write end
  int lifeline = -1;                    // read end
  int log = -1;                         // -1: none
  bool keep_stderr = false;             // in the foreground without a log file
  std::vector<int> listeners;
};

// A program that cannot be executed shows as exit status 127 (126: a step before exec failed).
Result<pid_t> spawn(const SpawnRequest& request);

} // namespace postrider::master
