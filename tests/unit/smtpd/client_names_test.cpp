// SPDX-License-Identifier: MIT
// A crowd of clients whose names cannot be found out quickly.
#include <gtest/gtest.h>

#include "client_names.hpp"
#include "ev/group.hpp"
#include "support/fake_dns.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpd {
namespace {

using namespace std::chrono_literals;

class Crowd : public testing::Test {
 protected:
  ~Crowd() override { group.tear_down(); }
  void come(const std::string& address) {
    group.spawn(look_up(net::Address::parse_ip(address, 25).value()), "look-up of " + address);
  }
  void turn() {
    for (int i = 0; i < 20; ++i)
      loop.turn(false);
  }
  // How many had this name for an answer so far.
  std::size_t named(std::string_view name) const {
    return static_cast<std::size_t>(std::count_if(
        found.begin(), found.end(), [&](const auto& one) { return one.name == name; }));
  }

  ev::Loop loop;
  test::FakeDns dns{loop, "1.2.0.192.in-addr.arpa PTR a.example\na.example A 192.0.2.1\n"
                          "2.2.0.192.in-addr.arpa PTR b.example\nb.example A 192.0.2.2\n"};
  test::ManualClock clock;
  dns::HostsFile hosts{clock, "/nonexistent/hosts"};
  ClientNames names{loop, dns, hosts};
  ev::Group group{loop};
  std::vector<dns::ClientName> found;
  std::size_t cancelled = 0;

 private:
  ev::RootTask look_up(net::Address address) {
    Result<dns::ClientName> name = co_await names.find(address, 1h);
    if (name)
      found.push_back(*name);
    else
      ++cancelled;
  }
};

TEST_F(Crowd, OneAddressTakesABoundedPart) {
  dns.hold();
  for (std::size_t i = 0; i < ClientNames::kMostPerAddress + 7; ++i)
    come("192.0.2.1");
  turn();
  ASSERT_EQ(found.size(), 7U);
  for (const dns::ClientName& one : found) {
    EXPECT_EQ(one.status, dns::NameStatus::temporary);
    EXPECT_EQ(one.problem, "too many look-ups of client names: 192.0.2.1 is not looked up");
  }
  come("192.0.2.2");
  turn();
  EXPECT_EQ(found.size(), 7U); // waits: it is another one's
  dns.release();
  turn();
  EXPECT_EQ(named("a.example"), ClientNames::kMostPerAddress);
  EXPECT_EQ(named("b.example"), 1U);
  EXPECT_EQ(names.under_way(), 0U);
  come("192.0.2.1");
  turn();
  EXPECT_EQ(named("a.example"), ClientNames::kMostPerAddress + 1);
}

TEST_F(Crowd, AllTogetherAreBounded) {
  dns.hold();
  for (std::size_t i = 0; i < ClientNames::kMostAtOnce; ++i)
    come("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250));
  turn();
  EXPECT_EQ(names.under_way(), ClientNames::kMostAtOnce);
  EXPECT_TRUE(found.empty());
  come("192.0.2.1");
  turn();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].status, dns::NameStatus::temporary);
  EXPECT_EQ(dns.asked().size(), ClientNames::kMostAtOnce);
  group.cancel();
  turn();
  EXPECT_EQ(cancelled, ClientNames::kMostAtOnce);
  EXPECT_EQ(names.under_way(), 0U);
  dns.release();
  come("192.0.2.1");
  turn();
  EXPECT_EQ(named("a.example"), 1U);
}

} // namespace
} // namespace postrider::smtpd
