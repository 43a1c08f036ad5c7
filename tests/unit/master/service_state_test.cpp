// SPDX-License-Identifier: MIT
#include "service_state.hpp"

#include <gtest/gtest.h>

namespace postrider::master {

void PrintTo(const Next& next, std::ostream* out) {
  *out << to_string(next.state) << "/act " << static_cast<int>(next.act);
}

namespace {

// The whole product, written down a second time: rows are states, columns are events.
struct Row {
  State from;
  // start, demand, has_free, none_free, failed, backoff_over, stop, all_gone
  Next next[8];
};

using enum State;
constexpr Next stay(State state) { return {state, Act::none}; }

// clang-format off
constexpr Row kTable[] = {
    {stopped,
     {{idle, Act::watch}, stay(stopped), stay(stopped), stay(stopped), stay(stopped), stay(stopped),
      {stopped, Act::finish}, {stopped, Act::finish}}},
    {idle,
     {stay(idle), {starting, Act::fork}, {serving, Act::unwatch}, {idle, Act::watch},
      {throttled, Act::arm_backoff}, stay(idle), {stopping, Act::terminate}, {idle, Act::watch}}},
    {starting,
     {stay(starting), stay(starting), stay(serving), {idle, Act::watch},
      {throttled, Act::arm_backoff}, stay(starting), {stopping, Act::terminate},
      {idle, Act::watch}}},
    {serving,
     {stay(serving), stay(serving), stay(serving), {idle, Act::watch},
      {throttled, Act::arm_backoff}, stay(serving), {stopping, Act::terminate},
      {idle, Act::watch}}},
    {throttled,
     {stay(throttled), stay(throttled), stay(throttled), stay(throttled), stay(throttled),
      {idle, Act::watch}, {stopping, Act::terminate}, stay(throttled)}},
    {stopping,
     {stay(stopping), stay(stopping), stay(stopping), stay(stopping), stay(stopping),
      stay(stopping), stay(stopping), {stopped, Act::finish}}},
};
// clang-format on

TEST(ServiceState, WholeProduct) {
  ASSERT_EQ(std::size(kTable), static_cast<std::size_t>(highest(State{})) + 1);
  ASSERT_EQ(std::size(kTable[0].next), static_cast<std::size_t>(highest(Event{})) + 1);
  for (const Row& row : kTable)
    for (std::size_t e = 0; e < std::size(row.next); ++e) {
      const auto event = static_cast<Event>(e);
      EXPECT_EQ(step(row.from, event), row.next[e])
          << to_string(row.from) << " on " << to_string(event);
    }
}

TEST(ServiceState, OnlyTheTimerAndStopEndThrottling) {
  for (std::size_t e = 0; e <= static_cast<std::size_t>(highest(Event{})); ++e) {
    const auto event = static_cast<Event>(e);
    const bool ends = step(throttled, event).state != throttled;
    EXPECT_EQ(ends, event == Event::backoff_over || event == Event::stop) << to_string(event);
  }
}

TEST(ServiceState, NothingIsForkedWhileStopping) {
  for (const State state : {stopped, stopping, throttled})
    for (std::size_t e = 0; e <= static_cast<std::size_t>(highest(Event{})); ++e)
      EXPECT_NE(step(state, static_cast<Event>(e)).act, Act::fork);
}

} // namespace
} // namespace postrider::master
