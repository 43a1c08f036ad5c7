// SPDX-License-Identifier: MIT
// Whole deliveries over loopback sockets: which host is asked next, which session is used again.
#include "smtpclient/deliver.hpp"

#include <gtest/gtest.h>

#include "delivering.hpp"

namespace postrider::smtpclient {
namespace {

TEST_F(Delivering, ToTheFirstHostAndGoodbye) {
  first->then(kHello + kOne + kQuit);
  const auto outcomes = deliver(1);
  EXPECT_EQ(outcomes[0].verdict, Verdict::delivered);
  EXPECT_EQ(outcomes[0].text, "250 queued");
  EXPECT_EQ(outcomes[0].host, "a.d.example");
  EXPECT_EQ(outcomes[0].address, "127.0.0.1");
  EXPECT_EQ(outcomes[0].port, first->port());
  while (first->finished() == 0)
    loop.turn(true);
  EXPECT_EQ(first->messages(), std::vector<std::string>{kText});
  EXPECT_EQ(pool.idle(), 0U);
}

TEST_F(Delivering, ASessionIsUsedAgainWhileMoreWaits) {
  first->then(kHello + kOne + kOne + kOne + kQuit);
  for (std::size_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
    EXPECT_EQ(uses, i);
  }
  EXPECT_EQ(first->connections(), 1U);
  EXPECT_EQ(dns.asked().size(), 3U); // MX and two addresses, once
}

TEST_F(Delivering, ABusyDestinationNeedsNoHint) {
  first->then(kHello + kOne + kQuit);
  first->then(kHello + kOne + kOne + kQuit);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(verdicts(1), Verdicts{Verdict::delivered});
  EXPECT_EQ(first->connections(), 2U);
}

TEST_F(Delivering, AnUnfinishedTransactionIsReset) {
  first->then(kHello + envelope({"550 5.1.1 no"}, false) +
              Script{expect("RSET"), send("250 ok\r\n")} + kOne + kQuit);
  EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::bounced});
  EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
}

TEST_F(Delivering, ADeadSessionIsNoAttempt) {
  options.session_limit = 1;
  first->then(kHello + kOne + Script{close_now()});
  first->then(kHello + kOne + kQuit);
  EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
  while (first->finished() == 0)
    loop.turn(true);
  EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
  EXPECT_EQ(first->connections(), 2U);
}

// Whatever an idle server did: the next message does not notice, and no reply is taken for one to
// it.
struct IdleCase {
  std::string_view name;
  Script first_reply; // to the content of the first message
  Script meanwhile;   // while the session is idle
};
class IdleSession : public Delivering, public testing::WithParamInterface<IdleCase> {};
TEST_P(IdleSession, ThatIsNotSilentIsLeftBeforeMail) {
  options.session_limit = 1; // no attempt is counted for it
  const Script& meanwhile = GetParam().meanwhile;
  first->then(kHello + envelope({"250 ok"}) + Script{expect_data()} + GetParam().first_reply +
              Script{test::pause()} + meanwhile);
  first->then(kHello + kOne + kQuit);
  EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
  EXPECT_EQ(pool.idle(), meanwhile.empty() ? 0U : 1U);
  const std::size_t until = kHello.size() + kOne.size() + 1 + (meanwhile.size() > 1 ? 1 : 0);
  first->go_on();
  while (first->played() < until)
    loop.turn(true);
  const auto outcomes = deliver(1);
  EXPECT_EQ(outcomes[0].verdict, Verdict::delivered);
  EXPECT_EQ(outcomes[0].text, "250 queued");
  EXPECT_EQ(uses, 1U);
  EXPECT_EQ(first->connections(), 2U);
  EXPECT_EQ(first->messages(), (std::vector<std::string>{kText, kText}));
}
INSTANTIATE_TEST_SUITE_P(
    Variants, IdleSession,
    testing::ValuesIn<IdleCase>({
        {"Closed", {send("250 one\r\n")}, {close_now()}},
        {"BrokenOff", {send("250 one\r\n")}, {test::reset_now()}},
        {"TimedOut", {send("250 one\r\n")}, {send("421 idle too long\r\n"), close_now()}},
        {"TimedOutAndOpen", {send("250 one\r\n")}, {send("421 idle too long\r\n"), expect("QUIT")}},
        {"AcceptsTheNext", {send("250 one\r\n")}, {send("250 ok\r\n"), expect("QUIT")}},
        {"RefusesTheNext", {send("250 one\r\n")}, {send("550 no\r\n"), expect("QUIT")}},
        {"AllReplies",
         {send("250 one\r\n")},
         {send("250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n"), expect("QUIT")}},
        {"Garbage", {send("250 one\r\n")}, {send("what?"), expect("QUIT")}},
        {"OneByte", {send("250 one\r\n")}, {send("\n"), expect("QUIT")}},
        {"ReplyReadInHalf", {send("250 one\r\n25")}, {}},
        {"TwoRepliesAtOnce", {send("250 one\r\n250 ok\r\n")}, {}},
        {"TwoRepliesAtOnceTheLast421", {send("250 one\r\n421 bye\r\n")}, {}},
    }),
    [](const auto& i) { return std::string(i.param.name); });

