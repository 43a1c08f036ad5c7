// SPDX-License-Identifier: MIT
// Which mail is blamed for the death of an agent, and what becomes of it.
#include "core_fixture.hpp"

namespace postrider::qmgr {
namespace {

class Quarantine : public CoreTest {
 protected:
  // The request for this message at the agent that lives now; null: it has none.
  const proto::Deliver* request_of(queue::Id id) {
    if (by_service["smtp"].empty()) return nullptr;
    for (const proto::Deliver& request : agent().delivers)
      if (request.id == id.number()) return &request;
    return nullptr;
  }
  bool is_out(queue::Id id) {
    return turn_until([&] { return request_of(id) != nullptr; });
  }
  void settle_down() {
    for (int i = 0; i < 100; ++i)
      loop.turn(false);
    for (auto& one : agents)
      one->read();
  }
  // The agent dies; `culprit`: in the code of whose delivery, as the board says.
  void die(const proto::Deliver* culprit = nullptr) {
    for (const proto::Deliver& request : agent().delivers)
      agent().mark(request.slot, proto::SlotState::working);
    if (culprit != nullptr) agent().run(culprit->slot);
    agent().delivers.clear();
    agent().peer().die();
    settle_down();
  }
  void expect_held(queue::Id id) {
    ASSERT_TRUE(parked(id));
    const auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
    ASSERT_TRUE(why.ok());
    EXPECT_EQ(why->where, proto::Where::held);
    EXPECT_EQ(why->strikes, 3u);
    EXPECT_EQ(why->hold_reason, "delivery agents died of this message");
  }
  void deliver(const std::vector<queue::Id>& ids) {
    for (const queue::Id id : ids) {
      ASSERT_TRUE(is_out(id)) << id.text();
      agent().answer(*request_of(id), kSent);
      std::erase_if(agent().delivers, [&](const auto& one) { return one.id == id.number(); });
    }
    EXPECT_TRUE(turn_until([&] {
      for (const queue::Id id : ids)
        if (find(id) != nullptr) return false;
      return true;
    }));
  }
};

TEST_F(Quarantine, TheBoardNamesTheMessage) {
  open();
  const queue::Id poison = send(envelope({"a@x.example"}));
  std::vector<queue::Id> others;
  for (int i = 0; i < 20; ++i)
    others.push_back(send(envelope({"b@" + std::to_string(i) + ".example"})));
  ASSERT_TRUE(delivers_arrive(21));
  die(request_of(poison));
  for (const queue::Id id : others) {
    EXPECT_EQ(find(id)->state.strikes, 0u);
    EXPECT_FALSE(find(id)->suspect);
  }
  deliver(others);
  for (int death = 2; death <= 3; ++death) {
    ASSERT_TRUE(is_out(poison)) << death;
    EXPECT_EQ(find(poison)->state.strikes, static_cast<std::uint32_t>(death - 1));
    EXPECT_EQ(agent().delivers.size(), 1u) << "it is tried alone";
    die(request_of(poison));
  }
  expect_held(poison);
}

TEST_F(Quarantine, NothingElseGoesToTheAgentOfATrial) {
  params.agents = 3;
  capacity = 4;
  open();
  std::vector<queue::Id> all;
  for (int i = 0; i < 9; ++i)
    all.push_back(send(envelope({"b@" + std::to_string(i) + ".example"})));
  ASSERT_TRUE(turn_until([&] {
    return agents.size() == 3 && agents[0]->delivers.size() == 4 &&
           agents[1]->delivers.size() == 4 && agents[2]->delivers.size() == 1;
  }));
  for (const std::size_t which : {1U, 2U}) {
    for (const proto::Deliver& request : agents[which]->delivers)
      agents[which]->answer(request, kSent);
    agents[which]->delivers.clear();
  }
  ASSERT_TRUE(turn_until([&] { return core->parts().counters.delivered == 5; }));
  const proto::Deliver poison = agents[0]->delivers[2];
  agents[0]->run(poison.slot);
  agents[0]->peer().die();
  ASSERT_TRUE(
      turn_until([&] { return agents[1]->delivers.size() + agents[2]->delivers.size() == 4; }));
  FakeAgent& judge = *agents[agents[1]->delivers.size() == 1 ? 1 : 2];
  FakeAgent& other = *agents[&judge == agents[1].get() ? 2 : 1];
  ASSERT_EQ(judge.delivers.size(), 1u);
  EXPECT_EQ(judge.delivers[0].id, poison.id);
  for (int i = 0; i < 8; ++i)
    send(envelope({"c@" + std::to_string(i) + ".example"}));
  ASSERT_TRUE(turn_until([&] { return other.delivers.size() == 4; }));
  settle_down();
  EXPECT_EQ(judge.delivers.size(), 1u);
  const queue::Id id(poison.id);
  judge.answer(judge.delivers[0], kLater);
  EXPECT_TRUE(turn_until([&] { return judge.delivers.size() > 1; })) << "it is open again";
  EXPECT_FALSE(find(id) != nullptr && find(id)->suspect) << "it came back: it is cleared";
}

TEST_F(Quarantine, OneDeathFromOutsideIsNobodysFault) {
  open();
  std::vector<queue::Id> all;
  for (int i = 0; i < 30; ++i)
    all.push_back(send(envelope({"b@" + std::to_string(i) + ".example"})));
  ASSERT_TRUE(delivers_arrive(30));
  die();
  ASSERT_TRUE(delivers_arrive(30)) << "all of them at once";
  for (const queue::Id id : all)
    EXPECT_EQ(find(id)->state.strikes, 0u);
  deliver(all);
}

TEST_F(Quarantine, FindsTheMessageWhenTheBoardNamesNone) {
  open();
  const queue::Id poison = send(envelope({"a@x.example"}));
  std::vector<queue::Id> others;
  for (int i = 0; i < 5; ++i)
    others.push_back(send(envelope({"b@" + std::to_string(i) + ".example"})));
  for (int death = 1; death <= 2; ++death) {
    ASSERT_TRUE(delivers_arrive(6));
    die();
  }
  // Each is tried alone now: all but one come back.
  for (int death = 3; find(poison) != nullptr && !find(poison)->state.held && death < 10;) {
    ASSERT_TRUE(delivers_arrive(1));
    ASSERT_EQ(agent().delivers.size(), 1u);
    if (agent().delivers[0].id == poison.number()) {
      die();
      ++death;
      settle_down();
      if (find(poison) == nullptr || find(poison)->phase == Phase::storing) break;
    } else {
      agent().answer(agent().delivers[0], kSent);
      agent().delivers.clear();
    }
  }
  expect_held(poison);
  EXPECT_TRUE(turn_until([&] {
    if (!agent().delivers.empty()) agent().answer(agent().delivers[0], kSent);
    agent().delivers.clear();
    return core->parts().counters.delivered == others.size();
  }));
}

TEST_F(Quarantine, ManySuspectsAreTriedTogether) {
  capacity = 500; // one agent is enough
  open();
  for (int i = 0; i < 80; ++i)
    send(envelope({"b@" + std::to_string(i) + ".example"}));
  for (int death = 1; death <= 2; ++death) {
    ASSERT_TRUE(delivers_arrive(80));
    die();
  }
  ASSERT_TRUE(delivers_arrive(10));
  settle_down();
  EXPECT_EQ(agent().delivers.size(), 10u) << "an eighth";
  die();
  ASSERT_TRUE(delivers_arrive(1));
  settle_down();
  EXPECT_EQ(agent().delivers.size(), 1u) << "an eighth of those";
  std::size_t trials = 0;
  EXPECT_TRUE(turn_until([&] {
    trials += agent().delivers.empty() ? 0 : 1;
    for (const proto::Deliver& request : agent().delivers)
      agent().answer(request, kSent);
    agent().delivers.clear();
    return core->parts().counters.delivered == 80;
  }));
  EXPECT_EQ(trials, 80u);
  EXPECT_TRUE(drained());
}

TEST_F(Quarantine, ADestinationThatKillsIsPutOffAndItsMailIsNotHeld) {
  open();
  std::vector<queue::Id> bad, good;
  for (int i = 0; i < 4; ++i)
    bad.push_back(send(envelope({"a" + std::to_string(i) + "@bad.example"})));
  for (int i = 0; i < 4; ++i)
    good.push_back(send(envelope({"b@" + std::to_string(i) + ".example"})));
  ASSERT_TRUE(delivers_arrive(8));
  std::set<std::uint64_t> dead;
  dead.insert(request_of(bad[0])->id);
  die(request_of(bad[0]));
  deliver(good);
  for (int death = 2; death <= 3; ++death) {
    ASSERT_TRUE(delivers_arrive(1)) << death;
    ASSERT_EQ(agent().delivers.size(), 1u) << "one of that destination at a time";
    const proto::Deliver request = agent().delivers[0];
    EXPECT_EQ(request.nexthop, "bad.example");
    dead.insert(request.id);
    die(&request);
  }
  EXPECT_GE(dead.size(), 2u) << "not the same message each time";
  for (const queue::Id id : bad) {
    ASSERT_TRUE(parked(id));
    const auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
    ASSERT_TRUE(why.ok());
    EXPECT_EQ(why->where, proto::Where::deferred);
    EXPECT_EQ(why->recipients[0].gate, mail::Gate::destination_backed_off);
    EXPECT_THAT(why->recipients[0].last.text,
                testing::HasSubstr("delivery agents die at this destination"));
  }
  const queue::Id other = send(envelope({"c@fine.example"}));
  deliver({other});
  // Later one of them probes; it comes back, and the rest follows.
  agent().delivers.clear();
  clock.advance(2000s);
  ASSERT_TRUE(delivers_arrive(1));
  settle_down();
  ASSERT_EQ(agent().delivers.size(), 1u);
  std::size_t answered = 0;
  EXPECT_TRUE(turn_until([&] {
    for (; answered < agent().delivers.size(); ++answered)
      agent().answer(agent().delivers[answered], kSent);
    return answered == 4;
  }));
  EXPECT_TRUE(drained());
}

TEST_F(Quarantine, MailBesideThePoisonOfADestinationIsDelivered) {
  open();
  const queue::Id poison = send(envelope({"a@x.example"}));
  const queue::Id beside = send(envelope({"b@x.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  die(request_of(poison));
  ASSERT_TRUE(is_out(beside));
  EXPECT_EQ(request_of(poison), nullptr) << "the other one is tried first";
  deliver({beside});
  for (int death = 2; death <= 3; ++death) {
    ASSERT_TRUE(is_out(poison));
    die(request_of(poison));
  }
  expect_held(poison);
  deliver({send(envelope({"c@x.example"}))});
}

// Q5
TEST_F(Quarantine, AMessageWhoseReportKillsIsHeldAndOthersAreReported) {
  for (const bool is_notice : {false, true}) {
    SCOPED_TRACE(is_notice);
    by_service.clear();
    if (core) {
      params.double_bounce_recipient = "postmaster@client.example";
      reopen();
    } else {
      open();
    }
    const queue::Id poison = send(envelope({"a@x.example"}, is_notice ? "" : "s@client.example"));
    ASSERT_TRUE(delivers_arrive(1));
    agent().answer(agent().delivers[0], kNever);
    ASSERT_TRUE(reports_arrive(1));
    const queue::Id other = send(envelope({"b@y.example"}));
    ASSERT_TRUE(delivers_arrive(2));
    agent().answer(agent().delivers[1], kNever);
    ASSERT_TRUE(reports_arrive(2));
    writer.reset(); // it is not bounce that wrote
    settle_down();
    agent("bounce").peer().die(); // of one of two
    // Others are told of; the one is alone with the process in the end.
    const auto is_alone = [&] {
      for (const proto::Report& report : agent("bounce").reports)
        if (report.id == other.number()) agent("bounce").answer(report, true);
      std::erase_if(agent("bounce").reports,
                    [&](const auto& report) { return report.id == other.number(); });
      return find(other) == nullptr && agent("bounce").reports.size() == 1;
    };
    for (int death = 2; death <= 3; ++death) {
      ASSERT_TRUE(turn_until(is_alone)) << death;
      agent("bounce").reports.clear();
      agent("bounce").peer().die();
      settle_down();
    }
    ASSERT_TRUE(parked(poison));
    const auto why = ask<proto::WhyAnswer>(proto::Why{.id = poison.text()});
    ASSERT_TRUE(why.ok());
    EXPECT_EQ(why->where, proto::Where::held);
    EXPECT_EQ(why->hold_reason, "processes died of the report on this message");

    ASSERT_TRUE(ask<proto::Acted>(act(proto::Action::release, poison)).ok());
    ASSERT_TRUE(reports_arrive(1));
    agent("bounce").answer(agent("bounce").reports.back(), true);
    EXPECT_TRUE(drained());
  }
}

} // namespace
} // namespace postrider::qmgr
