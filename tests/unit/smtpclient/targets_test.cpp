// SPDX-License-Identifier: MIT
// shows: smtp_defer_if_no_mx_address_found ignore_mx_lookup_error smtp_mx_address_limit
// shows: smtp_address_preference smtp_balance_inet_protocols smtp_randomize_addresses
// inet_protocols
#include "smtpclient/targets.hpp"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/fake_dns.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {
namespace {

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
liar.example     BOGUS
odd.example      UNUSABLE
liarshost.example MX 10 liar.example
numeric.example  MX 10 192.0.2.55
inner.example    MX 10 local.example
inner.example    MX 20 b.example
local.example    A 127.0.0.1
inner6.example   MX 10 local6.example
local6.example   AAAA ::1
mapped.example   MX 10 mappedhost.example
mappedhost.example AAAA ::ffff:127.0.0.1
zero.example     A 0.0.0.0
near.example     MX 10 near-host.example
near.example     MX 20 b.example
near-host.example A 169.254.1.1
near-host.example AAAA fe80::1
near-host.example A 224.0.0.1
onlynear.example A 255.255.255.255
lost.example     MX 10 gone.example
lost.example     MX 20 me.example
sixes.example    MX 10 sixes-host.example
sixes.example    MX 20 sixes-more.example
sixes.example    MX 30 b.example
sixes.example    MX 40 a.example
sixes-host.example AAAA 2001:db8::21
sixes-host.example AAAA 2001:db8::22
sixes-host.example AAAA 2001:db8::23
sixes-more.example AAAA 2001:db8::24
sixes-more.example AAAA 2001:db8::25
sixes-more.example AAAA 2001:db8::26
)";

class Finding : public testing::Test {
 protected:
  Targets find(std::string_view nexthop) {
    TargetFinder finder(loop, dns, nullptr, options, has_route);
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
  std::string reason(std::string_view nexthop) { return find(nexthop).trouble.value().detail; }
  void SetUp() override {
    options.randomize = false;
    options.my_name = "me.example";
    options.own_addresses = {*net::Address::parse_ip("192.0.2.100", 0)};
  }
  ev::Loop loop;
  test::FakeDns dns{loop, kZone};
  Options options;
  TargetFinder::HasRoute has_route = [](const net::Address&) { return true; };
};

// shows: smtp_address_preference smtp_mx_address_limit smtp_balance_inet_protocols
// shows: smtp_randomize_addresses ignore_mx_lookup_error smtp_defer_if_no_mx_address_found
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
  // Only for hosts that MX records name.
  EXPECT_EQ(cause("nowhere.example"), Cause::no_domain);
}

TEST_F(Finding, SaysWhyInPostfixWords) {
  EXPECT_EQ(reason("nowhere.example"), "Host or domain name not found. Name service error for "
                                       "name=nowhere.example type=AAAA: Host not found");
  options.use_ipv6 = false;
  EXPECT_EQ(reason("[nowhere.example]"), "Host or domain name not found. Name service error for "
                                         "name=nowhere.example type=A: Host not found");
  EXPECT_EQ(reason("[two.example]"),
            "Host or domain name not found. Name service error for name=two.example type=A: Host "
            "found but no data record of requested type");
  EXPECT_EQ(reason("fail.example"), "Host or domain name not found. Name service error for "
                                    "name=fail.example type=MX: Host not found, try again "
                                    "(SERVFAIL)");
  EXPECT_EQ(reason("null.example"), "Domain null.example does not accept mail (nullMX)");
  EXPECT_EQ(reason("mine.example"), "mail for mine.example loops back to myself");
  EXPECT_EQ(reason("odd.example"), "Name service error for name=odd.example type=MX: Malformed or "
                                   "unexpected name server reply");
  EXPECT_EQ(reason("lost.example"), "unable to find primary relay for lost.example");
}

