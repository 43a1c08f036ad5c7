// SPDX-License-Identifier: MIT
// Time moves when the test says so.
#pragma once

#include "base/clock.hpp"

namespace postrider::test {

class ManualClock final : public Clock {
 public:
  SteadyTime steady() override { return steady_; }
  WallTime wall() override { return wall_; }
  void advance(Duration by) {
    steady_ += by;
    wall_ += std::chrono::duration_cast<WallTime::duration>(by);
  }
  void jump_wall(Duration by) { wall_ += std::chrono::duration_cast<WallTime::duration>(by); }

 private:
  SteadyTime steady_{std::chrono::hours(1000)};
  WallTime wall_{std::chrono::seconds(1'800'000'000)};
};

} // namespace postrider::test
