// SPDX-License-Identifier: MIT
#include "maps/match_list.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace postrider::maps {
namespace {

MatchList make(std::string_view spec, bool parents = false) {
  auto list = MatchList::open(spec, {.parents_match = parents}, {});
  EXPECT_TRUE(list.ok()) << (list.ok() ? "" : list.error().text());
  return *std::move(list);
}

struct AddressCase {
  const char* name;
  const char* list;
  const char* address;
  bool match;
};
class MyNetworks : public testing::TestWithParam<AddressCase> {};
TEST_P(MyNetworks, Decides) {
  MatchList list = make(GetParam().list);
  EXPECT_EQ(list.matches_address(GetParam().address).value(), GetParam().match);
}
INSTANTIATE_TEST_SUITE_P(Lists, MyNetworks,
                         testing::ValuesIn<AddressCase>({
                             {"Inside", "127.0.0.0/8, 10.0.0.0/8", "10.1.2.3", true},
                             {"Outside", "127.0.0.0/8 10.0.0.0/8", "11.1.2.3", false},
                             {"Single", "192.0.2.1", "192.0.2.1", true},
                             {"ExcludedFirst", "!10.0.0.1, 10.0.0.0/8", "10.0.0.1", false},
                             {"ExcludedTooLate", "10.0.0.0/8, !10.0.0.1", "10.0.0.1", true},
                             {"SixLoopback", "[::1]/128", "::1", true},
                             {"SixNetwork", "[2001:db8::]/32", "2001:db8:5::1", true},
                             {"SixAddress", "[2001:db8::1]", "2001:DB8:0::1", true},
                             {"FourIsNotSix", "[::]/0", "192.0.2.1", false},
                             {"MappedIsFour", "192.0.2.0/24", "::ffff:192.0.2.9", true},
                             {"NamesDoNotMatch", "localhost", "127.0.0.1", false},
                             {"NotAnAddress", "0.0.0.0/0 static:all", "example.com", false},
                             {"AllBits", "0.0.0.0/0", "203.0.113.9", true},
                             {"Table", "inline:{192.0.2.5=x}", "192.0.2.5", true},
                             {"ExcludedTable", "!inline:{192.0.2.5=x}, 192.0.2.0/24", "192.0.2.5",
                              false},
                             {"Empty", "", "127.0.0.1", false},
                             {"Garbage", "127.0.0.0/8", "127.0.0.1; DROP", false},
                         }),
                         [](const auto& tested) { return std::string(tested.param.name); });

struct DomainCase {
  const char* name;
  const char* list;
  bool parents;
  const char* domain;
  bool match;
};
class Domains : public testing::TestWithParam<DomainCase> {};
TEST_P(Domains, Decides) {
  MatchList list = make(GetParam().list, GetParam().parents);
  EXPECT_EQ(list.matches_domain(GetParam().domain).value(), GetParam().match);
}
INSTANTIATE_TEST_SUITE_P(
    Lists, Domains,
    testing::ValuesIn<DomainCase>({
        {"Exact", "Example.com", false, "example.COM", true},
        {"SubNeedsDot", "example.com", false, "a.example.com", false},
        {"DotMatchesSub", ".example.com", false, "a.b.example.com", true},
        {"DotNotItself", ".example.com", false, "example.com", false},
        {"ParentMatchesSub", "example.com", true, "a.example.com", true},
        {"ParentNotSuffix", "example.com", true, "badexample.com", false},
        {"Excluded", "!a.example.com, example.com", true, "a.example.com", false},
        {"TableExact", "inline:{example.com=x}", false, "example.com", true},
        {"TableSubByDot", "inline:{.example.com=x}", false, "a.example.com", true},
        {"TableSubByParent", "inline:{example.com=x}", true, "a.b.example.com", true},
        {"TableSubNot", "inline:{example.com=x}", false, "a.example.com", false},
        {"Literal", "[192.0.2.1]", false, "[192.0.2.1]", true},
        {"LiteralOther", "192.0.2.1", false, "[192.0.2.1]", false},
        {"EmptyDomain", "example.com", true, "", false},
    }),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(MatchList, HostsByNameOrAddress) {
  MatchList list = make("!bad.example.com, .example.com, 192.0.2.0/24");
  EXPECT_TRUE(list.matches_host("mx.example.com", "203.0.113.1").value());
  EXPECT_TRUE(list.matches_host("unknown", "192.0.2.1").value());
  EXPECT_FALSE(list.matches_host("bad.example.com", "192.0.2.1").value());
  EXPECT_FALSE(list.matches_host("unknown", "203.0.113.1").value());
}

struct HostCase {
  const char* name;
  const char* list;
  bool parents;
  const char* host;
  const char* address;
  bool match;
};
class Hosts : public testing::TestWithParam<HostCase> {};
TEST_P(Hosts, Decides) {
  MatchList list = make(GetParam().list, GetParam().parents);
  EXPECT_EQ(list.matches_host(GetParam().host, GetParam().address).value(), GetParam().match);
}
INSTANTIATE_TEST_SUITE_P(
    Lists, Hosts,
    testing::ValuesIn<HostCase>({
        {"Name", "mx.example.com", false, "MX.Example.com", "192.0.2.1", true},
        {"NameOfParent", "example.com", true, "mx.example.com", "192.0.2.1", true},
        {"NameOfParentNot", "example.com", false, "mx.example.com", "192.0.2.1", false},
        {"DottedParent", ".example.com", false, "mx.example.com", "192.0.2.1", true},
        {"Address", "192.0.2.1", false, "mx.example.com", "192.0.2.1", true},
        {"Network", "192.0.2.0/24", false, "unknown", "192.0.2.77", true},
        {"SixNetwork", "[2001:db8::]/32", false, "unknown", "2001:db8::77", true},
        {"UnknownByName", "unknown", false, "unknown", "192.0.2.1", true},
        {"NegatedFirst", "!192.0.2.1, example.com", true, "mx.example.com", "192.0.2.1", false},
        {"NegatedLater", "example.com, !192.0.2.1", true, "mx.example.com", "192.0.2.1", true},
        {"TableByName", "inline:{mx.example.com=x}", false, "mx.example.com", "192.0.2.1", true},
        {"TableByAddress", "inline:{192.0.2.1=x}", false, "mx.example.com", "192.0.2.1", true},
        {"TableByParent", "inline:{.example.com=x}", false, "mx.example.com", "192.0.2.1", true},
        {"TableEmptyAnswer", "inline:{192.0.2.1=}", false, "unknown", "192.0.2.1", true},
        {"TableNegated", "!inline:{192.0.2.1=x} static:all", false, "unknown", "192.0.2.1", false},
        {"Cidr", "cidr:{{192.0.2.0/24 x}}", false, "unknown", "192.0.2.9", true},
        {"PatternName", "pcre:{{/^mx\\./ x}}", false, "mx.example.com", "192.0.2.1", true},
        {"PatternNoParents", "regexp:{{/^\\.?example/ x}}", false, "mx.example.com", "192.0.2.1",
         false},
        {"PatternAddress", "regexp:{{/^192\\.0/ x}}", false, "unknown", "192.0.2.1", true},
        {"Several", "pcre:{{/zz/ x}}, !b.example.com 192.0.2.0/24", false, "b.example.com",
         "192.0.2.1", false},
    }),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(MatchList, SaysWhetherATableHasToBeWaitedFor) {
  EXPECT_FALSE(make("192.0.2.1, example.com, inline:{a=b}").may_wait());
  MatchList list = make("192.0.2.1, !unionmap:{static:a socketmap:unix:/nonexistent:name}");
  EXPECT_TRUE(list.may_wait());
  EXPECT_TRUE(list.matches_address("192.0.2.1").value());
  EXPECT_FALSE(list.matches_address("192.0.2.2").ok());
}

TEST(MatchList, TableTroubleIsAnError) {
  MatchList list = make("texthash:/nonexistent/table, example.com");
  EXPECT_FALSE(list.matches_domain("example.com").ok());
  EXPECT_FALSE(list.matches_address("192.0.2.1").ok());
}

TEST(MatchList, BadItems) {
  for (const char* spec : {"10.0.0.1/8", "10.0.0.0/33", "1.2.3", "!", "::1/128", "2001:db8::/32",
                           "[::1/128", "[10.0.0.1]/8", "nosuch:table", "/nonexistent/list", "{a"})
    EXPECT_FALSE(MatchList::open(spec, {}, {}).ok()) << spec;
}

TEST(MatchList, FilesStandForTheirContent) {
  char path[] = "/tmp/postrider-match-XXXXXX";
  const std::string directory = ::mkdtemp(path);
  std::ofstream(directory + "/nets") << "# ours\n192.0.2.0/24\n!198.51.100.1\n198.51.100.0/24\n";
  std::ofstream(directory + "/loop") << directory << "/loop\n";
  MatchList list = make(directory + "/nets");
  EXPECT_TRUE(list.matches_address("192.0.2.9").value());
  EXPECT_FALSE(list.matches_address("198.51.100.1").value());
  EXPECT_TRUE(list.matches_address("198.51.100.2").value());
  MatchList inverted = make("!" + directory + "/nets, 0.0.0.0/0");
  EXPECT_FALSE(inverted.matches_address("192.0.2.9").value());
  EXPECT_TRUE(inverted.matches_address("198.51.100.1").value());
  EXPECT_FALSE(MatchList::open(directory + "/loop", {}, {}).ok());
  std::filesystem::remove_all(directory);
}

} // namespace
} // namespace postrider::maps
