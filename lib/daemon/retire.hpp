// SPDX-License-Identifier: MIT
// When a worker makes room for a fresh one. Pure; time is passed in.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.hpp"

namespace postrider::daemon {

class Retirement {
 public:
  struct Rules {
    bool may_retire = false; // false: resident
    Duration max_idle{};
    std::uint64_t max_use = 0; // clients served in a row; 0: does not count
  };
  Retirement(const Rules& rules, SteadyTime now) : rules_(rules), idle_since_(now) {}

  void client_came() {
    ++clients_;
    ++used_;
  }
  void client_left(SteadyTime now) {
    --clients_;
    idle_since_ = now;
  }
  std::uint64_t clients() const { return clients_; }

  bool used_up() const {
    return rules_.may_retire && rules_.max_use != 0 && used_ >= rules_.max_use;
  }
  // When to ask idle_too_long() next; nullopt while clients are there or it never retires.
  std::optional<SteadyTime> idle_limit() const {
    if (!rules_.may_retire || clients_ != 0) return std::nullopt;
    return idle_since_ + rules_.max_idle;
  }
  // Work besides clients counts as use.
  bool idle_too_long(SteadyTime now, bool works) {
    if (works) idle_since_ = now;
    const auto limit = idle_limit();
    return limit && *limit <= now;
  }

 private:
  Rules rules_;
  SteadyTime idle_since_;
  std::uint64_t clients_ = 0;
  std::uint64_t used_ = 0;
};

} // namespace postrider::daemon