TEST_F(Delivering, ASessionThatRefusesRsetIsNotUsed) {
  options.session_limit = 1;
  for (const Script& answer :
       {Script{send("500 what\r\n")}, Script{send("421 bye\r\n")}, Script{close_now()}}) {
    first->then(kHello + envelope({"550 5.1.1 no"}, false) + Script{expect("RSET")} + answer);
    first->then(kHello + kOne + kQuit);
    EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::bounced});
    EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
    pool.clear();
  }
}

TEST_F(Delivering, ASessionThatDiesAtMailIsNoAttempt) {
  options.session_limit = 1;
  for (const Script& end : {Script{expect("MAIL"), expect("RCPT"), expect("DATA"), close_now()},
                            Script{expect("MAIL"), expect("RCPT"), expect("DATA"),
                                   send("421 too long\r\n"), close_now()}}) {
    first->then(kHello + kOne + end);
    first->then(kHello + kOne + kQuit);
    EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
    EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
    pool.clear();
  }
  EXPECT_EQ(first->connections(), 4U);
}

TEST_F(Delivering, AnIdleSessionEndsWithQuit) {
  options.cache_time_limit = std::chrono::milliseconds(20);
  first->then(kHello + kOne + kQuit);
  EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
  EXPECT_EQ(pool.idle(), 1U);
  while (first->finished() == 0)
    loop.turn(true);
  EXPECT_EQ(pool.idle(), 0U);
}

TEST_F(Delivering, SoftFailuresGoToTheNextHostOthersDoNot) {
  first->then(kHello + envelope({"450 later", "250 ok", "550 no"}) + kBody + kQuit);
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(verdicts(3), (Verdicts{Verdict::delivered, Verdict::delivered, Verdict::bounced}));
  EXPECT_EQ(second->lines().at(2), "RCPT TO:<r0@example.com>");
}

TEST_F(Delivering, TheSessionLimitEndsIt) {
  options.session_limit = 1;
  first->then(kHello + envelope({"450 4.2.0 later"}, false) + kQuit);
  const auto outcomes = deliver(1);
  EXPECT_EQ(outcomes[0].verdict, Verdict::deferred);
  EXPECT_EQ(outcomes[0].dsn, "4.2.0");
  EXPECT_EQ(second->connections(), 0U);
}

TEST_F(Delivering, AHostThatIsDownIsPassedOver) {
  first.reset();
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(verdicts(1), Verdicts{Verdict::delivered});
}

TEST_F(Delivering, AllHostsDown) {
  const std::string port = std::to_string(first->port());
  first.reset();
  second.reset();
  const auto outcomes = deliver(2);
  EXPECT_EQ(outcomes[1].verdict, Verdict::deferred);
  EXPECT_EQ(outcomes[1].scope, mail::Scope::site);
  EXPECT_EQ(outcomes[1].dsn, "4.4.1");
  EXPECT_EQ(outcomes[1].text, "connect to b.d.example[127.0.0.2]:" + port + ": Connection refused");
}

