// SPDX-License-Identifier: MIT
// Days pass by a test clock.
#include "reporter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "events.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tlsrpt {
namespace {

using namespace std::chrono_literals;
using proto::TlsReportState;
using testing::ElementsAre;
using testing::IsEmpty;

// Waits a turn of the loop, as networks do, and then says what the test wants.
class FakeOutlet final : public Outlet {
 public:
  explicit FakeOutlet(ev::Loop& loop) : turn_(loop) {}
  ev::Task<Result<std::vector<std::string>>> addresses(const std::string& domain,
                                                       ev::Deadline) override {
    asked.push_back(domain);
    if (hold) {
      Result<void> woken = co_await turn_.wait(ev::Deadline::never(), "the test");
      if (!woken) co_return woken.error();
    }
    co_return wanted;
  }
  ev::Task<Result<std::string>> mail(const Composed& message) override {
    if (mail_fails) co_return Error(ErrorKind::closed, "qmgr is not there");
    mails.push_back(message.content);
    co_return std::string("4x1");
  }
  ev::Task<Result<std::string>> post(const std::string& url, const std::string&,
                                     ev::Deadline) override {
    if (post_fails) co_return Error(ErrorKind::protocol, "status 503");
    posts.push_back(url);
    co_return std::string("status 201");
  }
  Result<std::vector<std::string>> wanted = std::vector<std::string>{"mailto:r@a.example"};
  bool mail_fails = false, post_fails = false, hold = false;
  std::vector<std::string> asked, mails, posts;
  void go_on() { turn_.notify_all(); }

