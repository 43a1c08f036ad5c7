// SPDX-License-Identifier: MIT
#include "base/random.hpp"

#include <sys/random.h>

#include "base/check.hpp"

namespace postrider {

std::uint64_t secure_random() {
  std::uint64_t value = 0;
  POSTRIDER_CHECK(::getrandom(&value, sizeof value, 0) == sizeof value);
  return value;
}

} // namespace postrider
