// SPDX-License-Identifier: MIT
#include "smtpclient/targets.hpp"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/fake_dns.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {
namespace {

TEST(NexthopSyntax, Accepts) {
  Options smtp;
  Options lmtp;
  lmtp.flavor = Flavor::lmtp;
  lmtp.default_port = 24;
  using Kind = Nexthop::Kind;
  const auto one = [](std::string_view text, const Options& o) {
    const auto hops = parse_nexthops(text, o);
    EXPECT_TRUE(hops) << text << ": " << hops.error().text();
    return hops->at(0);
  };
  EXPECT_EQ(one("Example.org", smtp), (Nexthop{Kind::domain, "example.org", 25}));
  EXPECT_EQ(one("example.org:587", smtp), (Nexthop{Kind::domain, "example.org", 587}));
  EXPECT_EQ(one("[mx.example.org]", smtp), (Nexthop{Kind::host, "mx.example.org", 25}));
  EXPECT_EQ(one("[mx.example.org]:2525", smtp), (Nexthop{Kind::host, "mx.example.org", 2525}));
  EXPECT_EQ(one("[127.0.0.1]:2525", smtp), (Nexthop{Kind::host, "127.0.0.1", 2525}));
  EXPECT_EQ(one("[::1]:2525", smtp), (Nexthop{Kind::host, "::1", 2525}));
  EXPECT_EQ(one("[ipv6:2001:db8::1]", smtp), (Nexthop{Kind::host, "2001:db8::1", 25}));
  EXPECT_EQ(one("b\xc3\xbc"
                "cher.example",
                smtp)
                .name,
            "xn--bcher-kva.example");
  EXPECT_EQ(one("inet:host", lmtp), (Nexthop{Kind::host, "host", 24}));
  EXPECT_EQ(one("inet:host:2424", lmtp), (Nexthop{Kind::host, "host", 2424}));
  EXPECT_EQ(one("inet:[192.0.2.1]:24", lmtp), (Nexthop{Kind::host, "192.0.2.1", 24}));
  EXPECT_EQ(one("unix:private/lmtp", lmtp), (Nexthop{Kind::unix_socket, "private/lmtp", 0}));
  EXPECT_EQ(parse_nexthops("a.example, [b.example]:26 c.example", smtp)->size(), 3U);
}

TEST(NexthopSyntax, Refuses) {
  const Options options;
  for (const auto text : {"", " , ", "[", "[a", "[a]x", "[a]:", "a:", "a:0", "a:65536",
                          "a:nosuchport", "a..b", "-a", "a b/c", "unix:", ":25", "[]:25"})
    EXPECT_FALSE(parse_nexthops(text, options)) << text;
}

TEST(Ports, KnownNamesComeFirst) {
  const std::vector<std::string> known = {"smtp=2525", "smtps=submissions=465"};
  EXPECT_EQ(parse_port("smtp", known).value(), 2525);
  EXPECT_EQ(parse_port("submissions", known).value(), 465);
  EXPECT_EQ(parse_port("587", known).value(), 587);
}

constexpr std::string_view kZone = R"(
two.example      MX 20 b.example
two.example      MX 10 a.example
a.example        A 192.0.2.1
a.example        AAAA 2001:db8::1
b.example        A 192.0.2.2
bare.example     A 192.0.2.3
null.example     MX 0 .
dead.example     MX 10 gone.example
shaky.example    MX 10 fail.example
fail.example     TEMPORARY SERVFAIL
half.example     MX 10 fail.example
half.example     MX 20 b.example
backup.example   MX 10 a.example
backup.example   MX 20 me.example
backup.example   MX 30 b.example
me.example       A 192.0.2.100
mine.example     MX 10 me.example
mine.example     MX 20 b.example
many.example     MX 10 many-host.example
many-host.example A 192.0.2.11
many-host.example A 192.0.2.12
many-host.example A 192.0.2.13
many-host.example A 192.0.2.14
many-host.example A 192.0.2.15
many-host.example A 192.0.2.16
many-host.example AAAA 2001:db8::11
)";

