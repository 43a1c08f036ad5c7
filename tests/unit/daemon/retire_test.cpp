// SPDX-License-Identifier: MIT
// shows: max_idle max_use
#include "daemon/retire.hpp"

#include <gtest/gtest.h>

#include "support/manual_clock.hpp"

namespace postrider::daemon {
namespace {

using namespace std::chrono_literals;

class RetirementTest : public testing::Test {
 protected:
  test::ManualClock clock;
  Retirement worker{{.may_retire = true, .max_idle = 100s, .max_use = 3}, clock.steady()};
};

TEST_F(RetirementTest, IdleWorkerRetires) {
  clock.advance(99s);
  EXPECT_FALSE(worker.idle_too_long(clock.steady(), false));
  clock.advance(1s);
  EXPECT_TRUE(worker.idle_too_long(clock.steady(), false));
}

TEST_F(RetirementTest, AClientRestartsTheClockWhenItLeaves) {
  worker.client_came();
  EXPECT_FALSE(worker.idle_limit().has_value());
  clock.advance(1000s);
  EXPECT_FALSE(worker.idle_too_long(clock.steady(), false));
  worker.client_left(clock.steady());
  EXPECT_EQ(worker.idle_limit(), clock.steady() + 100s);
}

TEST_F(RetirementTest, OtherWorkIsUse) {
  clock.advance(100s);
  EXPECT_FALSE(worker.idle_too_long(clock.steady(), true));
  clock.advance(99s);
  EXPECT_FALSE(worker.idle_too_long(clock.steady(), false));
  clock.advance(1s);
  EXPECT_TRUE(worker.idle_too_long(clock.steady(), false));
}

TEST_F(RetirementTest, CountsClients) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(worker.used_up());
    worker.client_came();
    worker.client_left(clock.steady());
  }
  EXPECT_TRUE(worker.used_up());
}

TEST_F(RetirementTest, ResidentNeverRetires) {
  Retirement resident({.may_retire = false, .max_idle = 1s, .max_use = 1}, clock.steady());
  for (int i = 0; i < 5; ++i) {
    resident.client_came();
    resident.client_left(clock.steady());
  }
  clock.advance(1000s);
  EXPECT_FALSE(resident.idle_too_long(clock.steady(), false));
  EXPECT_FALSE(resident.used_up());
}

} // namespace
} // namespace postrider::daemon
