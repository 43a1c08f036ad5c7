// SPDX-License-Identifier: MIT
// What is delivered, how it is split, and when it is tried again.
#include "core_fixture.hpp"

namespace postrider::qmgr {
namespace {

TEST_F(CoreTest, AdmitsDeliversRemoves) {
  open();
  const queue::Id id = send(envelope({"a@x.example", "b@x.example", "c@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  for (const proto::Deliver& request : agent().delivers) {
    EXPECT_EQ(request.id, id.number());
    EXPECT_EQ(request.envelope.sender, "s@client.example");
    EXPECT_EQ(agent().content_of(request), kContent);
    EXPECT_EQ(request.envelope.recipients.size(), request.nexthop == "x.example" ? 2u : 1u);
    agent().answer(request, kSent);
  }
  EXPECT_TRUE(drained());
  EXPECT_EQ(core->parts().counters.delivered, 3u);
  EXPECT_EQ(core->parts().counters.removed, 1u);
  reopen();
  EXPECT_TRUE(core->parts().intake->messages().empty()) << "nothing is delivered twice";
}

TEST_F(CoreTest, SplitsAtTheRecipientLimit) {
  limits.recipients = 2;
  open();
  send(envelope({"a@x.example", "b@x.example", "c@x.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_EQ(agent().delivers[0].envelope.recipients.size(), 2u);
  EXPECT_EQ(agent().delivers[1].envelope.recipients.size(), 1u);
  EXPECT_EQ(agent().delivers[1].recipient_indices, std::vector<std::uint32_t>{2});
}

TEST_F(CoreTest, KeepsToTheWindow) {
  limits.window.initial = 2;
  limits.window.limit = 3;
  open();
  for (int i = 0; i < 10; ++i)
    send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_FALSE(turn_until([&] {
                 return agent().delivers.size() > 2 || loop.now() > SteadyTime(1000h + 1s);
               }) &&
               agent().delivers.size() > 2);
  std::size_t answered = 0;
  while (answered < 10) {
    ASSERT_TRUE(delivers_arrive(answered + 1));
    EXPECT_LE(agent().delivers.size() - answered, 3u);
    agent().answer(agent().delivers[answered++], kSent);
  }
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, DefersToAFileAndTriesAgain) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kLater);
  ASSERT_TRUE(parked(id));
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
  ASSERT_TRUE(why.ok()) << why.error().text();
  ASSERT_EQ(why->recipients.size(), 1u);
  EXPECT_EQ(why->where, proto::Where::deferred);
  EXPECT_EQ(why->recipients[0].attempts, 1u);
  EXPECT_EQ(why->recipients[0].gate, mail::Gate::retry_timer);
  EXPECT_EQ(why->recipients[0].last.text, "450 later");
  const std::int64_t wait = why->recipients[0].next_try - to_unix_micros(clock.wall());
  EXPECT_GT(wait, 290'000'000);
  EXPECT_LE(wait, 330'000'000);
  EXPECT_EQ(agent().delivers.size(), 1u);
  clock.advance(331s);
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_EQ(agent().content_of(agent().delivers[1]), kContent);
  agent().answer(agent().delivers[1], kSent);
  EXPECT_TRUE(drained());
  EXPECT_TRUE(turn_until([&] { return *core->parts().queue.index().size() == 0; }));
}

TEST_F(CoreTest, DiscardsAndDefersWithoutAgents) {
  open();
  send(envelope({"a@discard.example"}));
  EXPECT_TRUE(turn_until([&] { return core->parts().counters.removed == 1; }));
  const queue::Id id = send(envelope({"a@nowhere.example"}));
  ASSERT_TRUE(parked(id));
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->recipients[0].gate, mail::Gate::no_agent);
  EXPECT_EQ(why->recipients[0].attempts, 0u);
}

TEST_F(CoreTest, ADeadDestinationHoldsUpNobody) {
  open();
  for (int i = 0; i < 50; ++i)
    send(envelope({"a@dead.example"}));
  ASSERT_TRUE(delivers_arrive(5));
  for (int i = 0; i < 3; ++i)
    agent().answer(agent().delivers[static_cast<std::size_t>(i)], kDown);
  // The rest goes to the disk without an attempt.
  ASSERT_TRUE(turn_until([&] { return core->parts().intake->messages().size() == 2; }));
  for (std::size_t i = 3; i < agent().delivers.size(); ++i)
    agent().answer(agent().delivers[i], kDown);
  ASSERT_TRUE(drained());
  send(envelope({"a@alive.example"}));
  ASSERT_TRUE(turn_until([&] { return agent().delivers.back().nexthop == "alive.example"; }));
  agent().answer(agent().delivers.back(), kSent);
  const queue::Id late = send(envelope({"b@dead.example"}));
  ASSERT_TRUE(parked(late));
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = late.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->recipients[0].gate, mail::Gate::destination_backed_off);
  EXPECT_THAT(why->recipients[0].last.text, testing::HasSubstr("delivery temporarily suspended"));
  EXPECT_EQ(why->recipients[0].attempts, 0u);
  const std::size_t before = agent().delivers.size();
  clock.advance(2000s);
  // One probe, and no more until it is answered.
  ASSERT_TRUE(delivers_arrive(before + 1));
  for (int i = 0; i < 200; ++i)
    loop.turn(false);
  agent().read();
  EXPECT_EQ(agent().delivers.size(), before + 1);
  agent().answer(agent().delivers.back(), kSent);
  EXPECT_TRUE(delivers_arrive(before + 3)) << "alive again: more at a time";
}

TEST_F(CoreTest, SoftBounceDefers) {
  params.soft_bounce = true;
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  EXPECT_TRUE(parked(id));
}

TEST_F(CoreTest, TheActiveLimitHolds) {
  params.active_limit = 10;
  limits.window.initial = 100;
  limits.window.limit = 0;
  open();
  for (int i = 0; i < 30; ++i)
    send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(10));
  for (int i = 0; i < 100; ++i)
    loop.turn(false);
  agent().read();
  EXPECT_EQ(agent().delivers.size(), 10u);
  EXPECT_EQ(core->parts().intake->active(), 10u);
  std::size_t answered = 0;
  while (answered < 30) {
    ASSERT_TRUE(delivers_arrive(answered + 1));
    agent().answer(agent().delivers[answered++], kSent);
  }
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, ASecondAgentHelpsWhenTheFirstIsHalfFull) {
  capacity = 4;
  limits.window.initial = 20;
  open();
  for (int i = 0; i < 8; ++i)
    send(envelope({"a@" + std::to_string(i) + ".example"}));
  ASSERT_TRUE(turn_until([&] {
    return by_service["smtp"].size() == 2 && agents[0]->delivers.size() == 4 &&
           agents[1]->delivers.size() == 4;
  }));
  // A destination's next mail goes where its last went.
  const proto::Deliver first = agents[1]->delivers[0];
  const std::string domain = first.nexthop;
  agents[1]->answer(first, kSent);
  agents[1]->delivers.clear();
  send(envelope({"again@" + domain}));
  EXPECT_TRUE(turn_until([&] { return !agents[1]->delivers.empty(); }));
}

TEST_F(CoreTest, AWindowIsForAMailboxWhereOneRecipientGoesAtATime) {
  limits.recipients = 1;
  limits.window.initial = 1;
  limits.window.limit = 1;
  params.recipient_delimiter = "+";
  open();
  send(envelope({"a@x.example", "A+folder@x.example", "b@x.example", "a@y.example"}));
  ASSERT_TRUE(delivers_arrive(3));
  for (int i = 0; i < 100; ++i)
    loop.turn(false);
  agent().read();
  std::vector<std::string> out;
  for (const proto::Deliver& request : agent().delivers)
    out.push_back(request.envelope.recipients.at(0).address);
  EXPECT_THAT(out, testing::UnorderedElementsAre("a@x.example", "b@x.example", "a@y.example"));
  for (const proto::Deliver& request : agent().delivers)
    agent().answer(request, kSent);
  ASSERT_TRUE(delivers_arrive(4));
  EXPECT_EQ(agent().delivers[3].envelope.recipients[0].address, "A+folder@x.example");
  EXPECT_EQ(agent().delivers[3].nexthop, "x.example");
}

TEST_F(CoreTest, AnotherTransportTakesWhatAnAgentPassesOn) {
  open();
  const queue::Id id = send(envelope({"a@x.example", "b@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().pass_on(agent().delivers[0], "lmtp:unix:mailbox");
  ASSERT_TRUE(delivers_arrive(1, "lmtp"));
  const proto::Deliver& request = agent("lmtp").delivers[0];
  EXPECT_EQ(request.nexthop, "unix:mailbox");
  EXPECT_EQ(request.envelope.recipients.size(), 2u);
  EXPECT_EQ(find(id)->state.recipients[0].attempts, 0u) << "nothing was tried";
  agent("lmtp").answer(request, kLater);
  ASSERT_TRUE(parked(id));
  clock.advance(331s);
  ASSERT_TRUE(delivers_arrive(2)) << "by its own route again";
  agent().pass_on(agent().delivers[1], "lmtp");
  ASSERT_TRUE(delivers_arrive(2, "lmtp"));
  EXPECT_EQ(agent("lmtp").delivers[1].nexthop, "x.example");
  agent("lmtp").answer(agent("lmtp").delivers[1], kSent);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, ToBePassedOnTwiceIsALoop) {
  open();
  send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().pass_on(agent().delivers[0], "lmtp");
  ASSERT_TRUE(delivers_arrive(1, "lmtp"));
  agent("lmtp").pass_on(agent("lmtp").delivers[0], "smtp");
  ASSERT_TRUE(reports_arrive(1));
  const mail::Outcome& outcome = agent("bounce").reports[0].outcomes[0];
  EXPECT_EQ(outcome.dsn, "5.4.6");
  EXPECT_EQ(outcome.text, "mail for x.example loops back to myself");
  EXPECT_EQ(agent().delivers.size(), 1u);
}

TEST_F(CoreTest, WhatIsPassedOnToNoTransportIsDeferred) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().pass_on(agent().delivers[0], "missing");
  ASSERT_TRUE(parked(id));
  EXPECT_EQ(core->parts().counters.bounced, 0u);
}

TEST_F(CoreTest, ADestinationBelowItsShareGoesOnWithTheSessionThatCameFree) {
  params.agents = 2;
  capacity = 4;
  limits.window.initial = 20;
  open();
  for (int i = 0; i < 4; ++i)
    for (int n = 0; n < 20; ++n)
      send(envelope({"a@" + std::to_string(i) + ".example"}));
  ASSERT_TRUE(turn_until([&] {
    return by_service["smtp"].size() == 2 && agents[0]->delivers.size() == 4 &&
           agents[1]->delivers.size() == 4;
  }));
  // Four want eight slots, two each: whoever has more gives way, whoever has less goes on.
  std::map<std::string, std::set<FakeAgent*>> places;
  for (int n = 0; n < 30; ++n) {
    FakeAgent& one = *agents[static_cast<std::size_t>(n % 2)];
    const proto::Deliver request = one.delivers.front();
    one.delivers.pop_front();
    std::map<std::string, int> out;
    for (const auto& a : agents)
      for (const proto::Deliver& r : a->delivers)
        ++out[r.nexthop];
    one.answer(request, kSent);
    ASSERT_TRUE(turn_until([&] { return one.delivers.size() == 4; }));
    if (out[request.nexthop] < 2) {
      EXPECT_EQ(one.delivers.back().nexthop, request.nexthop);
    }
  }
  for (const auto& a : agents)
    for (const proto::Deliver& r : a->delivers)
      places[r.nexthop].insert(a.get());
  EXPECT_EQ(places.size(), 4u) << "none is left out";
}

} // namespace
} // namespace postrider::qmgr
