// SPDX-License-Identifier: MIT
#include "record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::tlsrpt {
namespace {

using testing::ElementsAre;
using Texts = std::vector<std::string>;

struct RecordCase {
  std::string_view name;
  Texts texts;
  Texts addresses; // empty: no reports are wanted
};
void PrintTo(const RecordCase& c, std::ostream* out) { *out << c.name; }

class Record : public testing::TestWithParam<RecordCase> {};
TEST_P(Record, Parses) {
  const auto found = parse_record(GetParam().texts);
  if (GetParam().addresses.empty()) {
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(found.error().kind(), ErrorKind::not_found);
    return;
  }
  ASSERT_TRUE(found.ok()) << found.error().text();
  EXPECT_EQ(*found, GetParam().addresses);
}
const std::string kLong = "v=TLSRPTv1; rua=mailto:" + std::string(70000, 'a') + "@b.example";
std::string many() {
  std::string out = "v=TLSRPTv1;rua=";
  for (int i = 0; i < 50; ++i)
    out += "mailto:a" + std::to_string(i) + "@b.example,";
  return out;
}
INSTANTIATE_TEST_SUITE_P(
    Rfc8460Section3, Record,
    testing::ValuesIn<RecordCase>({
        {"Mail", {"v=TLSRPTv1;rua=mailto:r@a.example"}, {"mailto:r@a.example"}},
        {"Https", {"v=TLSRPTv1; rua=https://r.example/v1/tlsrpt"}, {"https://r.example/v1/tlsrpt"}},
        {"Both",
         {"v=TLSRPTv1; rua=mailto:r@a.example , https://r.example:8443/x;"},
         {"mailto:r@a.example", "https://r.example:8443/x"}},
        {"Encoded", {"v=TLSRPTv1;rua=mailto:r%2Bx@a.example"}, {"mailto:r+x@a.example"}},
        {"HeaderFieldsOfTheUri",
         {"v=TLSRPTv1;rua=mailto:r@a.example?bcc=x"},
         {"mailto:r@a.example"}},
        {"UnknownFields", {"v=TLSRPTv1; x=y; rua=mailto:r@a.example; z"}, {"mailto:r@a.example"}},
        {"OtherRecordsBesideIt",
         {"v=spf1 -all", "v=TLSRPTv1;rua=mailto:r@a.example", "v=TLSRPTv2;rua=mailto:s@a.example"},
         {"mailto:r@a.example"}},
        {"OneIsOdd", {"v=TLSRPTv1;rua=ftp://x,mailto:,mailto:r@a.example"}, {"mailto:r@a.example"}},
        {"Twice", {"v=TLSRPTv1;rua=mailto:r@a.example,mailto:r@a.example"}, {"mailto:r@a.example"}},
        {"FirstRuaCounts",
         {"v=TLSRPTv1;rua=mailto:a@a.example;rua=mailto:b@a.example"},
         {"mailto:a@a.example"}},
        {"None", {}, {}},
        {"NoSemicolon", {"v=TLSRPTv1"}, {}},
        {"NoRua", {"v=TLSRPTv1; x=y"}, {}},
        {"VersionInSmallLetters", {"v=tlsrptv1;rua=mailto:r@a.example"}, {}},
        {"VersionNotInFront", {"rua=mailto:r@a.example;v=TLSRPTv1"}, {}},
        {"Two", {"v=TLSRPTv1;rua=mailto:a@a.example", "v=TLSRPTv1;rua=mailto:b@a.example"}, {}},
        {"TwoInOneUri", {"v=TLSRPTv1;rua=mailto:a@a.example%2Cb@a.example"}, {}},
        {"LineBreak", {"v=TLSRPTv1;rua=mailto:a%0D%0ABcc:b@a.example"}, {}},
        {"Nul", {"v=TLSRPTv1;rua=mailto:a%00@a.example"}, {}},
        {"HalfAnEscape", {"v=TLSRPTv1;rua=mailto:a%4"}, {}},
        {"NotAscii", {"v=TLSRPTv1;rua=mailto:\xc3\xa4@a.example"}, {}},
        {"AddressLiteral", {"v=TLSRPTv1;rua=mailto:a@[127.0.0.1]"}, {}},
        {"Quoted", {"v=TLSRPTv1;rua=mailto:\"a\"@a.example"}, {}},
        {"RouteInFront", {"v=TLSRPTv1;rua=mailto:@b.example:a@a.example"}, {}},
        {"Long", {kLong}, {}},
        {"User", {"v=TLSRPTv1;rua=https://user@r.example/"}, {}},
        {"NoTls", {"v=TLSRPTv1;rua=http://r.example/"}, {}},
        {"NumericHost", {"v=TLSRPTv1;rua=https://127.0.0.1/"}, {}},
        {"NumericHostV6", {"v=TLSRPTv1;rua=https://[::1]/"}, {}},
        {"BadPort", {"v=TLSRPTv1;rua=https://r.example:99999/"}, {}},
        {"BlankInUrl", {"v=TLSRPTv1;rua=https://r.example/a b"}, {}},
        {"Bytes", {std::string("v=TLSRPTv1;rua=\0\xff;;;,,,", 22)}, {}},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Record, NamesAFewAddressesAtMost) {
  const auto found = parse_record({many()});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->size(), kMostAddresses);
}

TEST(Record, HostsOfUrls) {
  EXPECT_EQ(https_host("HTTPS://R.Example:8443/x?y#z"), "r.example");
  EXPECT_EQ(https_host("https://r.example?x@y"), "r.example");
  EXPECT_EQ(https_host("https:///x"), std::nullopt);
  EXPECT_EQ(https_host("mailto:a@b.example"), std::nullopt);
}

} // namespace
} // namespace postrider::tlsrpt
