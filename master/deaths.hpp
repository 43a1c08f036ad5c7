// SPDX-License-Identifier: MIT
// Recent deaths of a service's children, and how long the next start has to wait. Pure; time is
// passed in. A worker that served and then crashed is replaced at once, for it may have been its
// work that killed it; one that dies as soon as it starts is tried ever more rarely, up to
// service_throttle_time.
#pragma once

#include <chrono>
#include <deque>
#include <string>

#include "base/clock.hpp"

namespace postrider::master {

struct Death {
  SteadyTime when;
  WallTime date;
  std::string cause; // "killed by signal 9", "exit status 1", "cannot fork: ..."
};

class Deaths {
 public:
  static constexpr std::size_t kKept = 16;
  // Ready for less than this, and without a client: "dies at once".
  static constexpr std::chrono::seconds kProven{1};
  static constexpr std::chrono::milliseconds kFirstPause{100};
  // When kKept deaths came within kFlurry, even proven workers wait this long: below a second, so
  // that service is back within one.
  static constexpr std::chrono::seconds kFlurry{30};
  static constexpr std::chrono::milliseconds kFlurryPause{800};

  explicit Deaths(Duration longest) : longest_(longest) {}

  // Counts a death; `ready_for` is how long the child had been ready, negative when it never was;
  // `had_clients`: it was serving. Returns how long to wait with the next start.
  Duration record(Death death, Duration ready_for, bool had_clients);
  void set_longest(Duration longest) { longest_ = longest; }

  const std::deque<Death>& recent() const { return recent_; } // oldest first
  std::uint64_t total() const { return total_; }
  unsigned streak() const { return streak_; } // deaths at once, in a row

 private:
  Duration longest_;
  std::deque<Death> recent_;
  std::uint64_t total_ = 0;
  unsigned streak_ = 0;
};

} // namespace postrider::master
