// SPDX-License-Identifier: MIT
// Ends a process whose loop stands still, as long as the process can still take a signal; master
// kills one that cannot (proto/child_status.hpp). Real elapsed time: setting the clock changes
// nothing. One per process.
#pragma once

#include "base/clock.hpp"

namespace postrider::daemon {

class Watchdog {
 public:
  // `limit` is capped at proto::kSilenceLimit.
  explicit Watchdog(Duration limit);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  void pat();

 private:
  unsigned seconds_;
};

} // namespace postrider::daemon
