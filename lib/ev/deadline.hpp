// SPDX-License-Identifier: MIT
// An absolute point of the steady clock by which a wait must have ended (C7: every wait names one).
#pragma once

#include "base/clock.hpp"

namespace postrider::ev {

class Deadline {
 public:
  // For waits that end by cancellation only, such as an accept loop.
  static constexpr Deadline never() { return Deadline(SteadyTime::max()); }
  static constexpr Deadline at(SteadyTime time) { return Deadline(time); }

  constexpr SteadyTime time() const { return time_; }
  constexpr bool is_never() const { return time_ == SteadyTime::max(); }
  constexpr Deadline earlier(Deadline other) const { return other.time_ < time_ ? other : *this; }

 private:
  explicit constexpr Deadline(SteadyTime time) : time_(time) {}
  SteadyTime time_;
};

} // namespace postrider::ev
