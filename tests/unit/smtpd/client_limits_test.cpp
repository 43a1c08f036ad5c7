// SPDX-License-Identifier: MIT
#include "client_limits.hpp"

#include <map>

#include "unit/smtpd/dialogue.hpp"

namespace postrider::smtpd {
namespace {

using proto::ClientEvent;

TEST(ClientNetwork, IsTheFirstBitsOfTheAddress) {
  struct Case {
    std::int64_t ipv4, ipv6;
    std::string address, network;
  };
  for (const Case& c : std::initializer_list<Case>{
           {32, 84, "192.0.2.201", "192.0.2.201"},
           {24, 84, "192.0.2.201", "192.0.2.0/24"},
           {25, 84, "192.0.2.201", "192.0.2.128/25"},
           {0, 84, "192.0.2.201", "0.0.0.0/0"},
           {24, 84, "2001:db8:1:2:3:ffff:4:5", "2001:db8:1:2:3:f000::/84"},
           {24, 64, "2001:db8:1:2:3:ffff:4:5", "2001:db8:1:2::/64"},
           {24, 128, "2001:db8::1", "2001:db8::1"},
           {24, 84, "unknown", "unknown"},
       }) {
    ClientLimits limits;
    limits.ipv4_bits = c.ipv4;
    limits.ipv6_bits = c.ipv6;
    EXPECT_EQ(limits.network_of(c.address), c.network);
  }
}

TEST(ClientLimitsTest, AnyLimitIsAReasonToCount) {
  ClientLimits limits;
  EXPECT_TRUE(limits.any());
  limits.connections = 0;
  EXPECT_FALSE(limits.any());
  limits.rates.back() = 1;
  EXPECT_TRUE(limits.any());
}

class Counting : public Clients {
 public:
  ev::Task<std::string> change(ev::Lent<const Peer>, ev::Lent<Peer>) override { co_return ""; }
  ev::Task<std::uint64_t> count(ev::Lent<const Peer>, ClientEvent event) override {
    co_return ++counts[event];
  }
  ev::Task<std::uint64_t> tls_sessions(ev::Lent<const Peer>) override {
    co_return counts[ClientEvent::tls_session];
  }
  std::map<ClientEvent, std::uint64_t> counts;
};

class LimitsTest : public DialogueTest {
 protected:
  LimitsTest() { shared->clients = &clients; }
  void limit(ClientEvent event, std::uint64_t rate) {
    config->limits.rates[static_cast<std::size_t>(event)] = rate;
  }
  Counting clients;
};

TEST_F(LimitsTest, WhatIsBeyondIsPutOff) {
  limit(ClientEvent::message, 1);
  limit(ClientEvent::recipient, 1);
  limit(ClientEvent::auth, 1);
  begin();
  ask("EHLO a.example");
  EXPECT_EQ(ask("AUTH PLAIN").substr(0, 3), "503");
  EXPECT_EQ(ask("AUTH PLAIN"), "450 4.7.1 Error: too many AUTH commands from 192.0.2.7");
  EXPECT_EQ(ask(kMail).substr(0, 3), "250");
  EXPECT_EQ(ask(kRcpt).substr(0, 3), "250");
  EXPECT_EQ(ask(kRcpt), "450 4.7.1 Error: too many recipients from 192.0.2.7");
  ask("RSET");
  EXPECT_EQ(ask(kMail), "450 4.7.1 Error: too much mail from 192.0.2.7");
}

TEST_F(LimitsTest, WithoutALimitNothingIsCounted) {
  begin();
  ask("EHLO a.example");
  ask("AUTH PLAIN");
  ask(kMail);
  ask(kRcpt);
  EXPECT_TRUE(clients.counts.empty());
}

TEST_F(LimitsTest, SomeClientsAreFree) {
  limit(ClientEvent::message, 1);
  peer.free_of_limits = true;
  begin();
  ask("EHLO a.example");
  ask(kMail);
  ask("RSET");
  EXPECT_EQ(ask(kMail).substr(0, 3), "250");
  EXPECT_TRUE(clients.counts.empty());
}

} // namespace
} // namespace postrider::smtpd