class Finding : public testing::Test {
 protected:
  Targets find(std::string_view nexthop) {
    TargetFinder finder(loop, dns, nullptr, options);
    const Nexthop hop = parse_nexthops(nexthop, options).value().at(0);
    return test::run_task<Targets>(loop, [&] { return finder.find(hop); });
  }
  std::vector<std::string> addresses(std::string_view nexthop) {
    std::vector<std::string> out;
    for (const Endpoint& e : find(nexthop).endpoints)
      out.push_back(e.address.text());
    return out;
  }
  Cause cause(std::string_view nexthop) {
    const Targets targets = find(nexthop);
    EXPECT_TRUE(targets.trouble && targets.endpoints.empty()) << nexthop;
    return targets.trouble ? targets.trouble->cause : Cause::closed;
  }
  void SetUp() override {
    options.randomize = false;
    options.my_name = "me.example";
    options.own_addresses = {*net::Address::parse_ip("192.0.2.100", 0)};
  }
  ev::Loop loop;
  test::FakeDns dns{loop, kZone};
  Options options;
};

TEST_F(Finding, OrdersByPreference) {
  EXPECT_EQ(addresses("two.example"),
            (std::vector<std::string>{"192.0.2.1", "2001:db8::1", "192.0.2.2"}));
  options.preference = Family::ipv6;
  EXPECT_EQ(addresses("two.example").front(), "2001:db8::1");
  options.use_ipv6 = false;
  EXPECT_EQ(addresses("two.example"), (std::vector<std::string>{"192.0.2.1", "192.0.2.2"}));
  EXPECT_EQ(find("two.example:26").endpoints[0].address.port(), 26);
  EXPECT_EQ(find("two.example").endpoints[0].host, "a.example");
}

TEST_F(Finding, ImplicitMxAndBracketsAndLiterals) {
  EXPECT_EQ(addresses("bare.example"), (std::vector<std::string>{"192.0.2.3"}));
  EXPECT_EQ(addresses("[a.example]"), (std::vector<std::string>{"192.0.2.1", "2001:db8::1"}));
  EXPECT_EQ(addresses("[192.0.2.77]"), (std::vector<std::string>{"192.0.2.77"}));
}

TEST_F(Finding, WhatCannotBeFound) {
  EXPECT_EQ(cause("nowhere.example"), Cause::no_domain);
  EXPECT_EQ(cause("null.example"), Cause::null_mx);
  EXPECT_EQ(cause("dead.example"), Cause::no_address);
  EXPECT_EQ(cause("fail.example"), Cause::dns_temporary);
  EXPECT_EQ(cause("shaky.example"), Cause::dns_temporary);
  EXPECT_EQ(cause("[fail.example]"), Cause::dns_temporary);
  EXPECT_EQ(cause("[nowhere.example]"), Cause::no_address);
  EXPECT_EQ(addresses("half.example"), (std::vector<std::string>{"192.0.2.2"}));
  options.defer_if_no_address = true;
  EXPECT_EQ(cause("dead.example"), Cause::no_address_yet);
}

TEST_F(Finding, LeavesOutItselfAndWorse) {
  const Targets backup = find("backup.example");
  EXPECT_TRUE(backup.we_are_mx);
  ASSERT_EQ(backup.endpoints.size(), 2U);
  EXPECT_EQ(backup.endpoints[1].host, "a.example");
  EXPECT_EQ(cause("mine.example"), Cause::loop);
  EXPECT_EQ(cause("[me.example]"), Cause::loop);
  EXPECT_EQ(cause("[0.0.0.0]"), Cause::loop);
  // Another port is another server.
  EXPECT_EQ(addresses("[me.example]:2525"), (std::vector<std::string>{"192.0.2.100"}));
}

TEST_F(Finding, KeepsBothFamiliesWithinTheLimit) {
  const auto limited = addresses("many.example");
  EXPECT_EQ(limited.size(), 5U);
  EXPECT_EQ(limited.back(), "2001:db8::11");
  options.balance_families = false;
  EXPECT_EQ(addresses("many.example").back(), "192.0.2.15");
  options.address_limit = 0;
  EXPECT_EQ(addresses("many.example").size(), 7U);
}

TEST_F(Finding, ShufflesEqualPreferences) {
  options.randomize = true;
  std::set<std::string> first;
  for (int i = 0; i < 100; ++i)
    first.insert(addresses("many.example").front());
  EXPECT_GT(first.size(), 2U);
}

TEST_F(Finding, UnixSocket) {
  const Targets targets = find("unix:private/store");
  ASSERT_EQ(targets.endpoints.size(), 1U);
  EXPECT_EQ(targets.endpoints[0].address.text(), "private/store");
  EXPECT_EQ(targets.endpoints[0].host, "me.example");
  EXPECT_EQ(cause("unix:" + std::string(200, 'x')), Cause::bad_nexthop);
}

} // namespace
} // namespace postrider::smtpclient
