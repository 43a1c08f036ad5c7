// SPDX-License-Identifier: MIT
#include "deaths.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/manual_clock.hpp"

namespace postrider::master {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

class DeathsTest : public testing::Test {
 protected:
  Duration die(Duration ready_for, std::string cause = "exit status 1", bool had_clients = false) {
    return deaths.record({clock.steady(), clock.wall(), std::move(cause)}, ready_for, had_clients);
  }
  test::ManualClock clock;
  Deaths deaths{10s};
};

TEST_F(DeathsTest, ProvenWorkerIsReplacedAtOnce) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(die(5s), 0s);
    clock.advance(10s);
  }
  EXPECT_EQ(deaths.total(), 10u);
}

TEST_F(DeathsTest, DyingAtOnceDoublesThePauseUpToTheLimit) {
  std::vector<Duration> pauses;
  for (int i = 0; i < 11; ++i)
    pauses.push_back(die(-1ns));
  EXPECT_THAT(pauses,
              ElementsAre(0ms, 100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms, 10s, 10s, 10s));
  EXPECT_EQ(deaths.streak(), 11u);
}

TEST_F(DeathsTest, ReadyForAMomentIsNoProof) {
  die(0ms);
  EXPECT_EQ(die(999ms), 100ms);
}

TEST_F(DeathsTest, AWorkerThatItsWorkKilledNeverKeepsItsServiceAwayForASecond) {
  for (int i = 0; i < 50; ++i)
    EXPECT_LT(die(1ms, "killed by signal 11", true), 1s);
  EXPECT_EQ(deaths.streak(), 0u);
}

TEST_F(DeathsTest, AProvenLifeEndsTheStreak) {
  for (int i = 0; i < 8; ++i)
    die(-1ns);
  EXPECT_EQ(die(2s), 0s);
  EXPECT_EQ(deaths.streak(), 0u);
  EXPECT_EQ(die(-1ns), 0s);
}

TEST_F(DeathsTest, AFlurryOfProvenDeathsIsSlowedButStaysBelowASecond) {
  for (std::size_t i = 1; i < Deaths::kKept; ++i) {
    EXPECT_EQ(die(1100ms), 0s);
    clock.advance(1100ms);
  }
  const Duration pause = die(1100ms);
  EXPECT_GT(pause, 0s);
  EXPECT_LT(pause, 1s);
  clock.advance(60s);
  EXPECT_EQ(die(60s), 0s);
}

TEST_F(DeathsTest, KeepsTheLastOnes) {
  for (std::size_t i = 0; i < Deaths::kKept + 5; ++i)
    die(5s, "number " + std::to_string(i));
  ASSERT_EQ(deaths.recent().size(), Deaths::kKept);
  EXPECT_EQ(deaths.recent().front().cause, "number 5");
  EXPECT_EQ(deaths.recent().back().cause, "number " + std::to_string(Deaths::kKept + 4));
}

TEST_F(DeathsTest, PauseNeverExceedsAShortLimit) {
  deaths.set_longest(50ms);
  for (int i = 0; i < 5; ++i)
    EXPECT_LE(die(-1ns), 50ms);
}

} // namespace
} // namespace postrider::master
