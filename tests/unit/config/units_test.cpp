// SPDX-License-Identifier: MIT
#include "config/units.hpp"

#include <gtest/gtest.h>

namespace postrider::config {
namespace {

using Number = std::optional<std::int64_t>;

TEST(Units, Times) {
  struct Row {
    const char* text;
    char unit;
    Number millis;
  };
  for (const Row& row : {Row{"30s", 's', 30'000},
                         Row{"30", 's', 30'000},
                         Row{"5", 'd', 432'000'000},
                         Row{"5d", 's', 432'000'000},
                         Row{"1w", 's', 604'800'000},
                         Row{"2H", 's', 7'200'000},
                         Row{"50ms", 's', 50},
                         Row{"0", 'h', 0},
                         Row{" 7m ", 's', 420'000},
                         Row{"", 's', {}},
                         Row{"s", 's', {}},
                         Row{"ms", 's', {}},
                         Row{"-1s", 's', {}},
                         Row{"1.5s", 's', {}},
                         Row{"3x", 's', {}},
                         Row{"1 s", 's', {}},
                         Row{"1h30m", 's', {}},
                         Row{"9223372036854775807", 's', {}},
                         Row{"9223372036854775808ms", 's', {}},
                         Row{"9223372036854775807ms", 's', 9223372036854775807}})
    EXPECT_EQ(parse_time(row.text, row.unit), row.millis) << row.text;
}

TEST(Units, Sizes) {
  struct Row {
    const char* text;
    Number bytes;
  };
  for (const Row& row :
       {Row{"0", 0}, Row{"10240000", 10'240'000}, Row{"32m", 33'554'432}, Row{"256K", 262'144},
        Row{"1g", 1'073'741'824}, Row{"k", {}}, Row{"", {}}, Row{"-1", {}}, Row{"+1", {}},
        Row{"1t", {}}, Row{"0x10", {}}, Row{"9223372036854775807", 9223372036854775807},
        Row{"9223372036854775808", {}}, Row{"8589934592g", {}}, Row{"18446744073709551616", {}}})
    EXPECT_EQ(parse_size(row.text), row.bytes) << row.text;
}

TEST(Units, Flags) {
  EXPECT_EQ(parse_flag("yes"), true);
  EXPECT_EQ(parse_flag("No"), false);
  EXPECT_EQ(parse_flag("true"), std::nullopt);
  EXPECT_EQ(parse_flag(""), std::nullopt);
}

TEST(Units, ShownTimesReadBack) {
  for (const std::int64_t millis : {0, 50, 1000, 1500, 432'000'000})
    EXPECT_EQ(parse_time(show_time(millis), 's'), millis);
}

} // namespace
} // namespace postrider::config
