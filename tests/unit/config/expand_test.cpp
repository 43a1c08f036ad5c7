// SPDX-License-Identifier: MIT
#include "config/expand.hpp"

#include <gtest/gtest.h>
#include <map>

namespace postrider::config {
namespace {

std::optional<std::string> value_of(std::string_view name) {
  static const std::map<std::string, std::string, std::less<>> values = {
      {"host", "mx"},    {"domain", "example.com"}, {"full", "$host.$domain"},
      {"empty", ""},     {"level", "3.10"},         {"nine", "9"},
      {"ten", "10"},     {"loop_a", "x $loop_b"},   {"loop_b", "${loop_a}"},
      {"self", "$self"}, {"dollars", "$$5"},        {"huge", "99999999999999999999999"},
  };
  const auto found = values.find(name);
  return found == values.end() ? std::nullopt : std::optional(found->second);
}

struct Case {
  const char* name;
  std::string in, out;
};
class Expand : public testing::TestWithParam<Case> {};
TEST_P(Expand, Gives) {
  const auto result = expand(GetParam().in, value_of);
  ASSERT_TRUE(result.ok()) << result.error().text();
  EXPECT_EQ(*result, GetParam().out);
}
INSTANTIATE_TEST_SUITE_P(Forms, Expand,
                         testing::ValuesIn<Case>({
                             {"Plain", "no names", "no names"},
                             {"Name", "$host", "mx"},
                             {"NameThenText", "$host.local", "mx.local"},
                             {"Braces", "${host}x", "mxx"},
                             {"Parentheses", "$(host)x", "mxx"},
                             {"Recursive", "<$full>", "<mx.example.com>"},
                             {"Dollar", "a$$b", "a$b"},
                             {"DollarInValue", "$dollars", "$5"},
                             {"Unknown", "[$nobody]", "[]"},
                             {"IfSet", "${host?yes}", "yes"},
                             {"IfSetEmpty", "${empty?yes}", ""},
                             {"IfSetUnknown", "${nobody?yes}", ""},
                             {"IfUnset", "${empty:no}", "no"},
                             {"IfUnsetSet", "${host:no}", ""},
                             {"PlainTextKeepsSigns", "${host?a:b?c}", "a:b?c"},
                             {"PlainTextNested", "${host?<$full>}", "<mx.example.com>"},
                             {"TernaryYes", "${host?{a b}:{c}}", "a b"},
                             {"TernaryNo", "${empty?{a}:{c $host}}", "c mx"},
                             {"TernarySpaces", "${ host ? {a} : {b} }", "a"},
                             {"BracedOnly", "${empty:{no}}", "no"},
                             {"EqualText", "${{$host} == {mx} ? {y} : {n}}", "y"},
                             {"UnequalText", "${{$host} != {mx} ? {y} : {n}}", "n"},
                             {"NumbersByValue", "${{$nine} < {$ten} ? {y} : {n}}", "y"},
                             {"NumbersWithZeros", "${{007} == {7} ? {y} : {n}}", "y"},
                             {"HugeNumbers", "${{$huge} > {9223372036854775807} ? {y} : {n}}", "y"},
                             {"TextByBytes", "${{9x} < {10x} ? {y} : {n}}", "n"},
                             {"AtLeast", "${{10} >= {10} ? {y} : {n}}", "y"},
                             {"AtMost", "${{11} <= {10} ? {y} : {n}}", "n"},
                             {"Levels", "${{$level} >=level {3.9} ? {y} : {n}}", "y"},
                             {"LevelsLess", "${{$level} <level {2} ? {y} : {n}}", "n"},
                             {"ComparePlain", "${{1} == {1} ?yes}", "yes"},
                             {"NestedChoice", "${empty?{x}:{${host?{in}:{out}}}}", "in"},
                         }),
                         [](const auto& tested) { return std::string(tested.param.name); });

std::string repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i)
    out += text;
  return out;
}

class ExpandFails : public testing::TestWithParam<Case> {};
TEST_P(ExpandFails, WithAReason) {
  const auto result = expand(GetParam().in, value_of);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().text().find(GetParam().out), std::string::npos) << result.error().text();
}
INSTANTIATE_TEST_SUITE_P(Hostile, ExpandFails,
                         testing::ValuesIn<Case>({
                             {"Loop", "$loop_a", "loop_a -> loop_b -> loop_a"},
                             {"SelfLoop", "$self", "self -> self"},
                             {"LoopInCondition", "${loop_a?x}", "refers to itself"},
                             {"Unclosed", "${host", "without its"},
                             {"NoName", "cost: $ 5", "without a name"},
                             {"EmptyBraces", "${}", "without a name"},
                             {"JunkAfterName", "${host=x}", "expected"},
                             {"JunkAfterChoice", "${host?{a}:{b}c}", "unexpected"},
                             {"NoOperator", "${{a} {b} ? {c} : {d}}", "expected one of"},
                             {"NoRightSide", "${{a} == b}", "needs {}"},
                             {"DeepNesting", repeated("${host?{", 5000) + repeated("}}", 5000),
                              "deeply"},
                             {"ManyNames", repeated("$empty", 200'000), "too many"},
                         }),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(Expand, ExponentialGrowthIsStopped) {
  const auto result = expand("$n30", [](std::string_view name) -> std::optional<std::string> {
    const int n = std::stoi(std::string(name.substr(1)));
    if (n == 0) return "xxxxxxxxxx";
    const std::string below = "$n" + std::to_string(n - 1);
    return below + " " + below;
  });
  EXPECT_FALSE(result.ok());
}

TEST(Expand, TellsUnknownNames) {
  std::string seen;
  ASSERT_TRUE(expand("$host $nobody ${ghost?x}", value_of, [&](std::string_view name) {
                seen += name;
              }).ok());
  EXPECT_EQ(seen, "nobody");
}

TEST(Expand, MegabyteOfTextIsCopied) {
  const std::string text(1'000'000, 'x');
  EXPECT_EQ(*expand(text, value_of), text);
}

} // namespace
} // namespace postrider::config
