// SPDX-License-Identifier: MIT
// What the client reads from the settings about where mail goes.
// shows: inet_interfaces proxy_interfaces known_tcp_ports smtp_dns_resolver_options
// shows: lmtp_dns_resolver_options smtp_host_lookup smtp_dns_support_level disable_dns_lookups
// shows: lmtp_fallback_relay lmtp_tcp_port lmtp_host_lookup lmtp_dns_support_level
#include "smtpclient/options.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace postrider::smtpclient {
namespace {

Result<Options> load(std::string main_cf, Flavor flavor = Flavor::smtp) {
  config::Machine machine;
  machine.hostname = "mail.example.com";
  machine.addresses = {"127.0.0.1", "192.0.2.10", "2001:db8::10"};
  config::Findings findings;
  auto settings = config::Settings::parse(main_cf, {.config_directory = "/etc/postrider"}, {"smtp"},
                                          machine, findings);
  EXPECT_TRUE(settings) << main_cf;
  return Options::load(*settings, flavor, machine);
}

std::vector<std::string> texts(const std::vector<net::Address>& addresses) {
  std::vector<std::string> out;
  for (const net::Address& address : addresses)
    out.push_back(address.text());
  return out;
}

using Texts = std::vector<std::string>;

TEST(LookupOptions, OwnAddressesAndTheOneToSpeakFrom) {
  auto all = load("");
  EXPECT_EQ(texts(all->own_addresses), (Texts{"127.0.0.1", "192.0.2.10", "2001:db8::10"}));
  EXPECT_EQ(all->own4.family(), 0); // two of the family
  auto one = load("inet_interfaces = 192.0.2.10, 192.0.2.10\nproxy_interfaces = 198.51.100.1\n");
  EXPECT_EQ(texts(one->own_addresses), (Texts{"192.0.2.10", "198.51.100.1"}));
  EXPECT_EQ(one->own4.text(), "192.0.2.10");
  EXPECT_EQ(one->own6.family(), 0);
  EXPECT_EQ(load("inet_interfaces = 127.0.0.1\n")->own4.family(), 0);
  EXPECT_EQ(load("inet_interfaces = loopback-only\n")->own4.family(), 0);
  auto both = load("inet_interfaces = 192.0.2.10, 2001:db8::10, [::1]\n");
  EXPECT_EQ(both->own4.text(), "192.0.2.10");
  EXPECT_EQ(both->own6.family(), 0);
  EXPECT_TRUE(
      load("inet_interfaces = localhost\n")->is_own(*net::Address::parse_ip("127.0.0.1", 25)));
}

TEST(LookupOptions, FallbackRelaysAreReadAtTheStart) {
  auto good =
      load("smtp_fallback_relay = [a.example]:odd, b.example\nknown_tcp_ports = smtp=25, odd=77\n");
  ASSERT_TRUE(good) << good.error().text();
  EXPECT_EQ(good->fallback_relays,
            (std::vector<Nexthop>{{Nexthop::Kind::host, "a.example", 77},
                                  {Nexthop::Kind::domain, "b.example", 25}}));
  auto bad = load("smtp_fallback_relay = [a.example]x\n");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().text(),
            "smtp_fallback_relay: garbage after \"]\" in server description: [a.example]x");
  bad = load("lmtp_fallback_relay = inet:a.example:nosuch\n", Flavor::lmtp);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().text(), "lmtp_fallback_relay: unknown service: nosuch/tcp");
  auto lmtp = load("lmtp_fallback_relay = inet:a.example\n", Flavor::lmtp);
  EXPECT_EQ(lmtp->fallback_relays, (std::vector<Nexthop>{{Nexthop::Kind::host, "a.example", 24}}));
}

TEST(LookupOptions, PortsByName) {
  EXPECT_EQ(load("smtp_tcp_port = submission\n")->default_port, 587);
  EXPECT_EQ(load("smtp_tcp_port = lmtp\nknown_tcp_ports = lmtp=2424\n")->default_port, 2424);
  EXPECT_EQ(load("", Flavor::lmtp)->default_port, 24);
  EXPECT_FALSE(load("smtp_tcp_port = nosuch\n"));
  EXPECT_FALSE(load("known_tcp_ports = smtp=25, smtp=26\n"));
}

struct LookupCase {
  std::string_view main_cf;
  bool use_dns, lookup_dns, lookup_native;
};

TEST(LookupOptions, WhereNamesAreLookedUp) {
  const std::vector<LookupCase> cases = {
      {"", true, true, false},
      {"smtp_host_lookup = dns, native\n", true, true, true},
      {"smtp_host_lookup = native\n", true, false, true},
      {"smtp_dns_support_level = disabled\n", false, false, true},
      {"disable_dns_lookups = yes\n", false, false, true},
      {"disable_dns_lookups = yes\nsmtp_dns_support_level = enabled\n", true, true, false},
  };
  for (const LookupCase& c : cases) {
    const auto options = load(std::string(c.main_cf));
    EXPECT_EQ(options->use_dns, c.use_dns) << c.main_cf;
    EXPECT_EQ(options->lookup_dns, c.lookup_dns) << c.main_cf;
    EXPECT_EQ(options->lookup_native, c.lookup_native) << c.main_cf;
  }
  EXPECT_FALSE(load("smtp_host_lookup = hosts\n"));
}

TEST(LookupOptions, HowShortNamesAreCompleted) {
  const auto options =
      load("smtp_dns_resolver_options = res_defnames, res_dnsrch\nmydomain = b.example\n");
  EXPECT_TRUE(options->complete_names && options->search_parents);
  EXPECT_EQ(options->my_domain, "b.example");
  EXPECT_TRUE(load("lmtp_dns_resolver_options = res_defnames\n", Flavor::lmtp)->complete_names);
  EXPECT_FALSE(load("smtp_dns_resolver_options = res_debug\n"));
}

} // namespace
} // namespace postrider::smtpclient