TEST_F(Finding, TheDomainItselfAfterAFailedMxLookup) {
  options.ignore_mx_lookup_error = true;
  dns.fail_only("bare.example", dns::Type::mx);
  EXPECT_EQ(addresses("bare.example"), (std::vector<std::string>{"192.0.2.3"}));
  EXPECT_EQ(cause("odd.example"), Cause::no_domain);
  options.ignore_mx_lookup_error = false;
  EXPECT_EQ(cause("bare.example"), Cause::dns_temporary);
  EXPECT_EQ(cause("odd.example"), Cause::no_address);
}

TEST_F(Finding, ABogusAnswerIsTheEndOfTheSearch) {
  options.ignore_mx_lookup_error = true;
  EXPECT_EQ(cause("liar.example"), Cause::dns_temporary);
  EXPECT_EQ(dns.asked(), std::vector<std::string>{"MX liar.example"}); // and no address
  EXPECT_EQ(cause("liarshost.example"), Cause::dns_temporary);
  EXPECT_EQ(cause("[liar.example]"), Cause::dns_temporary);
}

TEST_F(Finding, NumericMxHostsAndDomains) {
  EXPECT_EQ(addresses("numeric.example"), (std::vector<std::string>{"192.0.2.55"}));
  EXPECT_EQ(addresses("192.0.2.56"), (std::vector<std::string>{"192.0.2.56"}));
  options.use_ipv4 = false;
  EXPECT_EQ(cause("[192.0.2.56]"), Cause::no_address);
}

TEST_F(Finding, StrangersDoNotLeadUsIntoThisHost) {
  for (const auto domain :
       {"inner.example", "inner6.example", "mapped.example", "zero.example", "local.example"})
    EXPECT_EQ(cause(domain), Cause::loop) << domain;
  // Neighbours on the link are no mail servers for the world: another MX is.
  EXPECT_EQ(addresses("near.example"), (std::vector<std::string>{"192.0.2.2"}));
  EXPECT_EQ(cause("onlynear.example"), Cause::no_domain);
  // What the administrator wrote is meant so; and another port is another server.
  EXPECT_EQ(addresses("[local.example]"), (std::vector<std::string>{"127.0.0.1"}));
  EXPECT_EQ(addresses("[127.0.0.1]"), (std::vector<std::string>{"127.0.0.1"}));
  EXPECT_EQ(addresses("inner.example:2525").front(), "127.0.0.1");
}

TEST_F(Finding, OwnAddressesAreFoundInIpv6AsWell) {
  EXPECT_EQ(cause("[::ffff:192.0.2.100]"), Cause::loop);
}

TEST_F(Finding, LooksForAllHostsWhenThatDecides) {
  // The limit is reached with the first host; whether we are an MX shows at the third.
  options.address_limit = 1;
  options.fallback_relays = {{Nexthop::Kind::host, "b.example", 25}};
  EXPECT_TRUE(find("backup.example").we_are_mx);
}

