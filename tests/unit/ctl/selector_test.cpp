// SPDX-License-Identifier: MIT
#include "selector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/id.hpp"

namespace postrider::ctl {
namespace {

const std::string kId = queue::Id::make(1790000000000, 3).text();

Result<proto::Selector> parsed(const std::vector<std::string>& line,
                               Empty empty = Empty::is_error) {
  auto arguments = parse_arguments(line, selector_options());
  EXPECT_TRUE(arguments.ok());
  if (!arguments) return arguments.error();
  return parse_selector(*arguments, empty);
}

TEST(Selector, IdsAreTakenAsTheyAre) {
  const auto got = parsed({kId, kId});
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(got->ids, testing::ElementsAre(kId, kId));
  EXPECT_FALSE(got->all);
}

struct BadCase {
  std::string_view name;
  std::vector<std::string> line;
  std::string_view says;
};
class BadSelections : public testing::TestWithParam<BadCase> {};
TEST_P(BadSelections, AreRefused) {
  const auto got = parsed(GetParam().line);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().kind(), ErrorKind::config);
  EXPECT_THAT(got.error().text(), testing::HasSubstr(std::string(GetParam().says)));
}
INSTANTIATE_TEST_SUITE_P(
    Table, BadSelections,
    testing::ValuesIn<BadCase>({
        {"Nothing", {}, "nothing selected"},
        {"Path", {"../../etc/passwd"}, "is not a queue id"},
        {"EmptyWord", {""}, "is not a queue id"},
        {"OneLetter", {"4"}, "is not a queue id"},
        {"Huge", {std::string(10000, 'B')}, "is not a queue id"},
        {"Vowels", {"AAAAAAAAAAAA"}, "is not a queue id"},
        {"ThirteenLetters", {kId + "B"}, "is not a queue id"},
        {"Escape", {"\x1b[2J"}, "\\x1b[2J"},
        {"LowercaseAll", {"all"}, "is not a queue id"},
        {"AllAndId", {"ALL", kId}, "ALL stands alone"},
        {"AllAndFilter", {"ALL", "--sender", "a@b"}, "ALL stands alone"},
        {"EmptySender", {"--sender", ""}, "--sender: is empty"},
        {"LongReason", {"--reason", std::string(2000, 'x')}, "too long"},
        {"LineBreak", {"--recipient", "a@b\nc@d"}, "line break"},
        {"TwoSenders", {"--sender", "a@b", "--sender", "c@d"}, "more than once"},
        {"BadState", {"--state", "sleeping"}, "--state sleeping"},
    }),
    [](const auto& c) { return std::string(c.param.name); });

TEST(Selector, FiltersAreTakenTogether) {
  const auto got = parsed({"--destination", "example.org", "--sender=<>", "--recipient", "@x.org",
                           "--reason", "timed out", "--state", "deferred", "--state", "hold"});
  ASSERT_TRUE(got.ok()) << got.error().text();
  EXPECT_EQ(got->destination, "example.org");
  EXPECT_EQ(got->sender, "<>");
  EXPECT_EQ(got->recipient, "@x.org");
  EXPECT_EQ(got->reason, "timed out");
  EXPECT_THAT(got->where, testing::ElementsAre(proto::Where::deferred, proto::Where::held));
  EXPECT_FALSE(got->all);
}

TEST(Selector, NothingIsAllOnlyWhereThatIsMeant) {
  const auto got = parsed({}, Empty::is_all);
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(got->all);
  EXPECT_TRUE(parsed({"ALL"})->all);
}

TEST(Arguments, OptionsStandAnywhereAndDashesEndThem) {
  const std::vector<Option> options = {{"limit", "N", ""}, {"dry-run,n", "", ""}};
  auto got = parse_arguments({"a", "-n", "--limit=7", "b", "--", "-c"}, options);
  ASSERT_TRUE(got.ok()) << got.error().text();
  EXPECT_TRUE(got->has("dry-run"));
  EXPECT_EQ(got->value("limit"), "7");
  EXPECT_THAT(got->words(), testing::ElementsAre("a", "b", "-c"));
  EXPECT_FALSE(parse_arguments({"--lim", "7"}, options).ok());
  EXPECT_FALSE(parse_arguments({"--limit"}, options).ok());
  EXPECT_FALSE(parse_arguments({"--limit="}, options).ok());
  EXPECT_FALSE(parse_arguments({"--unknown"}, options).ok());
  auto none = parse_arguments({}, options);
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has("dry-run"));
}

TEST(Arguments, NumbersHaveBounds) {
  const std::vector<Option> options = {{"limit", "N", ""}};
  const auto number = [&](const std::string& text) {
    return parse_arguments({"--limit=" + text}, options)->number("limit", 5, 1, 10);
  };
  EXPECT_EQ(*number("10"), 10U);
  for (const char* bad : {"0", "11", "-1", "1x", "99999999999999999999999"})
    EXPECT_FALSE(number(bad).ok()) << bad;
  EXPECT_EQ(*parse_arguments({}, options)->number("limit", 5, 1, 10), 5U);
}

} // namespace
} // namespace postrider::ctl
