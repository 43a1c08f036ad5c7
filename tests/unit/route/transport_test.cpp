// SPDX-License-Identifier: MIT
#include "route/transport.hpp"

#include <gtest/gtest.h>

namespace postrider::route {
namespace {

Result<Router> make(const std::string& text) {
  config::Findings findings;
  const config::Machine machine{.hostname = "mx.test", .addresses = {"127.0.0.1"}};
  auto settings = config::Settings::parse(
      "myorigin = origin.test\nrecipient_delimiter = +\n" + text,
      {.config_directory = "/etc/postrider", .overrides = {}}, {}, machine, findings);
  if (!settings) return settings.error();
  return Router::create(*settings, {"192.0.2.1", "::1"});
}

// FILTER of access tables.
TEST(Filtering, TakesAllRecipientsAnotherWay) {
  const auto router = make("transport_maps = inline:{a.test=slow:}\nrelayhost = [hub.test]\n"
                           "myhostname = host.test\n");
  ASSERT_TRUE(router.ok());
  const auto to = [&](const std::string& filter, const std::string& recipient) {
    const auto route = router->resolve_filter(filter, recipient);
    return route ? route->transport + " " + route->nexthop + " " + route->recipient
                 : "error: " + route.error().text();
  };
  EXPECT_EQ(to("scan:[127.0.0.1]:10025", "u@a.test"), "scan [127.0.0.1]:10025 u@a.test");
  EXPECT_EQ(to("lmtp:unix:/run/Scan", "u@a.test"), "lmtp unix:/run/Scan u@a.test");
  EXPECT_EQ(to("slow:", "u@A.test"), "slow a.test u@A.test");
  EXPECT_EQ(to("slow:", "u"), "slow host.test u");
  EXPECT_TRUE(to("sp am:x", "u@a.test").starts_with("error: FILTER: \"sp am\" is no transport"));
  EXPECT_TRUE(to(":[127.0.0.1]", "u@a.test").starts_with("error: FILTER: "));
}

struct Case {
  const char* name;
  const char* config;
  const char* recipient;
  const char* sender;
  const char* route;
};
class Routing : public testing::TestWithParam<Case> {};
TEST_P(Routing, Chooses) {
  auto router = make(GetParam().config);
  ASSERT_TRUE(router.ok()) << router.error().text();
  auto route = router->resolve(GetParam().recipient, GetParam().sender);
  ASSERT_TRUE(route.ok()) << route.error().text();
  EXPECT_EQ(route->transport + " " + route->nexthop + " " +
                std::string(to_string(route->address_class)),
            GetParam().route);
}

constexpr const char* kMaps =
    "relay_domains = relay.test\n"
    "transport_maps = inline:{ {user@map.test = slow:[one.test]}, {map.test = :[hop.test]:2525},"
    " {.map.test = slow:}, {err.test = error:5.7.1 Not Here}, {drop.test = discard:Quietly},"
    " {noop.test = :}, {mx.test = lmtp:unix:Private/Lmtp}, {bare.test = slow},"
    " {err2.test = error:}, {u+x@ext.test = slow:[plus.test]}, {u@ext.test = slow:[user.test]} }\n";

INSTANTIATE_TEST_SUITE_P(
    Addresses, Routing,
    testing::ValuesIn<Case>({
        {"Default", "", "u@Example.COM", "s@x", "smtp example.com default"},
        {"TrailingDot", "", "u@example.com.", "", "smtp example.com default"},
        {"Local", "", "u@mx.test", "", "local mx.test local"},
        {"LocalPlain", "local_transport = lmtp:unix:/run/Lmtp\n", "u@localhost", "",
         "lmtp unix:/run/Lmtp local"},
        {"LocalWithoutNexthop", "local_transport = error\n", "u@localhost", "",
         "error Address is undeliverable local"},
        {"OwnLiteral", "", "u@[192.0.2.1]", "", "local mx.test local"},
        {"OwnLiteralSix", "", "u@[IPv6:::1]", "", "local mx.test local"},
        {"ProxyLiteral", "proxy_interfaces = 203.0.113.5\n", "u@[203.0.113.5]", "",
         "local mx.test local"},
        {"ForeignLiteral", "", "u@[198.51.100.1]", "", "smtp [198.51.100.1] default"},
        {"NoDomain", "", "user", "", "smtp origin.test default"},
        {"Relay", "relay_domains = relay.test\n", "u@sub.relay.test", "",
         "relay sub.relay.test relay"},
        // Postfix's resolver: what has no alias there is nobody, wherever tables and relays lead.
        {"AliasDomain",
         "virtual_alias_domains = alias.test\nrelay_domains = alias.test\nrelayhost = [hub.test]\n"
         "transport_maps = inline:{alias.test=slow:, u@alias.test=slow:}\n",
         "u@Alias.test", "", "error 5.1.1 User unknown in virtual alias table virtual alias"},
        {"AliasDomainByItsTable",
         "virtual_alias_maps = inline:{alias.test=x, a@alias.test=b@c.test}\n", "u@alias.test", "",
         "error 5.1.1 User unknown in virtual alias table virtual alias"},
        {"AliasDomainOfOurs", "virtual_alias_domains = mx.test\n", "u@mx.test", "",
         "local mx.test local"},
        {"RelayhostForDefault", "relayhost = [Hub.test]:2525\n", "u@example.com", "",
         "smtp [hub.test]:2525 default"},
        {"RelayhostForRelay", "relayhost = [hub.test]\nrelay_domains = relay.test\n",
         "u@relay.test", "", "relay [hub.test] relay"},
        {"RelayhostNotForLocal", "relayhost = [hub.test]\n", "u@localhost", "",
         "local mx.test local"},
        {"DefaultTransportNexthop", "relayhost = [hub.test]\ndefault_transport = slow:[own.test]\n",
         "u@example.com", "", "slow [own.test] default"},
        {"RelayTransportNexthop", "relay_transport = relay:[in.test]\nrelay_domains = relay.test\n",
         "u@relay.test", "", "relay [in.test] relay"},
        {"SenderRelayhost",
         "relayhost = [hub.test]\nsender_dependent_relayhost_maps = inline:{ {s@x.test = "
         "[sx.test]}, {@x.test = [dx.test]}, {<> = [null.test]}, {no@x.test = DUNNO} }\n",
         "u@example.com", "s@x.test", "smtp [sx.test] default"},
        {"SenderRelayhostExtension",
         "sender_dependent_relayhost_maps = inline:{ {s@x.test = [sx.test]} }\n", "u@example.com",
         "s+e@x.test", "smtp [sx.test] default"},
        {"SenderRelayhostDomain",
         "sender_dependent_relayhost_maps = inline:{ {@x.test = [dx.test]} }\n", "u@example.com",
         "other@X.test", "smtp [dx.test] default"},
        {"SenderRelayhostNull", "sender_dependent_relayhost_maps = inline:{ {<> = [null.test]} }\n",
         "u@example.com", "", "smtp [null.test] default"},
        {"SenderRelayhostDunno",
         "relayhost = [hub.test]\nsender_dependent_relayhost_maps = inline:{ {no@x.test = dunno}, "
         "{@x.test = [dx.test]} }\n",
         "u@example.com", "no@x.test", "smtp [hub.test] default"},
        {"SenderTransport",
         "relayhost = [hub.test]\nsender_dependent_default_transport_maps = inline:{ {@x.test = "
         "slow:} }\n",
         "u@example.com", "s@x.test", "slow [hub.test] default"},
        {"SenderTransportNexthop",
         "sender_dependent_default_transport_maps = inline:{ {@x.test = slow:[sx.test]} }\n",
         "u@example.com", "s@x.test", "slow [sx.test] default"},
        {"SenderTransportNotForRelay",
         "relay_domains = relay.test\nsender_dependent_default_transport_maps = static:slow\n",
         "u@relay.test", "s@x.test", "relay relay.test relay"},
        {"MapUser", kMaps, "User@map.test", "", "slow [one.test] default"},
        {"MapNexthopOnly", kMaps, "other@map.test", "", "smtp [hop.test]:2525 default"},
        {"MapTransportOnly", kMaps, "u@sub.map.test", "", "slow sub.map.test default"},
        {"MapWithoutColon", kMaps, "u@bare.test", "", "slow bare.test default"},
        {"MapError", kMaps, "u@err.test", "", "error 5.7.1 Not Here default"},
        {"MapErrorNoText", kMaps, "u@err2.test", "", "error Address is undeliverable default"},
        {"MapDiscard", kMaps, "u@drop.test", "", "discard Quietly default"},
        {"MapNothing", kMaps, "u@noop.test", "", "smtp noop.test default"},
        {"MapForLocal", kMaps, "u@mx.test", "", "lmtp unix:Private/Lmtp local"},
        {"MapExtension", kMaps, "u+x@ext.test", "", "slow [plus.test] default"},
        {"MapWithoutExtension", kMaps, "u+y@ext.test", "", "slow [user.test] default"},
        {"MapOverRelayhost",
         "relayhost = [hub.test]\ntransport_maps = inline:{ {a.test = smtp:} }\n", "u@a.test", "",
         "smtp a.test default"},
        {"MapWildcard", "transport_maps = inline:{ {* = slow:[all.test]}, {localhost = :} }\n",
         "u@example.com", "", "slow [all.test] default"},
        {"MapWildcardExempt",
         "transport_maps = inline:{ {* = slow:[all.test]}, {localhost = :} }\n", "u@localhost", "",
         "local mx.test local"},
        {"ParentsMatch",
         "parent_domain_matches_subdomains = transport_maps\ntransport_maps = inline:{ {b.test = "
         "slow:} }\n",
         "u@a.b.test", "", "slow a.b.test default"},
        {"EmptyAddress", "", "", "", "error 5.1.3 Bad recipient address syntax default"},
        {"EmptyLocal", "", "@example.com", "", "error 5.1.3 Bad recipient address syntax default"},
        {"EmptyDomain", "", "u@", "", "error 5.1.3 Bad recipient address syntax default"},
        {"TwoDots", "", "u@a..b", "", "error 5.1.3 Bad recipient address syntax default"},
        {"SlashInDomain", "", "u@../etc", "", "error 5.1.3 Bad recipient address syntax default"},
        {"BadLiteral", "", "u@[[]]", "", "error 5.1.3 Bad recipient address syntax default"},
        {"SpaceInDomain", "", "u@a b", "", "error 5.1.3 Bad recipient address syntax default"},
    }),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(Router, HugeAddressesAreRefused) {
  auto router = make("");
  EXPECT_EQ(router->resolve(std::string(1 << 20, 'a'), "")->transport, kErrorTransport);
  EXPECT_EQ(router->resolve("u@" + std::string(300, 'a'), "")->transport, kErrorTransport);
}

TEST(Router, TableTroubleIsAnError) {
  for (const char* name :
       {"transport_maps", "relay_domains", "mydestination", "sender_dependent_relayhost_maps",
        "sender_dependent_default_transport_maps"}) {
    auto router = make(std::string(name) + " = texthash:/nonexistent/table\n");
    ASSERT_TRUE(router.ok()) << router.error().text();
    EXPECT_FALSE(router->resolve("u@example.com", "s@x").ok()) << name;
  }
}

TEST(Router, NonsenseInTablesIsAnError) {
  for (const char* value : {"bad name:x", "/bin/sh:x", "a\x01:b"}) {
    auto router = make("transport_maps = inline:{ {a.test = " + std::string(value) + "} }\n");
    ASSERT_TRUE(router.ok());
    EXPECT_FALSE(router->resolve("u@a.test", "").ok()) << value;
  }
}

TEST(Router, BadSettingsAreFoundAtStart) {
  EXPECT_FALSE(make("default_transport = :x\n").ok());
  EXPECT_FALSE(make("transport_maps = hash:/x\n").ok());
  EXPECT_FALSE(make("relay_domains = /nonexistent\n").ok());
}

TEST(Router, GivesBackTheRecipientWithItsDomain) {
  EXPECT_EQ(make("")->resolve("User", "")->recipient, "User@origin.test");
  EXPECT_FALSE(make("append_at_myorigin = no\n")->resolve("User", "")->transport == "smtp");
}

} // namespace
} // namespace postrider::route
