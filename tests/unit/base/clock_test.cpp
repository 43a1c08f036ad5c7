// SPDX-License-Identifier: MIT
#include "base/clock.hpp"

#include <cstdlib>
#include <ctime>
#include <gtest/gtest.h>

namespace postrider {
namespace {

struct DateCase {
  const char* name;
  const char* zone;
  std::int64_t seconds;
  const char* text;
};

class Dates : public testing::TestWithParam<DateCase> {
 protected:
  void SetUp() override {
    ::setenv("TZ", GetParam().zone, 1);
    ::tzset();
  }
  void TearDown() override {
    ::unsetenv("TZ");
    ::tzset();
  }
};

// Rules of zones are written out, so that no zone files are needed.
constexpr const char* kBerlin = "CET-1CEST,M3.5.0,M10.5.0/3";
constexpr const char* kNewfoundland = "NST3:30NDT,M3.2.0,M11.1.0";

TEST_P(Dates, AreThoseOfRfc5322) {
  EXPECT_EQ(rfc5322_date(from_unix_micros(GetParam().seconds * 1'000'000)), GetParam().text);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Dates,
    testing::ValuesIn<DateCase>({
        {"Epoch", "UTC0", 0, "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)"},
        {"BeforeEpoch", "UTC0", -1, "Wed, 31 Dec 1969 23:59:59 +0000 (UTC)"},
        {"LastSecondOfSummer", kBerlin, 1792889999, "Sun, 25 Oct 2026 02:59:59 +0200 (CEST)"},
        {"TheSameHourAgain", kBerlin, 1792890000, "Sun, 25 Oct 2026 02:00:00 +0100 (CET)"},
        {"LastSecondOfWinter", kBerlin, 1774745999, "Sun, 29 Mar 2026 01:59:59 +0100 (CET)"},
        {"TheHourThatIsNot", kBerlin, 1774746000, "Sun, 29 Mar 2026 03:00:00 +0200 (CEST)"},
        {"LeapSecond", "UTC0", 1483228799, "Sat, 31 Dec 2016 23:59:59 +0000 (UTC)"},
        {"BehindIt", "UTC0", 1483228800, "Sun,  1 Jan 2017 00:00:00 +0000 (UTC)"},
        {"HalfHourWest", kNewfoundland, 1483228800, "Sat, 31 Dec 2016 20:30:00 -0330 (NST)"},
        {"Past2038", "UTC0", 2147483648, "Tue, 19 Jan 2038 03:14:08 +0000 (UTC)"},
        {"LeapDay", "UTC0", 1709208000, "Thu, 29 Feb 2024 12:00:00 +0000 (UTC)"},
    }),
    [](const auto& test) { return std::string(test.param.name); });

} // namespace
} // namespace postrider
