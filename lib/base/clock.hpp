// SPDX-License-Identifier: MIT
// The clock seam. Durations and deadlines come from `steady` (it never jumps); only dates that
// people or other hosts read come from `wall`. Tests pass a ManualClock (tests/support).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace postrider {

using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual SteadyTime steady() = 0;
  virtual WallTime wall() = 0;
};

Clock& system_clock();

std::int64_t to_unix_micros(WallTime time);
WallTime from_unix_micros(std::int64_t micros);

// "Sat, 21 Nov 2026 07:27:18 +0000 (UTC)": the date-time of RFC 5322 section 3.3, local zone.
std::string rfc5322_date(WallTime time);

} // namespace postrider
