// SPDX-License-Identifier: MIT
#include "counts.hpp"

#include <gtest/gtest.h>

namespace postrider::anvil {
namespace {

using namespace std::chrono_literals;
using proto::ClientEvent;

constexpr std::size_t kMessage = static_cast<std::size_t>(ClientEvent::message);

class CountsTest : public testing::Test {
 protected:
  // "connections rate", or "no room".
  std::string count(const std::string& client, ClientEvent event = ClientEvent::connection) {
    return shown(counts.count(client, event, now));
  }
  std::string look(const std::string& client, ClientEvent event) {
    return shown(counts.look(client, event, now.steady));
  }
  static std::string shown(const std::optional<Counts::Count>& c) {
    return c ? std::to_string(c->connections) + " " + std::to_string(c->rate) : "no room";
  }
  void advance(Duration by) {
    now.steady += by;
    now.wall += std::chrono::duration_cast<WallTime::duration>(by);
  }
  Moment now{SteadyTime(1000h), WallTime(1'800'000'000s)};
  Counts counts{{.unit = 60s, .clients = 3}};
};

TEST_F(CountsTest, ConnectionsAreThoseOfNowRatesThoseOfTheUnit) {
  EXPECT_EQ(count("a"), "1 1");
  EXPECT_EQ(count("a"), "2 2");
  EXPECT_EQ(count("b"), "1 1");
  counts.disconnect("a", now.steady);
  EXPECT_EQ(count("a"), "2 3");
}

TEST_F(CountsTest, EachKindOfEventHasItsRate) {
  count("a");
  for (const ClientEvent event : {ClientEvent::message, ClientEvent::recipient,
                                  ClientEvent::tls_session, ClientEvent::auth}) {
    EXPECT_EQ(look("a", event), "1 0");
    EXPECT_EQ(count("a", event), "1 1");
    EXPECT_EQ(count("a", event), "1 2");
    EXPECT_EQ(look("a", event), "1 2");
  }
  EXPECT_EQ(look("a", ClientEvent::connection), "1 1");
}

TEST_F(CountsTest, AUnitBeginsWithItsFirstEvent) {
  count("a");
  advance(59s);
  EXPECT_EQ(count("a", ClientEvent::message), "1 1");
  advance(1s);
  EXPECT_EQ(look("a", ClientEvent::message), "1 0");
  EXPECT_EQ(count("a", ClientEvent::message), "1 1");
  advance(59s);
  EXPECT_EQ(count("a", ClientEvent::message), "1 2");
}

TEST_F(CountsTest, AClientWithoutConnectionsIsForgottenAfterTheUnit) {
  count("a");
  count("b");
  counts.disconnect("a", now.steady);
  ASSERT_TRUE(counts.next_expiry());
  EXPECT_EQ(*counts.next_expiry(), now.steady + 60s);
  advance(60s - 1ms);
  counts.expire(now.steady);
  EXPECT_EQ(counts.clients(), 2U);
  advance(1ms);
  counts.expire(now.steady);
  EXPECT_EQ(counts.clients(), 1U);
  EXPECT_FALSE(counts.next_expiry());
  EXPECT_EQ(look("b", ClientEvent::connection), "1 0");
}

TEST_F(CountsTest, EventsOfAClientWithoutConnectionsPutItOff) {
  count("a", ClientEvent::message);
  advance(30s);
  count("a", ClientEvent::message);
  advance(59s);
  counts.expire(now.steady);
  EXPECT_EQ(counts.clients(), 1U);
  advance(1s);
  counts.expire(now.steady);
  EXPECT_EQ(counts.clients(), 0U);
}

TEST_F(CountsTest, TheLongestIdleMakesRoom) {
  for (const char* name : {"a", "b", "c"})
    count(name);
  EXPECT_EQ(count("d"), "no room");
  counts.disconnect("b", now.steady);
  advance(1s);
  counts.disconnect("a", now.steady);
  EXPECT_EQ(count("d"), "1 1");
  EXPECT_EQ(counts.clients(), 3U);
  EXPECT_EQ(look("a", ClientEvent::connection), "0 1");
  EXPECT_EQ(look("b", ClientEvent::connection), "0 0");
}

TEST_F(CountsTest, StatisticsAreOfTheTimeSinceTheLastOnes) {
  const WallTime first = now.wall;
  count("a");
  count("a");
  advance(1s);
  count("b");
  count("b", ClientEvent::message);
  Statistics s = counts.take_statistics();
  EXPECT_EQ(s.connections.value, 2U);
  EXPECT_EQ(s.connections.client, "a");
  EXPECT_EQ(s.connections.at, first);
  EXPECT_EQ(s.rates[0].value, 2U);
  EXPECT_EQ(s.rates[kMessage].client, "b");
  EXPECT_EQ(s.clients.value, 2U);
  s = counts.take_statistics();
  EXPECT_EQ(s.connections.value, 0U);
  EXPECT_EQ(s.clients.value, 0U);
}

} // namespace
} // namespace postrider::anvil
