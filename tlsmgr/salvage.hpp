// SPDX-License-Identifier: MIT
// What is good of a database file that may be damaged (S1 of store.hpp).
#pragma once

#include "base/result.hpp"
#include "store.hpp"

namespace postrider::tlsmgr {

// Makes `fresh` a database with the good entries of setup.path, which is only read. A child process
// does it: whatever the damage does to it, this one gets an Error, and `fresh` must not be used.
// Blocks, up to kSalvageLimit. REQUIRES: no threads.
inline constexpr std::chrono::seconds kSalvageLimit{20};
Result<void> salvage(const StoreSetup& setup, const std::string& fresh, WallTime now);

} // namespace postrider::tlsmgr
