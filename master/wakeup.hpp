// SPDX-License-Identifier: MIT
// The wake-up time of master.cf: makes sure, every so often, that a process of the service runs.
// Programs have timers of their own, so that is all that a wake-up has to say. With '?' only once
// the service has been used.
#pragma once

#include <chrono>
#include <functional>

#include "ev/loop.hpp"

namespace postrider::master {

class Wakeup {
 public:
  Wakeup(ev::Loop& loop, std::function<void()> due)
      : loop_(loop), due_(std::move(due)),
        timer_(
            loop, [](void* self) { static_cast<Wakeup*>(self)->ring(); }, this) {}

  // 0: never.
  void set(std::chrono::seconds period) {
    period_ = period;
    arm();
  }

 private:
  void arm() { timer_.arm(period_.count() == 0 ? ev::Deadline::never() : loop_.after(period_)); }
  void ring() {
    arm();
    due_();
  }
  ev::Loop& loop_;
  std::function<void()> due_;
  std::chrono::seconds period_{0};
  ev::Timer timer_;
};

} // namespace postrider::master
