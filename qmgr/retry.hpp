// SPDX-License-Identifier: MIT
// When to try again, when to warn, when to give up. Pure: times are unix microseconds and passed
// in.
#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace postrider::qmgr {

struct RetryLimits {
  std::int64_t minimal = 300'000'000;             // minimal_backoff_time
  std::int64_t maximal = 4'000'000'000;           // maximal_backoff_time
  std::int64_t lifetime = 432'000'000'000;        // maximal_queue_lifetime
  std::int64_t bounce_lifetime = 432'000'000'000; // bounce_queue_lifetime
  std::int64_t delay_warning = 0;                 // delay_warning_time; 0: never
};

// The time by which mail is scheduled: the wall clock as found at start, moved on by the steady
// clock. Slow corrections of the wall clock are followed; a jump is not: after one, `now` goes on
// from where it was, so that a clock set to another year neither expires all mail nor stalls it.
class Timekeeper {
 public:
  static constexpr std::int64_t kJump = 600'000'000;
  static constexpr std::int64_t kMostAbsence = 86'400'000'000;

  // At the start: when the queue was last worked on (0: not known). Of the time since then at most
  // kMostAbsence counts as age of the mail that waited: nobody has tried it meanwhile, and a clock
  // that is years ahead must not return all of it. Returns what does not count.
  std::int64_t begin(std::int64_t last_work, std::int64_t wall);
  std::int64_t not_counted(std::int64_t arrival) const {
    return arrival <= last_work_ ? not_counted_ : 0;
  }

  // Call often. Both times are of the same instant.
  std::int64_t now(std::int64_t wall, SteadyTime steady);
  // Jumps seen since the last call, in microseconds; for one line in the log.
  std::int64_t take_jump();

 private:
  bool begun_ = false;
  std::int64_t offset_ = 0; // now - wall
  std::int64_t last_wall_ = 0;
  SteadyTime last_steady_{};
  std::int64_t jump_ = 0;
  std::int64_t last_work_ = 0;
  std::int64_t not_counted_ = 0; // of the time from last_work_ to the start
};

// How long a message has been in the queue. A clock that was wrong when it came, or is now, makes
// it younger, never older: the smaller of both views counts.
std::int64_t age_of(std::int64_t arrival, std::int64_t now, std::int64_t wall);

// After `attempts` attempts (1 and up): minimal, doubled each time, at most maximal; up to a tenth
// is added as jitter (0..1023 in `dice`), so that mail that failed together does not return
// together.
std::int64_t backoff(const RetryLimits& limits, std::uint32_t attempts, std::uint32_t dice);
// For mail that was not attempted because its destination is dead: the older, the longer.
std::int64_t suspended_backoff(const RetryLimits& limits, std::int64_t age, std::uint32_t dice);

// May the next attempt be made? A next_try that no schedule of ours can have set (the clock was
// wrong then) counts as due.
bool is_due(const RetryLimits& limits, std::int64_t next_try, std::int64_t now);
// The first next_try that is beyond belief.
std::int64_t farthest_try(const RetryLimits& limits, std::int64_t now);

bool is_expired(const RetryLimits& limits, bool null_sender, std::int64_t age);
bool is_warning_due(const RetryLimits& limits, std::int64_t age);

} // namespace postrider::qmgr
