// SPDX-License-Identifier: MIT
#include "maps/pattern_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::maps {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string get(const PatternTable& table, std::string_view key) {
  auto answer = table.find(key);
  if (!answer) return "ERROR " + answer.error().text();
  return answer->value_or("(none)");
}

struct Case {
  const char* name;
  const char* table;
  const char* key;
  const char* answer;
};
std::string name_of(const testing::TestParamInfo<Case>& info) { return info.param.name; }

// What both dialects have in common.
constexpr Case kCommon[] = {
    {"IgnoresCase", "/Abc/ x", "aBC", "x"},
    {"CaseFlag", "/Abc/i x", "abc", "(none)"},
    {"CaseFlagTwice", "/Abc/ii x", "abc", "x"},
    {"FindsInside", "/b/ x", "abc", "x"},
    {"FirstCounts", "/a/ 1\n/ab/ 2", "ab", "1"},
    {"AnyDelimiter", "~a/b~ x", "a/b", "x"},
    {"EscapedDelimiter", "/a\\/b/ x", "a/b", "x"},
    {"WhiteSpaceInside", "/a b/ x", "a b", "x"},
    {"Negated", "!/a/ x", "b", "x"},
    {"NegatedNot", "!/a/ x", "a", "(none)"},
    {"NegatedTwice", "! ! /a/ x", "a", "x"},
    {"Groups", "/^(.*)@(.*)$/ $2 at $1", "u@d", "d at u"},
    {"GroupsKeepCase", "/^(.*)@/ $1", "User@d", "User"},
    {"GroupForms", "/(a)(b)/ ${1}x$(2)y$2", "ab", "axbyb"},
    {"GroupNotUsed", "/(a)|(b)/ <$1$2>", "b", "<b>"},
    {"GroupEmpty", "/a(x*)/ <$1>", "a", "<>"},
    {"ManyGroups", "/(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)/ $11$10", "abcdefghijk", "kj"},
    {"Dollar", "/a/ $$1 $${x} a$$", "a", "$1 ${x} a$"},
    {"If", "if /a/\n/b/ x\nendif\n/b/ y", "ab", "x"},
    {"IfNot", "if /a/\n/b/ x\nendif\n/b/ y", "b", "y"},
    {"IfNegated", "if !/a/\n/b/ x\nendif\n/b/ y", "b", "x"},
    {"IfNegatedNot", "if !/a/\n/b/ x\nendif\n/b/ y", "ab", "y"},
    {"IfFallsThrough", "if /a/\n/b/ x\nendif\n/c/ y", "ac", "y"},
    {"IfNested", "if /a/\nif /b/\n/c/ x\nendif\n/d/ y\nendif\n/e/ z", "ad", "y"},
    {"IfNestedIn", "if /a/\nif /b/\n/c/ x\nendif\n/d/ y\nendif\n/e/ z", "abc", "x"},
    {"IfNestedOut", "if /a/\nif /b/\n/c/ x\nendif\n/d/ y\nendif\n/e/ z", "cde", "z"},
    {"IfAnyCase", "IF /a/\n/b/ x\nEndIf", "ab", "x"},
    {"IfWithoutSpace", "if!/a/\n/b/ x\nendif", "b", "x"},
    {"IfWithoutEndif", "if /a/\n/b/ x", "b", "(none)"},
    {"EndifWithoutIf", "endif\n/b/ x", "b", "x"},
    {"BadIfStaysShut", "if /(/\n/b/ x\nendif\n/b/ y", "b", "y"},
    {"Continued", "/a/\n  one\n  # two\n  three", "a", "one  three"},
    {"EmptyResult", "/a/", "a", ""},
    {"EmptyKey", "/^$/ x", "", "x"},
    {"DotMatchesLineEnd", "/a.b/ x", "a\nb", "x"},
    {"EndIsTheEnd", "/^b$/ x", "a\nb", "(none)"},
    {"LinesWithM", "/^b$/m x", "a\nb\nc", "x"},
};

class Common : public testing::TestWithParam<Case> {};
TEST_P(Common, Answers) {
  for (const Dialect* dialect : {&kRegexp, &kPcre}) {
    Problems problems("t");
    EXPECT_EQ(get(PatternTable::parse(GetParam().table, *dialect, problems), GetParam().key),
              GetParam().answer)
        << dialect->name;
  }
}
INSTANTIATE_TEST_SUITE_P(PatternTable, Common, testing::ValuesIn(kCommon), name_of);

class Pcre : public testing::TestWithParam<Case> {};
TEST_P(Pcre, Answers) {
  Problems problems("t");
  EXPECT_EQ(get(PatternTable::parse(GetParam().table, kPcre, problems), GetParam().key),
            GetParam().answer);
}
INSTANTIATE_TEST_SUITE_P(PatternTable, Pcre,
                         testing::ValuesIn<Case>({
                             {"LookAhead", "/^a(?!b)/ x", "ac", "x"},
                             {"LookAheadNot", "/^a(?!b)/ x", "ab", "(none)"},
                             {"DotNotLineEnd", "/a.b/s x", "a\nb", "(none)"},
                             {"Extended", "/a b/x x", "ab", "x"},
                             {"Anchored", "/b/A x", "ab", "(none)"},
                             {"DollarBeforeLineEnd", "/a$/ x", "a\n", "x"},
                             {"DollarEndOnly", "/a$/E x", "a\n", "(none)"},
                             {"Ungreedy", "/(a+)/U <$1>", "aaa", "<a>"},
                             {"NamedGroup", "/(?<n>a)/ <$1>", "a", "<a>"},
                             {"ResetStart", "/(a)\\Kb/ $1", "ab", "a"},
                             {"ObsoleteX", "/a/X x", "a", "x"},
                             {"Bytes", "/^..$/ x", "\xc3\xa9", "x"},
                         }),
                         name_of);

