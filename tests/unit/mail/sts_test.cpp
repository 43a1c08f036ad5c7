// SPDX-License-Identifier: MIT
#include "mail/sts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::mail {
namespace {

struct RecordCase {
  std::string_view name;
  std::vector<std::string> texts;
  std::string_view id; // or the kind of the Error
};
class StsRecord : public testing::TestWithParam<RecordCase> {};
TEST_P(StsRecord, IsReadAsRfc8461Says) {
  const Result<std::string> id = parse_sts_record(GetParam().texts);
  EXPECT_EQ(id ? std::string_view(*id) : to_string(id.error().kind()), GetParam().id);
}
INSTANTIATE_TEST_SUITE_P(
    Section31, StsRecord,
    testing::ValuesIn<RecordCase>({
        {"Plain", {"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
        {"NoSemicolonAtTheEnd", {"v=STSv1; id=1"}, "1"},
        {"NoBlanks", {"v=STSv1;id=1;"}, "1"},
        {"MoreBlanks", {"v=STSv1 ;\t id = 1 ; "}, "1"},
        {"Extension", {"v=STSv1; x=y; id=1; z=0"}, "1"},
        {"AmongOthers", {"v=spf1 -all", "v=STSv1; id=abc", "v=TLSRPTv1; rua=x"}, "abc"},
        {"None", {"v=spf1 -all"}, "not_found"},
        {"Nothing", {}, "not_found"},
        {"Two", {"v=STSv1; id=1", "v=STSv1; id=2"}, "protocol"},
        {"NoId", {"v=STSv1;"}, "protocol"},
        {"EmptyId", {"v=STSv1; id=;"}, "protocol"},
        {"LongId", {"v=STSv1; id=" + std::string(33, '1')}, "protocol"},
        {"LongestId", {"v=STSv1; id=" + std::string(32, '1')}, "11111111111111111111111111111111"},
        {"IdWithPunctuation", {"v=STSv1; id=1-2"}, "protocol"},
        {"LaterVersion", {"v=STSv10; id=1"}, "not_found"},
        {"VersionInLowerCase", {"v=stsv1; id=1"}, "not_found"},
        {"VersionNotFirst", {"id=1; v=STSv1"}, "not_found"},
        {"BlankInFront", {" v=STSv1; id=1"}, "not_found"},
    }),
    [](const auto& row) { return std::string(row.param.name); });

struct PolicyCase {
  std::string_view name, text;
  std::string_view wanted; // "mode max_age patterns", or the text of the Error
};
class StsPolicyText : public testing::TestWithParam<PolicyCase> {};
TEST_P(StsPolicyText, IsReadAsRfc8461Says) {
  const Result<StsPolicy> policy = parse_sts_policy(GetParam().text);
  if (!policy) {
    EXPECT_EQ(policy.error().text(), GetParam().wanted);
    return;
  }
  std::string got =
      std::string(to_string(policy->mode)) + " " + std::to_string(policy->max_age.count());
  for (const std::string& mx : policy->mx)
    got += " " + mx;
  EXPECT_EQ(got, GetParam().wanted);
}
INSTANTIATE_TEST_SUITE_P(
    Section32, StsPolicyText,
    testing::ValuesIn<PolicyCase>({
        {"Example",
         "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
         "mx: backupmx.example.com\r\nmax_age: 604800\r\n",
         "enforce 604800 mail.example.com *.example.net backupmx.example.com"},
        {"BareNewlines", "version: STSv1\nmode: testing\nmx: a.example\nmax_age: 1\n",
         "testing 1 a.example"},
        {"NoNewlineAtTheEnd", "version:STSv1\nmode:testing\nmx:a.example\nmax_age:1",
         "testing 1 a.example"},
        {"AnyOrderAndEmptyLines",
         "\nmax_age: 1\n\nmx: a.example\nmode: enforce\nversion: STSv1\n\n", "enforce 1 a.example"},
        {"BlanksAroundValues", "version:  STSv1 \nmode :\tenforce\nmx: a.example \nmax_age: 1 \n",
         "enforce 1 a.example"},
        {"UpperCaseName", "version: STSv1\nmode: enforce\nmx: MX.Example.COM\nmax_age: 1\n",
         "enforce 1 mx.example.com"},
        {"Extension", "version: STSv1\nmode: enforce\nfoo: bar\nmx: a.example\nmax_age: 1\n",
         "enforce 1 a.example"},
        {"TheFirstOfTwoCounts",
         "version: STSv1\nmode: enforce\nmode: nonsense\nmx: a.example\nmax_age: 1\nmax_age: 2\n",
         "enforce 1 a.example"},
        {"NoneNeedsNoMx", "version: STSv1\nmode: none\nmax_age: 86400\n", "none 86400"},
        {"AgeBeyondAYear", "version: STSv1\nmode: none\nmax_age: 9999999999\n", "none 31557600"},
        {"AgeZero", "version: STSv1\nmode: none\nmax_age: 0\n", "none 0"},
        {"AgeOfElevenDigits", "version: STSv1\nmode: none\nmax_age: 10000000000\n",
         "max_age is no number of seconds"},
        {"AgeNegative", "version: STSv1\nmode: none\nmax_age: -1\n",
         "max_age is no number of seconds"},
        {"NoVersion", "mode: none\nmax_age: 1\n", "no version"},
        {"OtherVersion", "version: STSv2\nmode: none\nmax_age: 1\n", "version is not STSv1"},
        {"MisspeltMode", "version: STSv1\nmode: enforced\nmx: a.example\nmax_age: 1\n",
         "mode is none of enforce, testing and none"},
        {"MisspeltField", "version: STSv1\nmodes: enforce\nmx: a.example\nmax_age: 1\n", "no mode"},
        {"NoAge", "version: STSv1\nmode: none\n", "no max_age"},
        {"NoMx", "version: STSv1\nmode: enforce\nmax_age: 1\n", "no mx"},
        {"MalformedMx", "version: STSv1\nmode: enforce\nmx: a..b\nmax_age: 1\n",
         "a malformed mx pattern"},
        {"StarInside", "version: STSv1\nmode: enforce\nmx: a.*.b\nmax_age: 1\n",
         "a malformed mx pattern"},
        {"LoneStar", "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n",
         "a malformed mx pattern"},
        {"Html", "<html><body>404: Not found</body></html>\n", "no version"},
        {"Text", "hello\n", "a line without a colon"},
        {"Nothing", "", "no version"},
        {"NulByte", std::string_view("version: STSv1\0\nmode: none\nmax_age: 1\n", 38),
         "version is not STSv1"},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(StsPolicyBounds, SizeAndNumberOfPatterns) {
  const std::string head = "version: STSv1\nmode: enforce\nmax_age: 1\n";
  std::string text = head;
  for (std::size_t i = 0; i < kStsMostPatterns; ++i)
    text += "mx: a.example\n";
  EXPECT_TRUE(parse_sts_policy(text).ok());
  EXPECT_FALSE(parse_sts_policy(text + "mx: a.example\n").ok());
  EXPECT_FALSE(parse_sts_policy(head + std::string(kStsLongestPolicy, '\n')).ok());
}

struct MatchCase {
  std::string_view name, pattern, host;
  bool allowed;
};
class StsMatch : public testing::TestWithParam<MatchCase> {};
TEST_P(StsMatch, AStarIsOneLabel) {
  EXPECT_EQ(sts_allows({"other.example", std::string(GetParam().pattern)}, GetParam().host),
            GetParam().allowed);
}
INSTANTIATE_TEST_SUITE_P(Section41, StsMatch,
                         testing::ValuesIn<MatchCase>({
                             {"Same", "mx.example.com", "mx.example.com", true},
                             {"Case", "mx.example.com", "MX.Example.com", true},
                             {"DotAtTheEnd", "mx.example.com", "mx.example.com.", true},
                             {"Other", "mx.example.com", "mx2.example.com", false},
                             {"OneLabel", "*.example.com", "mx.example.com", true},
                             {"TwoLabels", "*.example.com", "a.mx.example.com", false},
                             {"NoLabel", "*.example.com", "example.com", false},
                             {"EmptyLabel", "*.example.com", ".example.com", false},
                             {"OnlyTheTail", "*.example.com", "mxexample.com", false},
                             {"SingleLabelHost", "*.com", "com", false},
                             {"NoHost", "*.example.com", "", false},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(StsMatch, NoPatternAllowsNothing) { EXPECT_FALSE(sts_allows({}, "mx.example.com")); }

} // namespace
} // namespace postrider::mail
