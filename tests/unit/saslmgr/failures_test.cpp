// SPDX-License-Identifier: MIT
// shows: smtpd_sasl_failure_limit smtpd_sasl_failure_time
#include "failures.hpp"

#include <gtest/gtest.h>

namespace postrider::saslmgr {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime kStart{1000h};

struct PrefixCase {
  std::string_view name, address, prefix;
};
class PrefixOf : public testing::TestWithParam<PrefixCase> {};
TEST_P(PrefixOf, Is) { EXPECT_EQ(prefix_of(GetParam().address), GetParam().prefix); }
INSTANTIATE_TEST_SUITE_P(Failures, PrefixOf,
                         testing::ValuesIn<PrefixCase>({
                             {"V4", "192.0.2.7", "192.0.2.7"},
                             {"V6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
                             {"V6Short", "2001:db8::1", "2001:db8::/64"},
                             {"Mapped", "::ffff:192.0.2.7", "192.0.2.7"},
                             {"None", "", ""},
                             {"Nonsense", "unknown", ""},
                         }),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Failures, AnAccountIsGuardedAgainstManyPlaces) {
  Failures failures(3, 1h);
  for (int i = 0; i < 3; ++i) {
    const std::string from = "192.0.2." + std::to_string(i);
    EXPECT_TRUE(failures.may_try("joe", from, kStart));
    EXPECT_EQ(failures.add("joe", from, kStart), i == 2) << "says when the limit is reached";
  }
  EXPECT_FALSE(failures.may_try("joe", "198.51.100.1", kStart));
  EXPECT_FALSE(failures.may_try("JOE", "198.51.100.1", kStart));
  EXPECT_TRUE(failures.may_try("jim", "198.51.100.1", kStart));
}

TEST(Failures, APlaceIsHeldBackFromManyAccounts) {
  Failures failures(3, 1h);
  for (int i = 0; i < 3; ++i)
    failures.add("user" + std::to_string(i), "192.0.2.1", kStart);
  EXPECT_FALSE(failures.may_try("joe", "192.0.2.1", kStart));
  EXPECT_TRUE(failures.may_try("joe", "192.0.2.2", kStart));
}

TEST(Failures, AreForgottenOneAfterTheOther) {
  Failures failures(3, 1h);
  for (int i = 0; i < 3; ++i)
    failures.add("joe", "192.0.2.1", kStart);
  EXPECT_FALSE(failures.may_try("joe", "192.0.2.1", kStart + 19min));
  EXPECT_TRUE(failures.may_try("joe", "192.0.2.1", kStart + 20min));
  EXPECT_TRUE(failures.add("joe", "192.0.2.1", kStart + 20min)) << "reached once more";
  EXPECT_FALSE(failures.may_try("joe", "192.0.2.1", kStart + 20min));
  EXPECT_TRUE(failures.may_try("joe", "192.0.2.1", kStart + 41min));
  for (int i = 0; i < 2; ++i)
    failures.add("joe", "192.0.2.1", kStart + 10h);
  EXPECT_TRUE(failures.may_try("joe", "192.0.2.1", kStart + 10h)) << "all are forgotten by then";
}

TEST(Failures, StrangersDoNotLockTheOwnerOut) {
  Failures failures(3, 1h);
  failures.succeeded("joe", "192.0.2.1");
  for (int i = 0; i < 10; ++i)
    failures.add("joe", "198.51.100.1", kStart);
  EXPECT_FALSE(failures.may_try("joe", "198.51.100.1", kStart));
  EXPECT_FALSE(failures.may_try("joe", "198.51.100.2", kStart));
  EXPECT_TRUE(failures.may_try("joe", "192.0.2.1", kStart));
  // Nor may who shares the owner's address go on for ever.
  for (int i = 0; i < 3; ++i)
    failures.add("joe", "192.0.2.1", kStart);
  EXPECT_FALSE(failures.may_try("joe", "192.0.2.1", kStart));
}

TEST(Failures, NoLimitHoldsNobodyBack) {
  Failures failures(0, 1h);
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(failures.add("joe", "192.0.2.1", kStart));
  EXPECT_TRUE(failures.may_try("joe", "192.0.2.1", kStart));
  EXPECT_EQ(failures.size(), 0U);
}

TEST(Failures, AnUnknownAccountCountsForThePlaceAlone) {
  Failures failures(1, 1h);
  failures.add("", "192.0.2.1", kStart);
  EXPECT_FALSE(failures.may_try("joe", "192.0.2.1", kStart));
  EXPECT_TRUE(failures.may_try("", "192.0.2.2", kStart));
  EXPECT_EQ(failures.size(), 1U);
}

TEST(Failures, MemoryIsBounded) {
  Failures failures(1, 1h);
  for (std::size_t i = 0; i < Failures::kMost + 100; ++i)
    failures.add("user" + std::to_string(i), "", kStart);
  EXPECT_EQ(failures.size(), Failures::kMost);
  EXPECT_TRUE(failures.may_try("user0", "", kStart)) << "the oldest one is gone";
  EXPECT_FALSE(failures.may_try("user" + std::to_string(Failures::kMost), "", kStart));
}

} // namespace
} // namespace postrider::saslmgr
