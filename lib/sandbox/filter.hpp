// SPDX-License-Identifier: MIT
// The filter of system calls (seccomp). Two layers in one program for the kernel: what no program
// of the suite ever does kills the process at once; what the program's list does not name is
// refused as if the kernel did not know it (ENOSYS: C libraries then fall back to what is older),
// remembered, and told in the log. The kernel keeps the answer for calls whose arguments do not
// matter, and searches a tree for the others.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "sandbox/profile.hpp"

namespace postrider::sandbox {

// Whether this kernel has seccomp filters.
bool has_filters();

// For finding out what a list lacks: with this in the environment, calls that are not on it happen,
// and are remembered. What kills goes on to kill. master hands it on unless it is root's.
inline constexpr const char* kReportVariable = "POSTRIDER_SANDBOX_REPORT";

bool reports_only(); // it is there

enum class Unlisted { refused, reported };

// For all threads that this one makes. REQUIRES no_new_privs, and no other threads yet.
Result<void> filter_calls(const Profile& profile, Unlisted unlisted);

// Names of calls that were refused, or would have been, since the last question, each once per
// process. Costs one load when there is none.
std::vector<std::string> take_refused();

} // namespace postrider::sandbox
