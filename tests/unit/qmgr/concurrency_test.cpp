// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "concurrency.hpp"

namespace postrider::qmgr {
namespace {

struct FeedbackCase {
  const char* name;
  const char* text;
  bool ok;
  double at_4;
};
class FeedbackText : public testing::TestWithParam<FeedbackCase> {};
TEST_P(FeedbackText, Parses) {
  const auto parsed = Feedback::parse(GetParam().text);
  ASSERT_EQ(parsed.ok(), GetParam().ok);
  if (parsed) {
    EXPECT_DOUBLE_EQ(parsed->at(4), GetParam().at_4);
  }
}
INSTANTIATE_TEST_SUITE_P(Forms, FeedbackText,
                         testing::ValuesIn<FeedbackCase>({
                             {"One", "1", true, 1},
                             {"Zero", "0", true, 0},
                             {"Half", "0.5", true, 0.5},
                             {"Quotient", "1/8", true, 0.125},
                             {"PerConcurrency", "1/concurrency", true, 0.25},
                             {"PerRoot", "1/sqrt_concurrency", true, 0.5},
                             {"Blanks", " 1 / concurrency ", true, 0.25},
                             {"TooMuch", "2", false, 0},
                             {"Negative", "-1", false, 0},
                             {"Word", "fast", false, 0},
                             {"ByNothing", "1/", false, 0},
                             {"ByZero", "1/0", false, 0},
                             {"Empty", "", false, 0},
                         }),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Window, GrowsByOnePerSuccessUpToTheLimit) {
  WindowLimits limits;
  Window window(limits);
  EXPECT_EQ(window.size(), 5u);
  for (std::uint32_t i = 6; i <= 20; ++i) {
    window.succeeded(window.size() - 1);
    EXPECT_EQ(window.size(), i);
  }
  window.succeeded(19);
  EXPECT_EQ(window.size(), 20u);
}

TEST(Window, DoesNotGrowUnused) {
  WindowLimits limits;
  Window window(limits);
  for (int i = 0; i < 100; ++i)
    window.succeeded(0);
  EXPECT_EQ(window.size(), 5u);
}

TEST(Window, GrowsSlowlyByConcurrency) {
  WindowLimits limits;
  limits.positive = *Feedback::parse("1/concurrency");
  Window window(limits);
  int successes = 0;
  while (window.size() < 6) {
    window.succeeded(5);
    ++successes;
  }
  EXPECT_GE(successes, 4);
  EXPECT_LE(successes, 5);
}

TEST(Window, WithoutALimitGrowsOn) {
  WindowLimits limits;
  limits.limit = 0;
  Window window(limits);
  for (int i = 0; i < 100; ++i)
    window.succeeded(window.size());
  EXPECT_EQ(window.size(), 105u);
}

TEST(Window, InitialIsBoundedByTheLimit) {
  WindowLimits limits;
  limits.limit = 2;
  EXPECT_EQ(Window(limits).size(), 2u);
}

TEST(Window, ACohortOfFailuresKills) {
  WindowLimits limits;
  Window window(limits);
  // 1/5, then the window shrinks: 1/3, 1/2; together more than one cohort.
  EXPECT_FALSE(window.failed());
  EXPECT_EQ(window.size(), 3u);
  EXPECT_FALSE(window.failed());
  EXPECT_EQ(window.size(), 2u);
  EXPECT_TRUE(window.failed());
}

TEST(Window, SuccessForgivesFailures) {
  WindowLimits limits;
  Window window(limits);
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(window.failed());
    window.succeeded(4);
  }
}

TEST(Window, NeverDeadWithoutCohortLimit) {
  WindowLimits limits;
  limits.failed_cohorts = 0;
  Window window(limits);
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(window.failed());
  EXPECT_EQ(window.size(), 1u);
}

TEST(Window, RestartsAsNew) {
  WindowLimits limits;
  Window window(limits);
  while (!window.failed()) {
  }
  window.restart();
  EXPECT_EQ(window.size(), 5u);
  EXPECT_FALSE(window.failed());
}

TEST(Share, LeavesAQuarterToOthers) {
  EXPECT_EQ(largest_share(1), 1u);
  EXPECT_EQ(largest_share(4), 3u);
  EXPECT_EQ(largest_share(1000), 750u);
}

} // namespace
} // namespace postrider::qmgr