TEST_F(Delivering, GreetingsThatRefuse) {
  first->then({send("554 no\r\n"), expect("QUIT")});
  second->then({send("421 busy\r\n"), close_now()});
  const auto outcomes = deliver(1);
  EXPECT_EQ(outcomes[0].verdict, Verdict::deferred);
  EXPECT_EQ(outcomes[0].text, "host b.d.example[127.0.0.2] refused to talk to me: 421 busy");
}

TEST_F(Delivering, InDoubtIsNotSentToTheNextHost) {
  first->then(kHello + envelope({"250 ok", "550 no"}) + Script{expect_data(), close_now()});
  EXPECT_EQ(verdicts(2), (Verdicts{Verdict::in_doubt, Verdict::bounced}));
  EXPECT_EQ(second->connections(), 0U);
}

TEST_F(Delivering, ATimeLimitAfterTheDotIsInDoubt) {
  options.timeouts[static_cast<std::size_t>(smtp::Step::end_of_data)] =
      std::chrono::milliseconds(50);
  first->then(kHello + envelope({"250 ok"}) + Script{expect_data(), stall()});
  EXPECT_EQ(verdicts(1), Verdicts{Verdict::in_doubt});
}

TEST_F(Delivering, ALostConnectionBeforeTheDotGoesToTheNextHost) {
  first->then(kHello + Script{expect("MAIL"), close_now()});
  second->then(kHello + kOne + kQuit);
  EXPECT_EQ(verdicts(1), Verdicts{Verdict::delivered});
}

TEST_F(Delivering, TwoDomainsShareAServer) {
  first->then(kHello + kOne + kOne + kQuit);
  const std::string port = std::to_string(first->port());
  EXPECT_EQ(verdicts(1, true, "[a.d.example]:" + port), Verdicts{Verdict::delivered});
  EXPECT_EQ(verdicts(1, true), Verdicts{Verdict::delivered});
  EXPECT_EQ(first->connections(), 1U);
}

TEST_F(Delivering, TooLargeForTheServer) {
  first->then(
      {send("220 mx\r\n"), expect("EHLO"), send("250-mx\r\n250 SIZE 3\r\n"), expect("QUIT")});
  const auto outcomes = deliver(1);
  EXPECT_EQ(outcomes[0].verdict, Verdict::bounced);
  EXPECT_EQ(outcomes[0].dsn, "5.3.4");
}

TEST_F(Delivering, ListsAndFallbackRelays) {
  const std::string port = std::to_string(first->port());
  options.fallback_relays = parse_nexthops("[127.0.0.2]:" + port, options).value();
  second->then(kHello + kOne + kOne + kQuit);
  EXPECT_EQ(verdicts(1, true, "nowhere.example"), Verdicts{Verdict::delivered});
  EXPECT_EQ(verdicts(1, true, "nowhere.example, [127.0.0.2]:" + port),
            Verdicts{Verdict::delivered});
}

TEST_F(Delivering, OurOwnMistakesDefer) {
  const auto outcomes = deliver(1, false, "[");
  EXPECT_EQ(outcomes[0].verdict, Verdict::deferred);
  EXPECT_EQ(outcomes[0].scope, mail::Scope::transport);
}

TEST_F(Delivering, CancelledBeforeTheDotDefers) {
  dns.hold();
  Message message(kText, 2);
  Request request;
  request.nexthop = domain;
  request.envelope = message.envelope;
  request.facts = message.facts;
  request.content = message.content;
  TlsClient tls(loop, options, tables, {}, nullptr);
  const Engine engine{loop, options, tables, finder, pool, tls};
  Delivery delivery(engine, request);
  ev::Group group(loop);
  struct Run {
    static ev::RootTask run(Delivery& d) { co_await d.run(); }
  };
  group.spawn(Run::run(delivery), "delivery");
  loop.turn(false);
  group.cancel();
  while (!group.empty())
    loop.turn(false);
  EXPECT_EQ(delivery.outcomes()[1].verdict, Verdict::deferred);
  EXPECT_EQ(delivery.outcomes()[1].dsn, "4.3.2");
}

} // namespace
} // namespace postrider::smtpclient