TEST_F(Finding, AFamilyWithoutARouteTakesNoPart) {
  has_route = [](const net::Address& a) { return a.family() == AF_INET; };
  options.preference = Family::ipv6;
  options.address_limit = 2;
  EXPECT_EQ(addresses("two.example"), (std::vector<std::string>{"192.0.2.1", "192.0.2.2"}));
  EXPECT_EQ(addresses("sixes.example"), (std::vector<std::string>{"192.0.2.2", "192.0.2.1"}));
  options.address_limit = 1;
  options.balance_families = false; // its addresses fill no place either
  EXPECT_EQ(addresses("sixes.example"), (std::vector<std::string>{"192.0.2.2"}));
  // With nothing else, let the attempt say why.
  EXPECT_EQ(addresses("[2001:db8::5]"), (std::vector<std::string>{"2001:db8::5"}));
  options.address_limit = 2;
  has_route = [](const net::Address&) { return false; };
  EXPECT_EQ(addresses("two.example").size(), 2U);
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

struct BalanceCase {
  std::string_view before; // one letter per address: its family
  std::size_t limit;
  std::string_view after;
};

TEST(Balance, NoFamilyCrowdsTheOtherOut) {
  const std::vector<BalanceCase> cases = {
      {"466", 5, "466"},
      {"666666", 5, "66666"},
      {"6666664", 5, "66664"},
      {"4444446", 5, "44446"},
      {"66666644", 5, "66644"},
      {"66666644444", 5, "66644"},
      {"44444466666", 5, "44466"},
      {"646464", 4, "6464"},
      {"6666644444", 1, "6"},
      {"4", 1, "4"},
      {"64", 1, "6"},
  };
  for (const BalanceCase& c : cases) {
    std::vector<Endpoint> endpoints;
    for (const char family : c.before) {
      Endpoint endpoint;
      endpoint.address = *net::Address::parse_ip(family == '4' ? "192.0.2.1" : "2001:db8::1", 25);
      endpoints.push_back(endpoint);
    }
    balance_families(endpoints, c.limit);
    std::string after;
    for (const Endpoint& endpoint : endpoints)
      after += endpoint.address.family() == AF_INET ? '4' : '6';
    EXPECT_EQ(after, c.after) << c.before;
  }
}

TEST_F(Finding, KeepsBothFamiliesWithinTheLimit) {
  const auto limited = addresses("many.example");
  EXPECT_EQ(limited.size(), 5U);
  EXPECT_EQ(limited.back(), "2001:db8::11");
  EXPECT_EQ(addresses("sixes.example"),
            (std::vector<std::string>{"2001:db8::21", "2001:db8::22", "2001:db8::23", "192.0.2.2",
                                      "192.0.2.1"}));
  options.balance_families = false;
  EXPECT_EQ(addresses("many.example").back(), "192.0.2.15");
  EXPECT_EQ(addresses("sixes.example").back(), "2001:db8::25");
  options.address_limit = 0;
  EXPECT_EQ(addresses("many.example").size(), 7U);
}

// Without a limit of the administrator's there is still one: 50 MX hosts of 50 addresses each.
TEST_F(Finding, TakesABoundedNumberOfEndpoints) {
  std::string zone;
  for (int host = 0; host < 50; ++host) {
    const std::string name = "h" + std::to_string(host) + ".example";
    zone += "crowd.example MX " + std::to_string(host) + " " + name + "\n";
    for (int i = 0; i < 50; ++i)
      zone += name + " A 203.0." + std::to_string(host) + "." + std::to_string(i + 1) + "\n";
  }
  test::FakeDns crowd(loop, zone);
  options.address_limit = 0;
  TargetFinder finder(loop, crowd, nullptr, options, has_route);
  const Nexthop hop{Nexthop::Kind::domain, "crowd.example", 25};
  EXPECT_EQ(test::run_task<Targets>(loop, [&] { return finder.find(hop); }).endpoints.size(), 100U);
  EXPECT_LT(crowd.asked().size(), 70U);
}

TEST_F(Finding, MixesTheFamiliesUnlessOneIsPreferred) {
  options.randomize = true;
  std::set<int> first;
  for (int i = 0; i < 100; ++i)
    first.insert(find("[a.example]").endpoints.front().address.family());
  EXPECT_EQ(first, (std::set<int>{AF_INET, AF_INET6}));
  options.preference = Family::ipv4;
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(addresses("[a.example]").front(), "192.0.2.1");
}

TEST_F(Finding, ShufflesEqualPreferences) {
  options.randomize = true;
  std::set<std::string> first;
  for (int i = 0; i < 100; ++i)
    first.insert(addresses("many.example").front());
  EXPECT_GT(first.size(), 2U);
}

TEST_F(Finding, UnixSocket) {
  options.flavor = Flavor::lmtp;
  const Targets targets = find("unix:private/store");
  ASSERT_EQ(targets.endpoints.size(), 1U);
  EXPECT_EQ(targets.endpoints[0].address.text(), "private/store");
  EXPECT_EQ(targets.endpoints[0].host, "me.example");
  EXPECT_EQ(cause("unix:" + std::string(200, 'x')), Cause::bad_nexthop);
}

} // namespace
} // namespace postrider::smtpclient