class Regexp : public testing::TestWithParam<Case> {};
TEST_P(Regexp, Answers) {
  Problems problems("t");
  EXPECT_EQ(get(PatternTable::parse(GetParam().table, kRegexp, problems), GetParam().key),
            GetParam().answer);
}
INSTANTIATE_TEST_SUITE_P(PatternTable, Regexp,
                         testing::ValuesIn<Case>({
                             {"BasicSyntax", "/a+/x x", "a+", "x"},
                             {"BasicSyntaxNot", "/a+/x x", "aa", "(none)"},
                             {"Classes", "/^[[:alnum:]+]{3,}$/ x", "a+1", "x"},
                             {"Longest", "/(a|ab)(c|bcd)/ <$1,$2>", "abcd", "<a,bcd>"},
                         }),
                         name_of);

TEST(PatternTable, AZeroByteDoesNotEndTheKey) {
  for (const Dialect* dialect : {&kRegexp, &kPcre}) {
    Problems problems("t");
    const auto table =
        PatternTable::parse("/^the.*(end)$/ <$1>\n/(end)$/ <$1>", *dialect, problems);
    EXPECT_EQ(get(table, std::string_view("the \0end", 8)), "<end>");
  }
}

struct BadCase {
  const char* line;
  const char* problem; // of regexp; pcre says the same but for the library's own text
};

TEST(PatternTable, WrongRulesAreLeftOut) {
  for (const BadCase& c : std::initializer_list<BadCase>{
           {"/(/ y", ""},
           {"/x", "no closing regexp delimiter \"/\": skipping this rule"},
           {"/x\\/", "no closing regexp delimiter \"/\": skipping this rule"},
           {"!", "no regexp: skipping this rule"},
           {"/x/Z y", "unknown regexp option \"Z\": skipping this rule"},
           {"/x/!/y/ z", "unknown regexp option \"!\": skipping this rule"},
           {"/x/ $1", "out of range replacement index \"1\": skipping this rule"},
           {"/(x)/ $0", "out of range replacement index \"0\": skipping this rule"},
           {"/(x)/ $1y", "non-numeric replacement index \"1y\": skipping this rule"},
           {"/(x)/ ${1", "truncated macro reference: bad replacement syntax: skipping this rule"},
           {"/(x)/ a $", "empty macro name: bad replacement syntax: skipping this rule"},
           {"/(x)/ $99999999999999999999", "non-numeric replacement index"},
           {"!/(x)/ $1", "$number found in negative match replacement text: skipping this rule"},
           {"bla bla", "ignoring unrecognized request"},
           {"  /x/ y", "the line starts with white space"},
           {"endif", "ignoring ENDIF without matching IF"},
       }) {
    for (const Dialect* dialect : {&kRegexp, &kPcre}) {
      Problems problems("t");
      const auto table =
          PatternTable::parse(std::string(c.line) + "\n/^x$/ good\n", *dialect, problems);
      EXPECT_EQ(get(table, "x"), "good") << c.line;
      ASSERT_EQ(problems.texts().size(), 1u) << c.line;
      EXPECT_THAT(problems.texts()[0], HasSubstr(std::string("t, line 1: ") + c.problem));
    }
  }
}

TEST(PatternTable, SubstitutionCanBeForbidden) {
  for (const Dialect* dialect : {&kRegexp, &kPcre}) {
    Problems problems("t");
    const auto table = PatternTable::parse("/(.)x/ $1\n/x/ $$1\n", *dialect, problems, false);
    EXPECT_EQ(get(table, "ax"), "$1");
    EXPECT_THAT(problems.texts(), ElementsAre("t, line 1: regular expression substitution is not "
                                              "allowed: skipping this rule"));
  }
}

TEST(PatternTable, ProblemsThatKeepTheRule) {
  Problems problems("t");
  PatternTable::parse("/x/\nif /x/ y\nendif z\n/x/X y\nif /a/\n", kPcre, problems);
  EXPECT_THAT(problems.texts(), ElementsAre("t, line 1: no replacement text: using empty string",
                                            "t, line 2: ignoring extra text after IF statement",
                                            "t, line 3: ignoring extra text after ENDIF",
                                            "t, line 4: ignoring obsolete regexp option \"X\"",
                                            "t, line 5: IF has no matching ENDIF"));
}

// A pattern that tries everything must not take the processor: the lookup is temporary trouble, and
// no rule behind it decides instead.
TEST(PatternTable, AnEndlessPatternIsAnError) {
  Problems problems("pcre:/t");
  const auto table = PatternTable::parse("/x/ y\n/^(a+)+$/ z\n/./ w\n", kPcre, problems);
  const std::string answer = get(table, std::string(5000, 'a') + "!");
  EXPECT_THAT(answer, HasSubstr("ERROR pcre:/t, line 2: match limit exceeded"));
  EXPECT_EQ(get(table, "x" + std::string(5000, 'a')), "y");
}

TEST(PatternTable, DeepPatternsDoNotEndTheProcess) {
  Problems problems("t");
  const auto table = PatternTable::parse("/^((a|b)*)*c/ x\n", kPcre, problems);
  const std::string answer = get(table, std::string(1'000'000, 'a'));
  EXPECT_TRUE(answer == "(none)" || answer.rfind("ERROR", 0) == 0) << answer;
}

} // namespace
} // namespace postrider::maps
