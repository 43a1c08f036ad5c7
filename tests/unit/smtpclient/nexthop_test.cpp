// SPDX-License-Identifier: MIT
#include "smtpclient/nexthop.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "smtpclient/options.hpp"

namespace postrider::smtpclient {
namespace {

using Kind = Nexthop::Kind;

Options smtp() {
  Options options;
  options.known_ports = {"lmtp=24", "smtp=25", "smtps=submissions=465", "odd=2525"};
  return options;
}

Options lmtp() {
  Options options = smtp();
  options.flavor = Flavor::lmtp;
  options.default_port = 24;
  return options;
}

struct Good {
  std::string_view text;
  Nexthop hop;
};

TEST(NexthopSyntax, OfSmtp) {
  const std::vector<Good> cases = {
      {"Example.org", {Kind::domain, "example.org", 25}},
      {"example.org:587", {Kind::domain, "example.org", 587}},
      {"example.org:odd", {Kind::domain, "example.org", 2525}},
      {"example.org:", {Kind::domain, "example.org", 25}},
      {"[mx.example.org]", {Kind::host, "mx.example.org", 25}},
      {"[mx.example.org]:", {Kind::host, "mx.example.org", 25}},
      {"[mx.example.org]:2525", {Kind::host, "mx.example.org", 2525}},
      {"[mx.example.org]:submissions", {Kind::host, "mx.example.org", 465}},
      {"[127.0.0.1]:2525", {Kind::host, "127.0.0.1", 2525}},
      {"127.0.0.1:2525", {Kind::host, "127.0.0.1", 2525}},
      {"[::1]:2525", {Kind::host, "::1", 2525}},
      {"[ipv6:2001:db8::1]", {Kind::host, "2001:db8::1", 25}},
      {"[IPv6:2001:DB8::1]:26", {Kind::host, "2001:db8::1", 26}},
      {"b\xc3\xbc"
       "cher.example",
       {Kind::domain, "xn--bcher-kva.example", 25}},
      // Hosts may have these names.
      {"unix", {Kind::domain, "unix", 25}},
      {"inet:26", {Kind::domain, "inet", 26}},
  };
  for (const Good& c : cases) {
    const auto hops = parse_nexthops(c.text, smtp());
    ASSERT_TRUE(hops) << c.text << ": " << hops.error().text();
    EXPECT_EQ(*hops, std::vector<Nexthop>{c.hop}) << c.text;
  }
}

TEST(NexthopSyntax, OfLmtp) {
  const std::vector<Good> cases = {
      {"inet:host", {Kind::host, "host", 24}},
      {"host", {Kind::host, "host", 24}},
      {"inet:host:2424", {Kind::host, "host", 2424}},
      {"inet:host:smtp", {Kind::host, "host", 25}},
      {"inet:[192.0.2.1]", {Kind::host, "192.0.2.1", 24}},
      {"inet:[192.0.2.1]:24", {Kind::host, "192.0.2.1", 24}},
      {"inet:[ipv6:::1]:lmtp", {Kind::host, "::1", 24}},
      {"unix:private/lmtp", {Kind::unix_socket, "private/lmtp", 0}},
      {"unix:/run/dovecot/lmtp", {Kind::unix_socket, "/run/dovecot/lmtp", 0}},
  };
  for (const Good& c : cases) {
    const auto hops = parse_nexthops(c.text, lmtp());
    ASSERT_TRUE(hops) << c.text << ": " << hops.error().text();
    EXPECT_EQ(*hops, std::vector<Nexthop>{c.hop}) << c.text;
  }
}

TEST(NexthopSyntax, ListsKeepTheirOrder) {
  const std::vector<Nexthop> wanted = {{Kind::domain, "a.example", 25},
                                       {Kind::host, "b.example", 26},
                                       {Kind::host, "::1", 465},
                                       {Kind::domain, "c.example", 25}};
  EXPECT_EQ(parse_nexthops("a.example, [b.example]:26 [::1]:smtps,c.example", smtp()).value(),
            wanted);
  EXPECT_EQ(parse_nexthops("inet:a unix:/b, c:25", lmtp())->size(), 3U);
}

struct Bad {
  std::string_view text, why;
};

TEST(NexthopSyntax, RefusesInPostfixWords) {
  const std::vector<Bad> cases = {
      {"", "no destination"},
      {" , ", "no destination"},
      {"[", "missing \"]\" in server description: ["},
      {"[a", "missing \"]\""},
      {"[a]x", "garbage after \"]\" in server description: [a]x"},
      {":25", "missing host information"},
      {"[]:25", "missing host information"},
      {"[ipv6:a.example]", "malformed IPv6 address"},
      {"[ipv6:192.0.2.1]", "malformed IPv6 address"},
      {"a..b", "valid hostname or network address required in server description: a..b"},
      {"-a", "valid hostname"},
      {"a/c", "valid hostname"},
      {"2001:db8::1", "valid hostname"},
      {"a:25x", "garbage after numerical service"},
      {"a:0", "bad network port: 0"},
      {"a:65536", "bad network port: 65536"},
      {"a:99999999999999999999999", "bad network port"},
      {"a:nosuchport", "unknown service: nosuchport/tcp"},
      {"unix:/run/lmtp", "unknown service: /run/lmtp/tcp"}, // not with SMTP
      {"good.example, [", "missing \"]\""},
  };
  for (const Bad& c : cases) {
    const auto hops = parse_nexthops(c.text, smtp());
    ASSERT_FALSE(hops) << c.text;
    EXPECT_EQ(hops.error().kind(), ErrorKind::config);
    EXPECT_NE(hops.error().text().find(c.why), std::string::npos)
        << c.text << ": " << hops.error().text();
  }
  EXPECT_FALSE(parse_nexthops("unix:", lmtp()));
  EXPECT_FALSE(parse_nexthops(std::string_view("unix:a\0b", 8), lmtp()));
}

TEST(Ports, KnownNamesComeFirst) {
  const std::vector<std::string> known = {"smtp=2525", "smtps=submissions=465"};
  EXPECT_EQ(parse_port("smtp", known).value(), 2525);
  EXPECT_EQ(parse_port("submissions", known).value(), 465);
  EXPECT_EQ(parse_port("587", known).value(), 587);
}

TEST(Ports, KnownNamesAreChecked) {
  EXPECT_TRUE(check_known_ports({"lmtp=24", "smtps=submissions=465"}));
  for (const auto entry : {"smtp", "smtp=", "smtp=x", "25=26", "smtp=0", "smtp=65536"})
    EXPECT_FALSE(check_known_ports({entry})) << entry;
  EXPECT_FALSE(check_known_ports({"smtp=25", "smtp=26"}));
}

} // namespace
} // namespace postrider::smtpclient
