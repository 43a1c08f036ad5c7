// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schedule.hpp"

namespace postrider::qmgr {
namespace {

struct Thing {
  explicit Thing(char n) : name(n) {}
  char name;
  Round<Thing>::Place round;
};

std::string take_all(Round<Thing>& round) {
  std::string order;
  while (Thing* thing = round.take())
    order += thing->name;
  return order;
}

TEST(Round, TakesTurnsInOrder) {
  const TurnLimits limits;
  Round<Thing> round(limits);
  Thing a('a'), b('b'), c('c');
  round.add(a, Size::small);
  round.add(b, Size::small);
  round.add(c, Size::small);
  round.add(a, Size::small); // keeps its place
  EXPECT_EQ(round.size(), 3u);
  std::string order;
  for (int i = 0; i < 7; ++i) {
    Thing* thing = round.take();
    order += thing->name;
    round.add(*thing, Size::small);
  }
  EXPECT_EQ(order, "abcabca");
}

TEST(Round, RemovedOnesAreSkipped) {
  const TurnLimits limits;
  Round<Thing> round(limits);
  Thing a('a'), b('b'), c('c');
  for (Thing* thing : {&a, &b, &c})
    round.add(*thing, Size::large);
  round.remove(b);
  round.remove(b);
  EXPECT_EQ(take_all(round), "ac");
  EXPECT_TRUE(round.empty());
  EXPECT_EQ(round.take(), nullptr);
}

TEST(Round, ALargeMailingCannotStarveNorBeStarved) {
  const TurnLimits limits; // cost 5, half forgiven
  Round<Thing> round(limits);
  Thing small('s'), large('L');
  round.add(small, Size::small);
  round.add(large, Size::large);
  std::string order;
  for (int i = 0; i < 700; ++i) {
    Thing* thing = round.take();
    order += thing->name;
    round.add(*thing, thing == &small ? Size::small : Size::large);
  }
  const auto smalls = std::count(order.begin(), order.end(), 's');
  // One for 2.5 large ones, and the loan of three at the beginning.
  EXPECT_GE(smalls, 200);
  EXPECT_LE(smalls, 205);
  EXPECT_EQ(order.substr(0, 4), "sssL") << "the loan lets small mail go at once";
}

TEST(Turns, AloneEitherGoesWithoutAccount) {
  const TurnLimits limits;
  Turns turns(limits);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(turns.next(true, false), Size::small);
    EXPECT_EQ(turns.next(false, true), Size::large);
  }
}

TEST(Sizes, LargeIsWhatEarnsTheMinimumOfTurns) {
  EXPECT_EQ(size_of(1, TurnLimits{}), Size::small);
  EXPECT_EQ(size_of(14, TurnLimits{}), Size::small);
  EXPECT_EQ(size_of(15, TurnLimits{}), Size::large);
  TurnLimits never;
  never.cost = 1;
  EXPECT_EQ(size_of(100'000, never), Size::small);
}

TEST(Round, ManyComeAndGo) {
  const TurnLimits limits;
  Round<Thing> round(limits);
  std::vector<std::unique_ptr<Thing>> things;
  for (int i = 0; i < 5000; ++i)
    things.push_back(std::make_unique<Thing>('x'));
  for (auto& thing : things)
    round.add(*thing, Size::small);
  for (auto& thing : things)
    round.remove(*thing);
  EXPECT_TRUE(round.empty());
  for (auto& thing : things)
    round.add(*thing, Size::large);
  EXPECT_EQ(take_all(round).size(), 5000u);
}

} // namespace
} // namespace postrider::qmgr
