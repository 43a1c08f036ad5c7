// SPDX-License-Identifier: MIT
// Whole deliveries: lists of destinations, fallback relays, relayhost, best_mx_transport, sources.
// shows: smtp_fallback_relay smtp_mx_session_limit best_mx_transport smtp_bind_address
// shows: smtp_bind_address_enforce relayhost daemon_timeout
#include "delivering.hpp"

namespace postrider::smtpclient {
namespace {

class Destinations : public Delivering {
 protected:
  void SetUp() override {
    Delivering::SetUp();
    port = ":" + std::to_string(first->port());
    options.cache_on_demand = false;
    options.own_addresses = {*net::Address::parse_ip("192.0.2.100", 0)};
  }
  void fall_back_to(const std::string& relays) {
    options.fallback_relays = parse_nexthops(relays, options).value();
  }
  mail::Outcome one(const std::string& nexthop) { return deliver(1, false, nexthop).at(0); }
  std::string port;
};

TEST_F(Destinations, AreTriedInOrder) {
  const std::string list = "nowhere.example, [127.0.0.1]" + port + " [127.0.0.2]" + port;
  first->then(kHello + kOne + kQuit);
  EXPECT_EQ(one(list).address, "127.0.0.1");
  first->then({send("421 busy\r\n")});
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(one(list).address, "127.0.0.2");
}

TEST_F(Destinations, TheSessionLimitIsOneOfEachNextHop) {
  options.session_limit = 1;
  first->then(kHello + envelope({"450 later"}, false) + kQuit);
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(one("[127.0.0.1]" + port + ", [127.0.0.2]" + port).verdict, Verdict::delivered);
}

TEST_F(Destinations, FallbackRelaysTakeWhatIsNotFoundOrReached) {
  fall_back_to("[127.0.0.2]" + port);
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(one("nowhere.example").verdict, Verdict::delivered);
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(one("null.example").verdict, Verdict::delivered);
  first->then(kHello + envelope({"450 later"}, false) + kQuit);
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(one("[127.0.0.1]" + port).verdict, Verdict::delivered);
  first.reset();
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(one("[127.0.0.1]" + port).verdict, Verdict::delivered);
}

// The log says how a server was spoken to, and of one that is not found there is nothing to say.
TEST_F(Destinations, ARelayThatIsNotFoundHasNoTlsStatus) {
  first->then(kHello + envelope({"450 later"}, false) + kQuit);
  EXPECT_EQ(one("[127.0.0.1]" + port).tls_status, "none");
  fall_back_to("relay.nowhere.example");
  first->then(kHello + envelope({"450 later"}, false) + kQuit);
  const mail::Outcome outcome = one("[127.0.0.1]" + port);
  EXPECT_EQ(outcome.dsn, "4.3.5");
  EXPECT_EQ(outcome.tls_status, "");
}

TEST_F(Destinations, FallbackRelaysAreNotForWhatIsRefused) {
  fall_back_to("[127.0.0.2]" + port);
  first->then(kHello + envelope({"550 5.1.1 unknown"}, false) + kQuit);
  const mail::Outcome outcome = one("[127.0.0.1]" + port);
  EXPECT_EQ(outcome.verdict, Verdict::bounced);
  EXPECT_EQ(outcome.dsn, "5.1.1");
  EXPECT_EQ(second->connections(), 0U);
}

TEST_F(Destinations, FallbackRelaysAreNotForOurOwnDomains) {
  fall_back_to("[127.0.0.2]" + port);
  const mail::Outcome outcome = one("mine.example");
  EXPECT_EQ(outcome.verdict, Verdict::bounced);
  EXPECT_EQ(outcome.dsn, "5.4.6");
  EXPECT_EQ(second->connections(), 0U);
  // Nor is the rest of a list.
  EXPECT_EQ(one("mine.example, [127.0.0.2]" + port).dsn, "5.4.6");
  EXPECT_EQ(second->connections(), 0U);
}

TEST_F(Destinations, ARelayThatLeadsNowhereIsNotTheMailsFault) {
  EXPECT_EQ(one("nowhere.example").verdict, Verdict::bounced);
  fall_back_to("relay.nowhere.example");
  mail::Outcome outcome = one("nowhere.example");
  EXPECT_EQ(outcome.verdict, Verdict::deferred);
  EXPECT_EQ(outcome.dsn, "4.3.5");
  EXPECT_NE(outcome.text.find("name=relay.nowhere.example"), std::string::npos) << outcome.text;
  options.fallback_relays.clear();
  for (const auto relay : {"nowhere.example", "mine.example", "null.example"}) {
    options.relayhost = relay;
    outcome = one(relay);
    EXPECT_EQ(outcome.verdict, Verdict::deferred) << relay;
    EXPECT_EQ(outcome.dsn, "4.3.5") << relay;
  }
}

TEST_F(Destinations, WhatWeAreTheBestMxOfIsPassedOn) {
  options.best_mx_transport = "local:inbox";
  deliver(3, false, "mine.example");
  EXPECT_EQ(pass_to, "local:inbox");
  deliver(1, false, "nowhere.example");
  EXPECT_EQ(pass_to, "");
  options.relayhost = "mine.example";
  EXPECT_EQ(one("mine.example").dsn, "4.3.5");
  EXPECT_EQ(pass_to, "");
}

TEST_F(Destinations, ASourceThatCannotBeBound) {
  options.bind4 = *net::Address::parse_ip("192.0.2.9", 0);
  first->then(kHello + kOne + kQuit);
  EXPECT_EQ(one("[127.0.0.1]" + port).verdict, Verdict::delivered);
  options.bind_enforce = true;
  const mail::Outcome outcome = one("[127.0.0.1]" + port);
  EXPECT_EQ(outcome.verdict, Verdict::deferred);
  EXPECT_EQ(outcome.dsn, "4.4.0");
  EXPECT_EQ(outcome.text,
            "server configuration error: bind 192.0.2.9: Cannot assign requested address");
  // The address of a virtual host is a wish; one that was asked for comes first.
  options.bind4 = net::Address();
  options.own4 = *net::Address::parse_ip("192.0.2.9", 0);
  first->then(kHello + kOne + kQuit);
  EXPECT_EQ(one("[127.0.0.1]" + port).verdict, Verdict::delivered);
}

TEST_F(Destinations, NobodyElseIsAskedWhenTheTimeIsUp) {
  first.reset();
  options.attempt_limit = std::chrono::milliseconds(-1);
  const mail::Outcome outcome = one(domain);
  EXPECT_EQ(outcome.verdict, Verdict::deferred);
  EXPECT_NE(outcome.text.find("a.d.example"), std::string::npos) << outcome.text;
  EXPECT_EQ(second->connections(), 0U);
}

} // namespace
} // namespace postrider::smtpclient
