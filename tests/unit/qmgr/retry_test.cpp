// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "retry.hpp"
#include "support/manual_clock.hpp"

namespace postrider::qmgr {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kDay = 86'400 * kSecond;
constexpr std::int64_t kYear = 365 * kDay;

struct BackoffCase {
  const char* name;
  std::uint32_t attempts;
  std::uint32_t dice;
  std::int64_t seconds;
};
class Backoff : public testing::TestWithParam<BackoffCase> {};
TEST_P(Backoff, DoublesBetweenTheLimits) {
  EXPECT_EQ(backoff(RetryLimits{}, GetParam().attempts, GetParam().dice) / kSecond,
            GetParam().seconds);
}
INSTANTIATE_TEST_SUITE_P(Schedule, Backoff,
                         testing::ValuesIn<BackoffCase>({
                             {"First", 1, 0, 300},
                             {"Second", 2, 0, 600},
                             {"Third", 3, 0, 1200},
                             {"Fourth", 4, 0, 2400},
                             {"Capped", 5, 0, 4000},
                             {"VeryMany", 4'000'000'000, 0, 4000},
                             {"None", 0, 0, 300},
                             {"Jitter", 1, 512, 315},
                             {"MostJitter", 5, 1023, 4399},
                         }),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(SuspendedBackoff, GrowsWithAge) {
  const RetryLimits limits;
  EXPECT_EQ(suspended_backoff(limits, 0, 0), 300 * kSecond);
  EXPECT_EQ(suspended_backoff(limits, 1000 * kSecond, 0), 1000 * kSecond);
  EXPECT_EQ(suspended_backoff(limits, kDay, 0), 4000 * kSecond);
}

TEST(Expiry, AtTheLifetimeOfItsKind) {
  RetryLimits limits;
  limits.lifetime = 5 * kDay;
  limits.bounce_lifetime = kDay;
  EXPECT_FALSE(is_expired(limits, false, 5 * kDay - 1));
  EXPECT_TRUE(is_expired(limits, false, 5 * kDay));
  EXPECT_FALSE(is_expired(limits, true, kDay - 1));
  EXPECT_TRUE(is_expired(limits, true, kDay));
  limits.lifetime = 0;
  EXPECT_TRUE(is_expired(limits, false, 0)) << "0 allows one attempt";
}

TEST(Warning, NeverWithoutALimit) {
  RetryLimits limits;
  EXPECT_FALSE(is_warning_due(limits, kYear));
  limits.delay_warning = 4 * 3600 * kSecond;
  EXPECT_FALSE(is_warning_due(limits, limits.delay_warning - 1));
  EXPECT_TRUE(is_warning_due(limits, limits.delay_warning));
}

TEST(Due, NextTriesBeyondBeliefAreDue) {
  const RetryLimits limits;
  const std::int64_t now = 1'800'000'000 * kSecond;
  EXPECT_TRUE(is_due(limits, 0, now));
  EXPECT_TRUE(is_due(limits, now, now));
  EXPECT_FALSE(is_due(limits, now + 1, now));
  EXPECT_FALSE(is_due(limits, now + 4400 * kSecond, now)) << "the longest that backoff() gives";
  EXPECT_TRUE(is_due(limits, now + kYear, now));
}

struct JumpCase {
  const char* name;
  std::int64_t jump;
};
class ClockJump : public testing::TestWithParam<JumpCase> {
 protected:
  std::int64_t wall() { return to_unix_micros(clock_.wall()); }
  std::int64_t now() { return keeper_.now(wall(), clock_.steady()); }
  test::ManualClock clock_;
  Timekeeper keeper_;
};

TEST_P(ClockJump, TheScheduleGoesOnAndNothingExpires) {
  const RetryLimits limits;
  const std::int64_t arrival = now();
  clock_.advance(60s);
  const std::int64_t before = now();
  EXPECT_EQ(before, arrival + 60 * kSecond);
  clock_.jump_wall(std::chrono::microseconds(GetParam().jump));
  clock_.advance(10s);
  const std::int64_t after = now();
  EXPECT_EQ(after, before + 10 * kSecond) << "neither stall nor leap";
  EXPECT_EQ(keeper_.take_jump(), GetParam().jump);
  EXPECT_EQ(keeper_.take_jump(), 0);
  // Mail from before the jump, and mail stamped by the new clock.
  EXPECT_LE(age_of(arrival, after, wall()), 70 * kSecond);
  EXPECT_FALSE(is_expired(limits, false, age_of(arrival, after, wall())));
  const std::int64_t new_arrival = wall();
  clock_.advance(5s);
  EXPECT_LE(age_of(new_arrival, now(), wall()), 5 * kSecond);
  EXPECT_TRUE(is_due(limits, after + 300 * kSecond, after + 300 * kSecond));
}
INSTANTIATE_TEST_SUITE_P(W1W2, ClockJump,
                         testing::ValuesIn<JumpCase>({
                             {"BackOneHour", -3600 * kSecond},
                             {"ForwardOneHour", 3600 * kSecond},
                             {"ForwardTenYears", 10 * kYear},
                             {"To1970", -50 * kYear},
                             {"Past2038", 30 * kYear},
                         }),
                         [](const auto& test) { return std::string(test.param.name); });

// At a start whose clock is years ahead, or after a long absence: mail of before is a day older.
TEST(Timekeeper, ADayOfAnAbsenceCounts) {
  constexpr std::int64_t kArrival = 1'700'000'000 * kSecond;
  constexpr std::int64_t kLastWork = kArrival + 2 * kDay;
  struct Row {
    std::int64_t away;
    std::int64_t counted;
  };
  for (const Row row : {Row{-kYear, -kYear}, Row{0, 0}, Row{kDay / 2, kDay / 2}, Row{kDay, kDay},
                        Row{kDay + 1, kDay}, Row{10 * kYear, kDay}}) {
    Timekeeper keeper;
    const std::int64_t wall = kLastWork + row.away;
    EXPECT_EQ(keeper.begin(kLastWork, wall), std::max<std::int64_t>(0, row.away - kDay));
    EXPECT_EQ(wall - kArrival - keeper.not_counted(kArrival), 2 * kDay + row.counted);
    EXPECT_EQ(keeper.not_counted(wall), 0) << "mail that comes now ages as ever";
  }
  Timekeeper of_a_new_queue;
  EXPECT_EQ(of_a_new_queue.begin(0, kArrival), 0);
  EXPECT_EQ(of_a_new_queue.not_counted(kArrival), 0);
}

TEST(Timekeeper, FollowsSlowCorrections) {
  test::ManualClock clock;
  Timekeeper keeper;
  const auto now = [&] { return keeper.now(to_unix_micros(clock.wall()), clock.steady()); };
  now();
  for (int i = 0; i < 100; ++i) {
    clock.advance(1s);
    clock.jump_wall(10ms);
    EXPECT_EQ(now(), to_unix_micros(clock.wall()));
  }
  EXPECT_EQ(keeper.take_jump(), 0);
}

} // namespace
} // namespace postrider::qmgr