 private:
  ev::Condition turn_;
};

class Reporting : public testing::Test {
 protected:
  void SetUp() override {
    setup.letterhead.hostname = "mail.sender.example";
    setup.letterhead.organization = "Sender";
    setup.letterhead.contact = setup.letterhead.sender = "postmaster@sender.example";
    start();
  }
  void start() {
    reporter.reset();
    accounts.emplace(std::move(*Accounts::open(dir.path() + "/tlsrpt.lmdb", 1000, clock.wall())));
    reporter = std::make_unique<Reporter>(loop, *accounts, outlet, setup);
  }
  void count(const proto::TlsEvent& event) { EXPECT_TRUE(accounts->count(event, clock.wall())); }
  // In small steps, for timers are armed anew in between.
  void pass(Duration time) {
    for (Duration done{}; done < time; done += 5min) {
      clock.advance(std::min<Duration>(5min, time - done));
      turns();
    }
  }
  void turns() {
    for (int i = 0; i < 5; ++i)
      loop.turn(false);
  }
  std::vector<TlsReportState> states(const std::string& domain = "a.example") {
    std::vector<TlsReportState> out;
    EXPECT_TRUE(accounts->each_of(domain, clock.wall(), [&](std::string_view, const auto& account) {
      out.push_back(account.state);
      return true;
    }));
    return out;
  }
  std::vector<proto::TlsAccount> send_now(const std::string& domain) {
    return test::run_task<std::vector<proto::TlsAccount>>(
        loop, [&] { return reporter->send_now(domain); });
  }
  test::ManualClock clock; // 08:00 UTC
  ev::Loop loop{clock};
  test::ScratchDir dir;
  ReporterSetup setup;
  std::optional<Accounts> accounts;
  FakeOutlet outlet{loop};
  std::unique_ptr<Reporter> reporter;
};

TEST_F(Reporting, OneReportInTenDaysOfOneMessage) {
  count(success("a.example"));
  for (int day = 0; day < 10; ++day) {
    pass(24h);
    EXPECT_EQ(outlet.mails.size(), 1u) << day;
  }
  EXPECT_THAT(outlet.asked, ElementsAre("a.example"));
}

TEST_F(Reporting, NotBeforeTheDayIsOverAndWithinTheDelay) {
  setup.delay = 2h; // shows: tlsrpt_report_delay
  start();
  for (const char* domain : {"a.example", "b.example", "c.example", "d.example", "e.example"})
    count(success(domain));
  pass(16h - 1s);
  EXPECT_THAT(outlet.mails, IsEmpty());
  pass(1s);
  EXPECT_LT(outlet.mails.size(), 5u) << "not all at once";
  pass(2h);
  EXPECT_EQ(outlet.mails.size(), 5u);
  EXPECT_THAT(states(), ElementsAre(TlsReportState::sent));
}

TEST_F(Reporting, EachDayHasItsOwn) {
  count(failure("a.example", "first"));
  pass(24h);
  count(failure("a.example", "second"));
  pass(24h);
  EXPECT_EQ(outlet.mails.size(), 2u);
  const auto found = states();
  EXPECT_THAT(found, ElementsAre(TlsReportState::sent, TlsReportState::sent));
}

TEST_F(Reporting, ARestartChangesNothing) {
  count(success("a.example"));
  pass(16h);
  std::string id;
  std::int64_t due = 0;
  const auto look = [&](std::string_view, const proto::TlsAccount& account) {
    id = account.report_id;
    due = account.due;
    return true;
  };
  EXPECT_TRUE(accounts->each({}, look));
  ASSERT_NE(id, "");
  const auto before = std::pair(id, due);
  start();
  turns();
  EXPECT_TRUE(accounts->each({}, look));
  EXPECT_EQ(before, std::pair(id, due));
  pass(5h);
  EXPECT_EQ(outlet.mails.size(), 1u);
  start();
  pass(24h);
  EXPECT_EQ(outlet.mails.size(), 1u) << "sent is sent";
}

TEST_F(Reporting, WhatADomainDoesNotWantIsNotSent) {
  outlet.wanted = Error(ErrorKind::not_found, "no TXT record of TLSRPT");
  count(failure("a.example"));
  pass(48h);
  EXPECT_THAT(outlet.mails, IsEmpty());
  EXPECT_THAT(outlet.asked, ElementsAre("a.example"));
  EXPECT_THAT(states(), ElementsAre(TlsReportState::not_wanted));
}

TEST_F(Reporting, GoodDaysMayBeLeftOut) {
  setup.report_successes = false; // shows: tlsrpt_report_successes
  start();
  count(success("a.example"));
  count(success("b.example"));
  count(failure("b.example"));
  pass(24h);
  EXPECT_EQ(outlet.mails.size(), 1u);
  EXPECT_THAT(states("a.example"), ElementsAre(TlsReportState::nothing));
  EXPECT_THAT(states("b.example"), ElementsAre(TlsReportState::sent));
}

TEST_F(Reporting, EachAddressGetsItOnceHoweverTheOthersFail) {
  outlet.wanted = std::vector<std::string>{"mailto:r@a.example", "https://r.example/x"};
  outlet.post_fails = true;
  count(success("a.example"));
  pass(24h);
  EXPECT_EQ(outlet.mails.size(), 1u);
  EXPECT_THAT(states(), ElementsAre(TlsReportState::waiting));
  start(); // in the middle
  outlet.post_fails = false;
  pass(5h);
  EXPECT_THAT(outlet.posts, ElementsAre("https://r.example/x"));
  EXPECT_EQ(outlet.mails.size(), 1u);
  EXPECT_THAT(states(), ElementsAre(TlsReportState::sent));
}

TEST_F(Reporting, IsTriedForADayAndThenGivenUp) {
  outlet.wanted = Error(ErrorKind::busy, "DNS: SERVFAIL");
  count(success("a.example"));
  pass(20h); // tried once, at least
  EXPECT_THAT(states(), ElementsAre(TlsReportState::waiting));
  pass(29h);
  EXPECT_THAT(states(), ElementsAre(TlsReportState::given_up));
  EXPECT_GE(outlet.asked.size(), 8u);
  EXPECT_LE(outlet.asked.size(), 14u) << "ever more seldom";
}

TEST_F(Reporting, NowMeansNow) {
  count(failure("a.example", "before"));
  clock.advance(1min);
  auto sent = send_now("a.example");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].state, TlsReportState::sent);
  EXPECT_EQ(outlet.mails.size(), 1u);
  EXPECT_THAT(send_now("a.example"), IsEmpty()) << "there is nothing new";
  clock.advance(1min);
  count(failure("a.example", "behind"));
  sent = send_now("a.example");
  ASSERT_EQ(sent.size(), 1u);
  ASSERT_EQ(sent[0].policies[0].lines.size(), 1u);
  EXPECT_EQ(sent[0].policies[0].lines[0].reason, "behind");
  pass(48h);
  EXPECT_EQ(outlet.mails.size(), 2u) << "and not at the end of the day again";
}

TEST_F(Reporting, NowThatFailsGoesOnAsUsual) {
  outlet.mail_fails = true;
  count(failure("a.example"));
  clock.advance(1min);
  const auto tried = send_now("a.example");
  ASSERT_EQ(tried.size(), 1u);
  EXPECT_EQ(tried[0].state, TlsReportState::waiting);
  EXPECT_THAT(tried[0].note, testing::HasSubstr("qmgr is not there"));
  outlet.mail_fails = false;
  pass(10min);
  EXPECT_EQ(outlet.mails.size(), 1u);
}

TEST_F(Reporting, AFewAtATime) {
  outlet.hold = true;
  for (int i = 0; i < 50; ++i)
    count(success("d" + std::to_string(i) + ".example"));
  pass(24h);
  EXPECT_EQ(outlet.asked.size(), Reporter::kMostAtATime);
  outlet.hold = false;
  outlet.go_on();
  pass(1h);
  EXPECT_EQ(outlet.mails.size(), 50u);
}

TEST_F(Reporting, ClosedItSendsNothing) {
  outlet.hold = true;
  count(success("a.example"));
  pass(24h);
  reporter->close();
  turns();
  outlet.hold = false;
  pass(48h);
  EXPECT_THAT(outlet.mails, IsEmpty());
  EXPECT_THAT(states(), ElementsAre(TlsReportState::waiting)) << "the successor's";
}

} // namespace
} // namespace postrider::tlsrpt
