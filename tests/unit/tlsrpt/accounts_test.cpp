// SPDX-License-Identifier: MIT
#include "accounts.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "counts.hpp"
#include "events.hpp"
#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tlsrpt {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

// --- one account -------------------------------------------------------------------------------

TEST(Counts, EventsThatAreAlikeAreOneLine) {
  proto::TlsAccount account;
  add(account, success("a.example"));
  EXPECT_FALSE(has_failures(account));
  for (int i = 0; i < 3; ++i)
    add(account, failure("a.example"));
  add(account, failure("a.example", "another"));
  ASSERT_EQ(account.policies.size(), 1u);
  const proto::TlsPolicyCount& count = account.policies.front();
  EXPECT_EQ(count.successes, 1u);
  EXPECT_EQ(count.failures, 4u);
  ASSERT_EQ(count.lines.size(), 2u);
  EXPECT_EQ(count.lines[0].count, 3u);
  EXPECT_EQ(count.lines[1].reason, "another");
  EXPECT_TRUE(has_failures(account));
}

TEST(Counts, EachPolicyIsCountedForItself) {
  proto::TlsAccount account;
  proto::TlsEvent event = success("a.example");
  add(account, event);
  event.policy.kind = proto::TlsPolicyKind::sts;
  add(account, event);
  event.policy.strings = {"mode: enforce"};
  add(account, event);
  EXPECT_EQ(account.policies.size(), 3u);
}

TEST(Counts, WhatIsBeyondTheBoundsIsCountedAndSaid) {
  proto::TlsAccount account;
  for (std::size_t i = 0; i < kMostLines + 7; ++i)
    add(account, failure("a.example", std::to_string(i)));
  EXPECT_EQ(account.policies[0].lines.size(), kMostLines);
  EXPECT_EQ(account.policies[0].without_line, 7u);
  EXPECT_EQ(account.policies[0].failures, kMostLines + 7);
  for (std::size_t i = 0; i < kMostPolicies + 2; ++i) {
    proto::TlsEvent event = success("a.example");
    event.policy.strings = {std::to_string(i)};
    add(account, event);
  }
  EXPECT_EQ(account.policies.size(), kMostPolicies);
  EXPECT_EQ(account.lost, 3u);
}

// --- the store ---------------------------------------------------------------------------------

class Store : public testing::Test {
 protected:
  Accounts open(std::uint64_t most_domains = 1000,
                std::uint64_t most_bytes = Accounts::kMostBytes) {
    auto opened = Accounts::open(path, most_domains, clock.wall(), most_bytes);
    EXPECT_TRUE(opened.ok()) << opened.error().text();
    return std::move(*opened);
  }
  static std::vector<std::string> domains(const Accounts& accounts) {
    std::vector<std::string> out;
    EXPECT_TRUE(accounts.each({}, [&](std::string_view, const proto::TlsAccount& account) {
      out.push_back(account.domain + ":" + std::to_string(account.begin / 86400 % 1000));
      return true;
    }));
    return out;
  }
  std::vector<proto::TlsAccount> of(const Accounts& accounts, const std::string& domain) {
    std::vector<proto::TlsAccount> out;
    EXPECT_TRUE(accounts.each_of(domain, clock.wall(), [&](std::string_view, const auto& account) {
      out.push_back(account);
      return true;
    }));
    return out;
  }
  test::ManualClock clock; // 1,800,000,000: day 20,833, 08:00 UTC
  test::ScratchDir dir;
  std::string path = dir.path() + "/tlsrpt.lmdb";
};

TEST_F(Store, CountsByDayAndDomain) {
  Accounts accounts = open();
  EXPECT_TRUE(accounts.count(success("b.example"), clock.wall()));
  EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
  EXPECT_TRUE(accounts.count(failure("a.example"), clock.wall()));
  clock.advance(16h - 1s);
  EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
  EXPECT_THAT(domains(accounts), ElementsAre("a.example:833", "b.example:833"));
  clock.advance(1s); // midnight
  EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
  EXPECT_THAT(domains(accounts), ElementsAre("a.example:833", "b.example:833", "a.example:834"));
  const auto both = of(accounts, "a.example");
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].policies[0].successes, 2u);
  EXPECT_EQ(both[0].policies[0].failures, 1u);
  EXPECT_EQ(both[0].end, both[1].begin);
  EXPECT_EQ(both[1].end - both[1].begin, 86400);
  EXPECT_TRUE(of(accounts, "example").empty()) << "no part of a name";
}

