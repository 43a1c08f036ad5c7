// SPDX-License-Identifier: MIT
// The one skeleton of all workers, in the one order that security depends on:
//   options, configuration, log, what needs privilege (Program::open), jail, loop and offload pool,
//   start, *ready*, serve, drain, stop.
// Run by hand: `--stdio` serves one client on descriptor 0 without a master, `--check` validates
// the configuration and exits.
#pragma once

#include "daemon/program.hpp"

namespace postrider::daemon {

// The whole main of a program. Returns the exit status.
int run(int argc, char** argv, const Program& program);

} // namespace postrider::daemon
