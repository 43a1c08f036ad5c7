// SPDX-License-Identifier: MIT
// The jail and the sandbox of a program, from its configuration: who it becomes, what it may reach,
// and whose processes may speak to it. Called once by run(), with the rights the process began
// with.
#pragma once

#include "config/settings.hpp"
#include "daemon/options.hpp"
#include "daemon/program.hpp"
#include "sandbox/sandbox.hpp"

namespace postrider::daemon {

struct Confined {
  sandbox::Sandbox sandbox;
  std::uint16_t reached = 0; // bits of proto/child_status.hpp
};
Result<Confined> confine(std::string_view program, const config::Settings& settings,
                         const Options& options, const Needs& needs);

// A warning for each system call that the filter has refused and that was not told yet.
void tell_refused_calls();

} // namespace postrider::daemon
