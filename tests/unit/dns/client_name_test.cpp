// SPDX-License-Identifier: MIT
// Names of clients, and what people put into reverse zones to get one.
#include <fstream>

#include <gtest/gtest.h>

#include "base/ascii.hpp"
#include "dns/client_name.hpp"
#include "support/fake_dns.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::dns {
namespace {

using namespace std::literals;

net::Address ip(std::string_view text) { return net::Address::parse_ip(text, 4711).value(); }

TEST(ReverseZone, NamesTheAddressBackwards) {
  EXPECT_EQ(reverse_zone_name(ip("192.0.2.7")), "7.2.0.192.in-addr.arpa");
  EXPECT_EQ(reverse_zone_name(ip("255.0.10.255")), "255.10.0.255.in-addr.arpa");
  EXPECT_EQ(reverse_zone_name(ip("2001:db8::567:89ab")),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

constexpr std::string_view kZone = R"(
1.2.0.192.in-addr.arpa PTR Mx.Example
Mx.Example A 192.0.2.9
Mx.Example A 192.0.2.1
2.2.0.192.in-addr.arpa PTR thief.example
thief.example A 198.51.100.1
3.2.0.192.in-addr.arpa PTR six.example
six.example AAAA 2001:db8::3
4.2.0.192.in-addr.arpa PTR gone.example
gone.example NXDOMAIN
5.2.0.192.in-addr.arpa PTR slow.example
slow.example TEMPORARY SERVFAIL
6.2.0.192.in-addr.arpa TEMPORARY SERVFAIL
7.2.0.192.in-addr.arpa A 192.0.2.7
8.2.0.192.in-addr.arpa BOGUS
9.2.0.192.in-addr.arpa PTR 192.0.2.9
10.2.0.192.in-addr.arpa PTR a\010b.example
11.2.0.192.in-addr.arpa PTR localhost
localhost A 127.0.0.1
12.2.0.192.in-addr.arpa PTR many.example
12.2.0.192.in-addr.arpa PTR other.example
many.example A 192.0.2.12
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mx6.example
mx6.example A 192.0.2.1
mx6.example AAAA 2001:db8::1
2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mx6.example
3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR Mx.Example
4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa TEMPORARY SERVFAIL
)";

struct Case {
  std::string_view name, address, expected, reverse;
  NameStatus status, reverse_status;
  std::string_view problem = "";
};

class ClientNameTest : public testing::Test {
 protected:
  ClientName look_up(std::string_view address, Duration limit = 10s) {
    auto found = test::run_task<Result<ClientName>>(
        loop, [&] { return look_up_client_name(dns, hosts, ip(address), loop.after(limit)); });
    return found.value();
  }
  test::ScratchDir directory;
  ev::Loop loop;
  test::FakeDns dns{loop, kZone};
  test::ManualClock clock;
  HostsFile hosts{clock, directory.path() + "/hosts"};
};

class Lookups : public ClientNameTest, public testing::WithParamInterface<Case> {};

TEST_P(Lookups, GiveANameOnlyWhenItHasTheAddress) {
  const Case& c = GetParam();
  const ClientName found = look_up(c.address);
  EXPECT_EQ(found.name, c.expected);
  EXPECT_EQ(found.reverse_name, c.reverse);
  EXPECT_EQ(found.status, c.status);
  EXPECT_EQ(found.reverse_status, c.reverse_status);
  EXPECT_EQ(found.problem, c.problem);
  EXPECT_LE(dns.asked().size(), 2U);
}

constexpr auto kOk = NameStatus::ok, kMissing = NameStatus::not_found,
               kLater = NameStatus::temporary, kForged = NameStatus::forged;

INSTANTIATE_TEST_SUITE_P(
    Peers, Lookups,
    testing::ValuesIn<Case>({
        {"verified", "192.0.2.1", "Mx.Example", "Mx.Example", kOk, kOk},
        {"verified_six", "2001:db8::1", "mx6.example", "mx6.example", kOk, kOk},
        {"mapped_is_four", "::ffff:192.0.2.1", "Mx.Example", "Mx.Example", kOk, kOk},
        {"of_somebody_else", "192.0.2.2", "unknown", "thief.example", kForged, kOk,
         "hostname thief.example does not resolve to address 192.0.2.2"},
        {"of_somebody_else_six", "2001:db8::2", "unknown", "mx6.example", kForged, kOk,
         "hostname mx6.example does not resolve to address 2001:db8::2"},
        {"other_family", "192.0.2.3", "unknown", "six.example", kForged, kOk,
         "hostname six.example does not resolve to address 192.0.2.3: No address associated with "
         "hostname"},
        {"other_family_six", "2001:db8::3", "unknown", "Mx.Example", kForged, kOk,
         "hostname Mx.Example does not resolve to address 2001:db8::3: No address associated with "
         "hostname"},
        {"no_such_name", "192.0.2.4", "unknown", "gone.example", kForged, kOk,
         "hostname gone.example does not resolve to address 192.0.2.4: Name or service not known"},
        {"name_cannot_be_asked", "192.0.2.5", "unknown", "slow.example", kLater, kOk,
         "hostname slow.example does not resolve to address 192.0.2.5: Temporary failure in name "
         "resolution"},
        {"address_cannot_be_asked", "192.0.2.6", "unknown", "unknown", kLater, kLater},
        {"address_cannot_be_asked_six", "2001:db8::4", "unknown", "unknown", kLater, kLater},
        {"bogus_is_temporary", "192.0.2.8", "unknown", "unknown", kLater, kLater},
        {"no_name", "192.0.2.77", "unknown", "unknown", kMissing, kMissing},
        {"no_name_six", "2001:db8::77", "unknown", "unknown", kMissing, kMissing},
        {"no_ptr_record", "192.0.2.7", "unknown", "unknown", kMissing, kMissing},
        {"numeric_name", "192.0.2.9", "unknown", "unknown", kMissing, kMissing},
        {"control_byte", "192.0.2.10", "unknown", "unknown", kMissing, kMissing},
        {"claims_to_be_localhost", "192.0.2.11", "unknown", "localhost", kForged, kOk,
         "hostname localhost does not resolve to address 192.0.2.11"},
        {"first_of_many", "192.0.2.12", "many.example", "many.example", kOk, kOk},
    }),
    [](const auto& c) { return std::string(c.param.name); });

// One limit for all: a name server that never answers costs that much, and no more.
TEST_F(ClientNameTest, SilenceIsTemporary) {
  dns.hold();
  const ClientName found = look_up("192.0.2.1", 20ms);
  EXPECT_EQ(found.status, kLater);
  EXPECT_EQ(found.name, "unknown");
  EXPECT_EQ(dns.asked().size(), 1U);
}

class HostsFileTest : public ClientNameTest {
 protected:
  void write(std::string_view text) {
    std::ofstream(directory.path() + "/hosts.new") << text;
    std::filesystem::rename(directory.path() + "/hosts.new", directory.path() + "/hosts");
    clock.advance(2s);
  }
};

TEST_F(HostsFileTest, IsAskedFirst) {
  write("# comment\n"
        "127.0.0.1\tlocalhost\n"
        "192.0.2.1  Inside.example inside # known here\r\n"
        "192.0.2.1  second.example\n"
        "192.0.2.40 many-homed.example\n"
        "192.0.2.41 x many-homed.example\n"
        "192.0.2.42 gone.example\n"
        "::1 localhost ip6-localhost\n"
        "2001:db8::40 many-homed.example\n"
        "192.0.2.50\n"
        "nonsense here.example\n"
        "192.0.2.51 bad/name\n");
  EXPECT_EQ(look_up("127.0.0.1").name, "localhost");
  EXPECT_EQ(look_up("::1").name, "localhost");
  EXPECT_EQ(look_up("192.0.2.1").name, "Inside.example");
  EXPECT_EQ(look_up("192.0.2.40").name, "many-homed.example");
  EXPECT_EQ(look_up("2001:db8::40").name, "many-homed.example");
  EXPECT_EQ(look_up("192.0.2.42").name, "gone.example");
  EXPECT_TRUE(dns.asked().empty()) << dns.asked().front();
  EXPECT_EQ(look_up("192.0.2.50").status, kMissing);
  EXPECT_EQ(look_up("192.0.2.51").status, kMissing);
  EXPECT_EQ(look_up("192.0.2.51").reverse_name, "unknown");
}

// What the file says about a name of one family says nothing about the other.
TEST_F(HostsFileTest, TheDnsIsAskedForWhatIsNotThere) {
  write("2001:db8::9 Mx.Example\n192.0.2.99 thief.example\n");
  EXPECT_EQ(look_up("192.0.2.1").name, "Mx.Example");
  EXPECT_EQ(look_up("192.0.2.2").status, kForged);
  EXPECT_EQ(dns.asked(), (std::vector<std::string>{"PTR 1.2.0.192.in-addr.arpa", "A Mx.Example",
                                                   "PTR 2.2.0.192.in-addr.arpa"}));
}

TEST_F(HostsFileTest, AChangeIsSeen) {
  EXPECT_EQ(look_up("192.0.2.77").status, kMissing); // no file at all
  write("192.0.2.77 first.example\n");
  EXPECT_EQ(look_up("192.0.2.77").name, "first.example");
  write("192.0.2.77 second.example\n");
  EXPECT_EQ(look_up("192.0.2.77").name, "second.example");
  std::filesystem::remove(directory.path() + "/hosts");
  clock.advance(2s);
  EXPECT_EQ(look_up("192.0.2.77").name, "second.example");
}

} // namespace
} // namespace postrider::dns