TEST_F(Store, WhatEndsEarlyIsNotCountedTwice) {
  Accounts accounts = open();
  EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
  clock.advance(10s);
  EXPECT_EQ(*accounts.end_today("a.example", clock.wall()), true);
  EXPECT_EQ(*accounts.end_today("a.example", clock.wall()), false);
  clock.advance(10s);
  EXPECT_TRUE(accounts.count(failure("a.example"), clock.wall()));
  EXPECT_EQ(*accounts.end_today("a.example", clock.wall()), true);
  EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
  const auto parts = of(accounts, "a.example");
  ASSERT_EQ(parts.size(), 3u);
  for (std::size_t i = 0; i + 1 < parts.size(); ++i)
    EXPECT_EQ(parts[i].end, parts[i + 1].begin);
  EXPECT_EQ(parts[0].policies[0].failures, 0u);
  EXPECT_EQ(parts[1].policies[0].failures, 1u);
  EXPECT_EQ(parts[2].end % 86400, 0);
}

TEST_F(Store, OutlivesItsProcess) {
  {
    Accounts accounts = open();
    EXPECT_TRUE(accounts.count(failure("a.example"), clock.wall()));
  }
  Accounts accounts = open();
  EXPECT_TRUE(accounts.count(failure("a.example"), clock.wall()));
  const auto found = of(accounts, "a.example");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].policies[0].failures, 2u);
}

TEST_F(Store, KeepsSomeDays) {
  Accounts accounts = open();
  for (int day = 0; day < 3 * Accounts::kDaysKept; ++day) {
    EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
    EXPECT_TRUE(accounts.sweep(clock.wall()));
    clock.advance(24h);
  }
  EXPECT_EQ(of(accounts, "a.example").size(), static_cast<std::size_t>(Accounts::kDaysKept));
  clock.advance(240h);
  EXPECT_TRUE(accounts.sweep(clock.wall()));
  EXPECT_TRUE(domains(accounts).empty());
  EXPECT_EQ(accounts.bytes(), 0u);
}

TEST_F(Store, SoManyDomainsInADay) {
  Accounts accounts = open(3);
  for (const char* domain : {"a.example", "b.example", "c.example"})
    EXPECT_TRUE(accounts.count(success(domain), clock.wall()));
  for (int i = 0; i < 2; ++i) {
    const auto counted = accounts.count(success("d.example"), clock.wall());
    ASSERT_FALSE(counted.ok());
    EXPECT_EQ(counted.error().kind(), ErrorKind::limit);
  }
  EXPECT_TRUE(accounts.count(success("a.example"), clock.wall())) << "who is in stays in";
  EXPECT_EQ(accounts.lost(), 2u);
  clock.advance(24h);
  EXPECT_TRUE(accounts.count(success("d.example"), clock.wall())) << "a new day";
}

TEST_F(Store, OldDaysMakeRoomForToday) {
  constexpr std::uint64_t kBytes = 64 << 10;
  Accounts accounts = open(100000, kBytes);
  std::size_t lost = 0;
  for (int day = 0; day < 3; ++day) {
    lost = 0;
    for (int i = 0; i < 1000; ++i)
      if (!accounts.count(failure("d" + std::to_string(i) + ".example"), clock.wall())) ++lost;
    EXPECT_LE(accounts.bytes(), kBytes);
    clock.advance(24h);
  }
  EXPECT_GT(lost, 0u) << "one day alone is too much";
  for (const std::string& domain : domains(accounts))
    EXPECT_THAT(domain, testing::EndsWith(":835")) << "only the last day is left";
  EXPECT_GT(domains(accounts).size(), 50u);
}

TEST_F(Store, ADamagedFileCostsItsContent) {
  {
    Accounts accounts = open();
    EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
  }
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string junk(8192, 'x');
  ASSERT_EQ(::pwrite(file.get(), junk.data(), junk.size(), 0), static_cast<ssize_t>(junk.size()));
  Accounts accounts = open();
  EXPECT_TRUE(domains(accounts).empty());
  EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
}

TEST_F(Store, AnAccountThatCannotBeReadIsBegunAnew) {
  {
    Accounts accounts = open();
    EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
  }
  {
    auto env = db::Env::open({.path = path});
    ASSERT_TRUE(env.ok());
    std::string key;
    {
      const auto txn = env->read();
      ASSERT_TRUE(txn->prefix("a", [&](std::string_view at, std::string_view) {
        key = at;
        return false;
      }));
    }
    ASSERT_TRUE(env->write([&](db::Txn& txn) { return txn.put(key, "rubbish"); }));
  }
  Accounts accounts = open();
  EXPECT_TRUE(domains(accounts).empty());
  EXPECT_TRUE(accounts.count(success("a.example"), clock.wall()));
  EXPECT_EQ(of(accounts, "a.example").size(), 1u);
}

} // namespace
} // namespace postrider::tlsrpt
