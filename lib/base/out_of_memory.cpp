// SPDX-License-Identifier: MIT
#include "base/out_of_memory.hpp"

#include <unistd.h>
#include <utility>

#include "base/log.hpp"

namespace postrider {

void out_of_memory() {
  static bool speaking = false;
  if (!std::exchange(speaking, true)) {
    log::flush(); // takes none
    log::write(log::Level::fatal, "out of memory");
  }
  ::_exit(1);
}

} // namespace postrider
