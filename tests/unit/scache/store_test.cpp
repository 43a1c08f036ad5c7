// SPDX-License-Identifier: MIT
#include "store.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <unistd.h>

namespace postrider::scache {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

Fd some_fd() { return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

std::vector<std::string> facts_of(const std::vector<Connection>& connections) {
  std::vector<std::string> out;
  for (const Connection& connection : connections)
    out.push_back(connection.facts);
  return out;
}

class Storing : public testing::Test {
 protected:
  Storing() : Storing(Store::Limits{.ttl = 10s, .connections = 4}) {}
  explicit Storing(const Store::Limits& limits) : store(limits) {}

  std::vector<std::string> save(const std::string& destination, const std::string& endpoint,
                                const std::string& facts, Duration ttl = 5s) {
    return facts_of(store.save(destination, endpoint, ttl, facts, some_fd(), now).displaced);
  }
  static std::string name(const std::optional<Connection>& found) {
    return found ? found->facts : "none";
  }
  std::string by_destination(const std::string& key) {
    return name(store.find_by_destination(key, now));
  }
  std::string by_endpoint(const std::string& key) { return name(store.find_by_endpoint(key, now)); }

  Store store;
  SteadyTime now{1000s};
};

TEST_F(Storing, HandsAConnectionOutOnce) {
  save("a", "1", "x");
  EXPECT_EQ(by_destination("a"), "x");
  EXPECT_EQ(by_destination("a"), "none");
  EXPECT_EQ(by_endpoint("1"), "none");
  save("a", "1", "y");
  EXPECT_EQ(by_endpoint("1"), "y");
  EXPECT_EQ(by_destination("a"), "none");
}

TEST_F(Storing, TheDescriptorGoesAlong) {
  const Fd fd = some_fd();
  const int number = fd.duplicate()->release();
  store.save("a", "1", 5s, "x", Fd(number), now);
  const std::optional<Connection> found = store.find_by_endpoint("1", now);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->fd.get(), number);
}

TEST_F(Storing, ComparesKeysAsTheyAre) {
  save("smtp a", "1", "x");
  for (const char* other : {"smtp A", "smtp a ", "smtp", "relay a", "smtp a\n", ""})
    EXPECT_EQ(by_destination(other), "none") << other;
  for (const char* other : {"11", "", "smtp a"})
    EXPECT_EQ(by_endpoint(other), "none") << other;
  EXPECT_EQ(by_destination("smtp a"), "x");
}

TEST_F(Storing, TheLastSavedGoesFirst) {
  save("a", "1", "x");
  save("a", "1", "y");
  EXPECT_EQ(by_destination("a"), "y");
  EXPECT_EQ(by_destination("a"), "x");
}

TEST_F(Storing, ADestinationUsesWhatAnotherSavedAtItsEndpoint) {
  save("a", "1", "x");
  save("b", "1", "y");
  EXPECT_EQ(by_destination("a"), "y");
  EXPECT_EQ(by_destination("b"), "x");
}

TEST_F(Storing, ADestinationHasSeveralEndpoints) {
  save("a", "1", "x");
  save("a", "2", "y");
  EXPECT_EQ(by_endpoint("1"), "x");
  EXPECT_EQ(by_destination("a"), "y");
}

TEST_F(Storing, WithoutADestinationItIsFoundByEndpoint) {
  save("", "1", "x");
  EXPECT_EQ(store.destinations(), 0U);
  EXPECT_EQ(by_destination(""), "none");
  EXPECT_EQ(by_endpoint("1"), "x");
}

TEST_F(Storing, NothingIsHandedOutWhenItsTimeIsOver) {
  save("a", "1", "short", 2s);
  now += 2s;
  EXPECT_EQ(by_endpoint("1"), "none");
  EXPECT_EQ(by_destination("a"), "none");
  EXPECT_THAT(facts_of(store.expire(now)), ElementsAre("short"));
}

TEST_F(Storing, ExpiresInOrderOfTime) {
  save("a", "1", "late", 4s);
  save("a", "1", "early", 1s);
  EXPECT_EQ(store.next_expiry(), now + 1s);
  now += 1s;
  EXPECT_THAT(facts_of(store.expire(now)), ElementsAre("early"));
  EXPECT_EQ(by_destination("a"), "late");
  now += 3s;
  EXPECT_THAT(store.expire(now), IsEmpty());
  EXPECT_EQ(store.next_expiry(), std::nullopt);
  EXPECT_EQ(store.destinations(), 0U);
  EXPECT_EQ(store.endpoints(), 0U);
}

TEST_F(Storing, NoTimeBeyondTheLimit) {
  save("a", "1", "long", std::chrono::hours(1000));
  EXPECT_EQ(store.next_expiry(), now + 10s);
  save("a", "1", "never", -1h);
  EXPECT_EQ(by_endpoint("1"), "long");
}

TEST_F(Storing, ALinkThatIsUsedAgainLastsLonger) {
  save("a", "1", "x", 3s);
  now += 2s;
  save("a", "1", "y", 3s);
  now += 2s;
  EXPECT_THAT(facts_of(store.expire(now)), ElementsAre("x"));
  EXPECT_EQ(by_destination("a"), "y");
  now += 1s;
  store.expire(now);
  EXPECT_EQ(store.destinations(), 0U);
}

TEST_F(Storing, WhenFullTheOneWithTheLeastTimeLeftGoes) {
  save("a", "1", "1", 5s);
  save("b", "2", "2", 2s);
  save("c", "3", "3", 4s);
  save("d", "4", "4", 3s);
  EXPECT_THAT(save("e", "5", "5", 5s), ElementsAre("2"));
  EXPECT_THAT(save("f", "6", "6", 1s), ElementsAre("6")); // itself
  EXPECT_EQ(store.connections(), 4U);
  EXPECT_LE(store.destinations(), 4U);
}

TEST_F(Storing, OneThatIsGoneIsRemovedOnce) {
  const std::uint64_t id = store.save("a", "1", 5s, "x", some_fd(), now).id;
  EXPECT_EQ(name(store.remove(id)), "x");
  EXPECT_EQ(name(store.remove(id)), "none");
  EXPECT_EQ(by_endpoint("1"), "none");
}

TEST_F(Storing, CountsHitsMissesAndTheMostAtOneTime) {
  save("a", "1", "x");
  save("a", "2", "y");
  save("b", "2", "z");
  by_destination("a");
  by_destination("nobody");
  by_destination("nobody");
  by_endpoint("2");
  const Statistics counted = store.take_statistics();
  EXPECT_EQ(counted.by_destination.hits, 1U);
  EXPECT_EQ(counted.by_destination.misses, 2U);
  EXPECT_EQ(counted.by_endpoint.hits, 1U);
  EXPECT_EQ(counted.by_endpoint.misses, 0U);
  EXPECT_EQ(counted.most_destinations, 2U);
  EXPECT_EQ(counted.most_endpoints, 2U);
  EXPECT_EQ(counted.most_connections, 3U);
  const Statistics next = store.take_statistics();
  EXPECT_EQ(next.by_destination.hits + next.by_endpoint.hits, 0U);
  EXPECT_EQ(next.most_connections, 1U); // is still there
}

// Whatever is done in whatever order: each connection comes out once, in time, under its own keys,
// and no more are kept than allowed.
TEST_F(Storing, KeepsItsPromisesInAnyOrder) {
  std::mt19937 dice(7);
  struct Known {
    std::string endpoint;
    SteadyTime until;
  };
  std::map<std::string, Known> inside;
  const auto left = [&](const Connection& connection) {
    ASSERT_EQ(inside.erase(connection.facts), 1U) << connection.facts << " came out twice";
  };
  for (int step = 0; step < 20000; ++step) {
    const std::string destination(1, static_cast<char>('a' + dice() % 5));
    const std::string endpoint = std::to_string(dice() % 6);
    switch (dice() % 5) {
    case 0:
    case 1: {
      const auto ttl = std::chrono::milliseconds(dice() % 12000);
      const std::string facts = std::to_string(step);
      inside[facts] = Known{endpoint, now + std::min<Duration>(ttl, 10s)};
      for (const Connection& gone :
           store.save(destination, endpoint, ttl, facts, Fd(), now).displaced)
        left(gone);
      break;
    }
    case 2:
      if (const auto found = store.find_by_endpoint(endpoint, now)) {
        EXPECT_EQ(inside[found->facts].endpoint, endpoint);
        EXPECT_GT(inside[found->facts].until, now);
        left(*found);
      }
      break;
    case 3:
      if (const auto found = store.find_by_destination(destination, now)) {
        EXPECT_GT(inside[found->facts].until, now);
        left(*found);
      }
      break;
    case 4:
      now += std::chrono::milliseconds(dice() % 1500);
      for (const Connection& gone : store.expire(now)) {
        EXPECT_LE(inside[gone.facts].until, now);
        left(gone);
      }
      for (const auto& [facts, known] : inside)
        EXPECT_GT(known.until, now) << "kept too long";
      break;
    }
    ASSERT_LE(store.connections(), 4U);
    ASSERT_EQ(store.connections(), inside.size());
  }
  for (const Connection& gone : store.remove_all())
    left(gone);
  EXPECT_THAT(inside, IsEmpty());
}

} // namespace
} // namespace postrider::scache
