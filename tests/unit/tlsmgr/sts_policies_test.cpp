// SPDX-License-Identifier: MIT
#include "sts_policies.hpp"

#include <gtest/gtest.h>

#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tlsmgr {
namespace {

using namespace std::chrono_literals;
using mail::StsMode;
using proto::PolicyWish;

// Policy hosts and DNS as the test wants them.
struct FakeSource final : StsSource {
  ev::Loop& loop;
  Result<std::string> announced = std::string("1");
  Result<mail::StsPolicy> published = mail::StsPolicy{StsMode::enforce, 10 * 24h, {"mx.example"}};
  bool hold = false; // policies do not arrive
  ev::Condition go;
  int asked = 0, fetched = 0;
  explicit FakeSource(ev::Loop& l) : loop(l), go(l) {}
  ev::Task<Result<std::string>> id(const std::string&, ev::Deadline) override {
    ++asked;
    co_return announced;
  }
  ev::Task<Result<mail::StsPolicy>> policy(const std::string&, ev::Deadline deadline) override {
    ++fetched;
    while (hold) {
      Result<void> woken = co_await go.wait(deadline, "the test");
      if (!woken) co_return woken.error();
    }
    co_return published;
  }
};

struct Stage {
  test::ManualClock clock;
  ev::Loop loop{clock};
  test::ScratchDir dir;
  FakeSource source{loop};
  std::unique_ptr<StsPolicies> policies;
  ev::Group group{loop};

