// SPDX-License-Identifier: MIT
#include "config/main_cf.hpp"

#include <gtest/gtest.h>

namespace postrider::config {
namespace {

TEST(MainCf, ReadsEntriesWithTheirLines) {
  const MainCf cf = parse_main_cf("# comment\n\n"
                                  "myhostname = mx.example.com\n"
                                  "mydestination = a,\n"
                                  "   # inside\n"
                                  "\n"
                                  "\tb,\n"
                                  "   c\n"
                                  "2bounce_notice_recipient=postmaster\r\n"
                                  "empty =\n"
                                  "no_newline_at_end = x");
  EXPECT_TRUE(cf.errors.empty());
  ASSERT_EQ(cf.entries.size(), 5u);
  EXPECT_EQ(cf.entries[0].value, "mx.example.com");
  EXPECT_EQ(cf.entries[0].line, 3u);
  EXPECT_EQ(cf.entries[1].value, "a,\tb,   c");
  EXPECT_EQ(cf.entries[1].line, 4u);
  EXPECT_EQ(cf.entries[2].name, "2bounce_notice_recipient");
  EXPECT_EQ(cf.entries[2].value, "postmaster");
  EXPECT_EQ(cf.entries[2].line, 9u);
  EXPECT_EQ(cf.entries[3].value, "");
  EXPECT_EQ(cf.entries[4].value, "x");
}

TEST(MainCf, LastOfTwoCounts) {
  const MainCf cf = parse_main_cf("a = 1\nb = 2\na = 3\n");
  ASSERT_EQ(cf.entries.size(), 2u);
  EXPECT_EQ(cf.entries[0].value, "3");
  EXPECT_EQ(cf.entries[0].line, 3u);
  ASSERT_EQ(cf.warnings.size(), 1u);
  EXPECT_EQ(cf.warnings[0], "main.cf:3: a is given twice; this one counts, not line 1");
}

struct BadCase {
  const char* name;
  std::string text;
  const char* where;
};
class BadMainCf : public testing::TestWithParam<BadCase> {};
TEST_P(BadMainCf, IsAnErrorWithItsLine) {
  const MainCf cf = parse_main_cf(GetParam().text);
  ASSERT_EQ(cf.errors.size(), 1u);
  EXPECT_EQ(cf.errors[0].rfind(GetParam().where, 0), 0u) << cf.errors[0];
  EXPECT_LT(cf.errors[0].size(), 300u);
}
INSTANTIATE_TEST_SUITE_P(Syntax, BadMainCf,
                         testing::ValuesIn<BadCase>({
                             {"ContinuesNothing", "  a = 1\nb = 2\n", "main.cf:1: "},
                             {"NoEquals", "a = 1\nrelayhost\n", "main.cf:2: relayhost: no '='"},
                             {"NoName", "\n= 3\n", "main.cf:2: "},
                             {"BadName", "my-name = 3\n", "main.cf:1: \"my-name\""},
                             {"ZeroByte", std::string("a = x\0y\n", 8), "main.cf:1: "},
                             {"MegabyteWithoutEquals", std::string(1'000'000, 'a'), "main.cf:1: "},
                         }),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(MainCf, LongLinesAndManyLinesAreRead) {
  const MainCf one = parse_main_cf("a = " + std::string(1'000'000, 'x'));
  ASSERT_EQ(one.entries.size(), 1u);
  EXPECT_EQ(one.entries[0].value.size(), 1'000'000u);
  std::string text = "a =";
  for (int i = 0; i < 300'000; ++i)
    text += "\n x";
  EXPECT_EQ(parse_main_cf(text).entries.at(0).value.size(), 600'000u - 1);
}

TEST(MainCf, CommentBehindValueIsPointedOut) {
  const MainCf cf = parse_main_cf("a = b # not a comment\nc = d#e\n");
  EXPECT_EQ(cf.entries[0].value, "b # not a comment");
  EXPECT_EQ(cf.warnings.size(), 1u);
}

} // namespace
} // namespace postrider::config
