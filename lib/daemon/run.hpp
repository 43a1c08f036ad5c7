// SPDX-License-Identifier: MIT
// The one skeleton of all workers, in the one order that security depends on:
//   options, configuration, log, what needs privilege (Program::open), jail, loop and offload pool,
//   start, *ready*, serve, drain, stop.
// Without a master, `-S` (--stdio) serves one client, whom inetd, a UCSPI server or a shell has put
// on descriptors 0 and 1, and `--check` validates the configuration and exits.
#pragma once

#include "daemon/program.hpp"

namespace postrider::daemon {

// The whole main of a program. Returns the exit status.
int run(int argc, char** argv, const Program& program);

} // namespace postrider::daemon
