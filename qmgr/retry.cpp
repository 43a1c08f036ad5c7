// SPDX-License-Identifier: MIT
#include "retry.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace postrider::qmgr {

namespace {

std::int64_t with_jitter(std::int64_t delay, std::uint32_t dice) {
  return delay + delay / 10 * static_cast<std::int64_t>(dice % 1024) / 1024;
}

} // namespace

std::int64_t Timekeeper::now(std::int64_t wall, SteadyTime steady) {
  if (!begun_) {
    begun_ = true;
    last_wall_ = wall;
    last_steady_ = steady;
    return wall;
  }
  const std::int64_t elapsed =
      std::chrono::duration_cast<std::chrono::microseconds>(steady - last_steady_).count();
  const std::int64_t jump = wall - last_wall_ - elapsed;
  if (jump > kJump || jump < -kJump) {
    offset_ -= jump;
    jump_ += jump;
  }
  last_wall_ = wall;
  last_steady_ = steady;
  return wall + offset_;
}

std::int64_t Timekeeper::begin(std::int64_t last_work, std::int64_t wall) {
  last_work_ = last_work;
  if (last_work > 0) not_counted_ = std::max<std::int64_t>(0, wall - last_work - kMostAbsence);
  return not_counted_;
}

std::int64_t Timekeeper::take_jump() { return std::exchange(jump_, 0); }

std::int64_t age_of(std::int64_t arrival, std::int64_t now, std::int64_t wall) {
  return std::max<std::int64_t>(0, std::min(now, wall) - arrival);
}

std::int64_t backoff(const RetryLimits& limits, std::uint32_t attempts, std::uint32_t dice) {
  std::int64_t delay = limits.minimal;
  for (std::uint32_t i = 1; i < attempts && delay < limits.maximal; ++i)
    delay *= 2;
  return with_jitter(std::max(std::min(delay, limits.maximal), limits.minimal), dice);
}

std::int64_t suspended_backoff(const RetryLimits& limits, std::int64_t age, std::uint32_t dice) {
  return with_jitter(std::max(std::min(age, limits.maximal), limits.minimal), dice);
}

std::int64_t farthest_try(const RetryLimits& limits, std::int64_t now) {
  return now + 2 * std::max(limits.maximal, limits.minimal) + 3'600'000'000;
}

bool is_due(const RetryLimits& limits, std::int64_t next_try, std::int64_t now) {
  return next_try <= now || next_try > farthest_try(limits, now);
}

bool is_expired(const RetryLimits& limits, bool null_sender, std::int64_t age) {
  return age >= (null_sender ? std::min(limits.bounce_lifetime, limits.lifetime) : limits.lifetime);
}

bool is_warning_due(const RetryLimits& limits, std::int64_t age) {
  return limits.delay_warning > 0 && age >= limits.delay_warning;
}

} // namespace postrider::qmgr
