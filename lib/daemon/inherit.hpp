// SPDX-License-Identifier: MIT
// The child's side of the descriptor contract (proto/child_status.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "base/fd.hpp"

namespace postrider::daemon {

struct Inherited {
  bool from_master = false; // false: run by hand, everything below is empty
  std::uint32_t generation = 0;
  Fd status;
  Fd lifeline;
  Fd log;
  std::vector<Fd> listeners;
};

// Takes over what master left behind, once. All of it becomes close-on-exec. Error config when the
// environment promises what is not there.
Result<Inherited> take_inherited();

} // namespace postrider::daemon
