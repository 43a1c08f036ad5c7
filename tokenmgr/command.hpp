// SPDX-License-Identifier: MIT
// Runs a program for its output: without a shell, with an environment of two variables, bounded in
// time and output. It has our user, and no descriptor but its three.
#pragma once

#include <string>
#include <vector>

#include "ev/task.hpp"

namespace postrider::tokenmgr {

inline constexpr std::size_t kMostOfOutput = 64 * 1024;

// WAITS until it has ended. Errors: config (cannot be started), timeout (killed, with the group of
// its processes), limit (killed: too much output), refused (it failed; `text` has the status, never
// what it wrote).
ev::Task<Result<std::string>> run_command(ev::Loop& loop, const std::vector<std::string>& words,
                                          ev::Deadline deadline);

} // namespace postrider::tokenmgr