  Stage() { start(); }
  ~Stage() {
    policies->close();
    turns();
  }
  void start(bool with_file = true) {
    policies.reset();
    StoreSetup setup;
    setup.path = dir.path() + "/sts.lmdb";
    setup.limit = 1 << 20;
    setup.longest = mail::kStsLongestAge;
    setup.owner_limit = 0s;
    std::unique_ptr<Store> store;
    if (with_file) store = std::make_unique<Store>(*Store::open(setup, clock.wall()));
    policies = std::make_unique<StsPolicies>(loop, source, std::move(store), 60s);
  }
  void turns() {
    for (int i = 0; i < 20; ++i)
      loop.turn(false);
  }
  void pass(Duration time) {
    clock.advance(time);
    turns();
  }
  void begin(std::vector<proto::Policy>& out, PolicyWish wish = PolicyWish::usual,
             std::string domain = "example.com") {
    group.spawn(ask_one(*policies, std::move(domain), wish, out), "ask");
    turns();
  }
  static ev::RootTask ask_one(StsPolicies& policies, std::string domain, PolicyWish wish,
                              std::vector<proto::Policy>& out) {
    proto::Policy policy = co_await policies.ask(domain, wish);
    out.push_back(std::move(policy));
  }
  proto::Policy ask(PolicyWish wish = PolicyWish::usual, std::string domain = "example.com") {
    std::vector<proto::Policy> out;
    begin(out, wish, std::move(domain));
    EXPECT_EQ(out.size(), 1u);
    return out.at(0);
  }
};

TEST(StsPolicies, IsFetchedOnceAndKept) {
  Stage stage;
  const proto::Policy policy = stage.ask();
  EXPECT_TRUE(policy.present);
  EXPECT_EQ(policy.mode, StsMode::enforce);
  EXPECT_EQ(policy.mx, std::vector<std::string>{"mx.example"});
  EXPECT_EQ(policy.id, "1");
  EXPECT_EQ(policy.expires, to_unix_micros(stage.clock.wall() + 10 * 24h));
  stage.pass(1h);
  EXPECT_TRUE(stage.ask().present);
  stage.start(); // a new process
  EXPECT_TRUE(stage.ask().present);
  EXPECT_EQ(stage.source.fetched, 1);
}

TEST(StsPolicies, ManyAskersWaitForOneFetch) {
  Stage stage;
  stage.source.hold = true;
  std::vector<proto::Policy> out;
  for (int i = 0; i < 10; ++i)
    stage.begin(out);
  EXPECT_TRUE(out.empty());
  stage.source.hold = false;
  stage.source.go.notify_all();
  stage.turns();
  EXPECT_EQ(out.size(), 10u);
  EXPECT_EQ(stage.source.fetched, 1);
}

TEST(StsPolicies, ASlowHostIsWaitedForNoLongerThanTheLimit) {
  Stage stage;
  stage.source.hold = true;
  std::vector<proto::Policy> out;
  stage.begin(out);
  stage.pass(59s);
  EXPECT_TRUE(out.empty());
  stage.pass(2s);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_FALSE(out[0].present);
  EXPECT_FALSE(stage.ask().present) << "and not again at once";
  EXPECT_EQ(stage.source.fetched, 1);
}

TEST(StsPolicies, NoRecordMeansNoPolicy) {
  Stage stage;
  stage.source.announced = Error(ErrorKind::not_found, "no TXT record of MTA-STS");
  EXPECT_FALSE(stage.ask().present);
  EXPECT_EQ(stage.ask().reason, "no TXT record of MTA-STS");
  EXPECT_EQ(stage.source.asked, 1) << "not asked again for a while";
  EXPECT_EQ(stage.source.fetched, 0);
  stage.source.announced = std::string("1");
  stage.pass(StsPolicies::kFailurePause);
  EXPECT_TRUE(stage.ask().present);
}

TEST(StsPolicies, ABadPolicyIsNoneAndIsNotFetchedAgainAtOnce) {
  Stage stage;
  stage.source.published = Error(ErrorKind::protocol, "no mode");
  EXPECT_FALSE(stage.ask().present);
  EXPECT_EQ(stage.ask().reason, "no mode");
  EXPECT_FALSE(stage.ask(PolicyWish::recheck).present);
  EXPECT_EQ(stage.source.fetched, 1);
  stage.pass(StsPolicies::kFailurePause);
  stage.ask();
  EXPECT_EQ(stage.source.fetched, 2);
  stage.ask(PolicyWish::refresh);
  EXPECT_EQ(stage.source.fetched, 3) << "who asks for it gets it";
}

struct Reported {
  std::string_view name;
  ErrorKind error;
  proto::PolicyTrouble trouble;
};
class StsTrouble : public testing::TestWithParam<Reported> {};
TEST_P(StsTrouble, OfAnAnnouncedPolicyIsSaidForReports) {
  Stage stage;
  stage.source.published = Error(GetParam().error, "why");
  EXPECT_EQ(stage.ask().trouble, GetParam().trouble);
  EXPECT_EQ(stage.ask().trouble, GetParam().trouble) << "of the last look-up";
  EXPECT_EQ(stage.ask(PolicyWish::recheck).trouble, GetParam().trouble) << "too soon to fetch it";
}
INSTANTIATE_TEST_SUITE_P(Rfc8460Section4322, StsTrouble,
                         testing::ValuesIn<Reported>({
                             {"NoConnection", ErrorKind::closed, proto::PolicyTrouble::fetch},
                             {"TimeLimit", ErrorKind::timeout, proto::PolicyTrouble::fetch},
                             {"NoSuchPage", ErrorKind::not_found, proto::PolicyTrouble::fetch},
                             {"BadCertificate", ErrorKind::refused, proto::PolicyTrouble::proof},
                             {"Rubbish", ErrorKind::protocol, proto::PolicyTrouble::policy},
                             {"TooLarge", ErrorKind::limit, proto::PolicyTrouble::policy},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(StsPolicies, NothingIsWrongWhereNoneIsAnnounced) {
  Stage stage;
  stage.source.announced = Error(ErrorKind::protocol, "no id");
  EXPECT_EQ(stage.ask().trouble, proto::PolicyTrouble::none);
}

struct Trouble {
  std::string_view name;
  void (*make)(FakeSource&);
};
class StsCached : public testing::TestWithParam<Trouble> {};
TEST_P(StsCached, StaysInForceUntilItExpires) {
  Stage stage;
  ASSERT_TRUE(stage.ask().present);
  GetParam().make(stage.source);
  for (int day = 0; day < 9; ++day) {
    stage.pass(24h);
    stage.policies->refresh();
    stage.turns();
    const proto::Policy policy = stage.ask(PolicyWish::recheck);
    EXPECT_TRUE(policy.present) << day;
    EXPECT_EQ(policy.mode, StsMode::enforce);
  }
  stage.pass(25h);
  EXPECT_FALSE(stage.ask().present);
}
INSTANTIATE_TEST_SUITE_P(
    While, StsCached,
    testing::ValuesIn<Trouble>({
        {"TheRecordIsGone",
         [](FakeSource& s) { s.announced = Error(ErrorKind::not_found, "none"); }},
        {"TheRecordIsMalformed",
         [](FakeSource& s) { s.announced = Error(ErrorKind::protocol, "no id"); }},
        {"DnsFails", [](FakeSource& s) { s.announced = Error(ErrorKind::busy, "SERVFAIL"); }},
        {"TheFetchFails",
         [](FakeSource& s) { s.published = Error(ErrorKind::refused, "certificate"); }},
        {"ANewOneIsRubbish",
         [](FakeSource& s) {
           s.announced = std::string("2");
           s.published = Error(ErrorKind::protocol, "no mode");
         }},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(StsPolicies, ANewIdBringsTheNewPolicy) {
  Stage stage;
  ASSERT_TRUE(stage.ask().present);
  stage.source.announced = std::string("2");
  stage.source.published = mail::StsPolicy{StsMode::testing, 24h, {"new.example"}};
  EXPECT_EQ(stage.ask().id, "1") << "the cache counts";
  const proto::Policy fresh = stage.ask(PolicyWish::recheck);
  EXPECT_EQ(fresh.id, "2");
  EXPECT_EQ(fresh.mode, StsMode::testing);
  EXPECT_EQ(stage.ask().id, "2");
}

TEST(StsPolicies, TheSameIdIsNotFetchedAgain) {
  Stage stage;
  stage.ask();
  EXPECT_EQ(stage.ask(PolicyWish::recheck).id, "1");
  EXPECT_EQ(stage.source.fetched, 1);
  EXPECT_EQ(stage.source.asked, 2);
}

TEST(StsPolicies, IsRefreshedInTheBackgroundBeforeItExpires) {
  Stage stage;
  stage.ask();
  for (int day = 0; day < 40; ++day) {
    stage.pass(24h);
    stage.policies->refresh();
    stage.turns();
    if (day % 7 != 0) continue;
    EXPECT_TRUE(stage.ask().present) << day;
  }
  EXPECT_GE(stage.source.fetched, 4) << "when half of ten days is over";
  EXPECT_LE(stage.source.fetched, 9);
}

TEST(StsPolicies, NobodyRefreshesWhatNobodyAsksFor) {
  Stage stage;
  stage.source.published = mail::StsPolicy{StsMode::enforce, 300 * 24h, {"mx.example"}};
  stage.ask();
  stage.pass(31 * 24h);
  const int before = stage.source.asked;
  stage.policies->refresh();
  stage.turns();
  EXPECT_EQ(stage.source.asked, before);
}

TEST(StsPolicies, CanBeShownAndDropped) {
  Stage stage;
  EXPECT_FALSE(stage.ask(PolicyWish::cached).present);
  EXPECT_EQ(stage.source.asked, 0);
  stage.ask();
  EXPECT_TRUE(stage.ask(PolicyWish::cached).present);
  EXPECT_TRUE(stage.ask(PolicyWish::drop).present) << "what it was";
  EXPECT_FALSE(stage.ask(PolicyWish::cached).present);
}

TEST(StsPolicies, WithoutAFileTheyAreKeptForAWhile) {
  Stage stage;
  stage.start(false);
  EXPECT_TRUE(stage.ask().present);
  EXPECT_TRUE(stage.ask().present);
  EXPECT_EQ(stage.source.fetched, 1);
}

TEST(StsPolicies, OnlyDomainsHavePolicies) {
  Stage stage;
  for (const char* domain : {"", "[192.0.2.1]", "192.0.2.1", "a..b", "a b", "-x.example"})
    EXPECT_EQ(stage.ask(PolicyWish::usual, domain).reason, "no domain") << domain;
  EXPECT_EQ(stage.source.asked, 0);
}

TEST(StsPolicies, WhoWaitsIsAnsweredWhenTheProcessEnds) {
  Stage stage;
  stage.source.hold = true;
  std::vector<proto::Policy> out;
  stage.begin(out);
  stage.policies->close();
  stage.turns();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_FALSE(out[0].present);
}

} // namespace
} // namespace postrider::tlsmgr
