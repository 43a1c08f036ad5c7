// SPDX-License-Identifier: MIT
// Agents that die, and agents that lie.
#include "core_fixture.hpp"

namespace postrider::qmgr {
namespace {

TEST_F(CoreTest, ADeadAgentReturnsItsRequests) {
  open();
  const queue::Id safe = send(envelope({"a@x.example"}));
  const queue::Id doubtful = send(envelope({"b@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  FakeAgent& first = agent();
  for (const proto::Deliver& request : first.delivers)
    first.mark(request.slot, request.id == safe.number() ? proto::SlotState::working
                                                         : proto::SlotState::in_doubt);
  first.peer().die();
  ASSERT_TRUE(
      turn_until([&] { return by_service["smtp"].size() == 2 && !agent().delivers.empty(); }));
  EXPECT_EQ(agent().delivers[0].id, safe.number());
  EXPECT_EQ(find(safe)->state.strikes, 0u) << "either may have been the cause, or none";
  agent().answer(agent().delivers[0], kSent);
  ASSERT_TRUE(parked(doubtful));
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = doubtful.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_TRUE(why->recipients[0].in_doubt);
  EXPECT_EQ(agent().delivers.size(), 1u) << "in doubt is not sent again at once";
  clock.advance(331s);
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_EQ(agent().delivers[1].id, doubtful.number());
}

// Connections are where the destination's last mail went, whoever has more room by now.
TEST_F(CoreTest, ADestinationStaysWithTheAgentThatTookItOver) {
  capacity = 4;
  limits.window.initial = 20;
  open();
  for (int i = 0; i < 8; ++i)
    send(envelope({"a@" + std::to_string(i) + ".example"}));
  ASSERT_TRUE(turn_until([&] {
    return agents.size() == 2 && agents[0]->delivers.size() == 4 && agents[1]->delivers.size() == 4;
  }));
  FakeAgent& first = *agents[0];
  FakeAgent& second = *agents[1];
  const std::string domain = first.delivers[0].nexthop;
  const proto::Retiring retiring;
  first.peer().channel().send(retiring);
  while (!second.delivers.empty()) {
    second.answer(second.delivers.front(), kSent);
    second.delivers.pop_front();
  }
  for (int i = 0; i < 3; ++i) {
    send(envelope({"next@" + domain}));
    ASSERT_TRUE(turn_until([&] { return !second.delivers.empty(); }));
    EXPECT_EQ(second.delivers.front().nexthop, domain);
    second.answer(second.delivers.front(), kSent);
    second.delivers.pop_front();
  }
  EXPECT_EQ(first.delivers.size(), 4u);
}

TEST_F(CoreTest, PoisonIsHeldAndOthersPass) {
  open();
  const queue::Id poison = send(envelope({"a@x.example"}));
  const queue::Id other = send(envelope({"b@y.example"}));
  for (int death = 1; death <= 3; ++death) {
    ASSERT_TRUE(turn_until([&] {
      if (by_service["smtp"].empty()) return false;
      for (const auto& request : agent().delivers)
        if (request.id == poison.number()) return true;
      return false;
    })) << death;
    for (const auto& request : agent().delivers) {
      if (request.id == other.number())
        agent().answer(request, kSent);
      else
        agent().mark(request.slot, proto::SlotState::working);
    }
    for (int i = 0; i < 50; ++i)
      loop.turn(false);
    agent().delivers.clear();
    agent().peer().die();
    // P5: the third death in a row would also put the destination off.
    ASSERT_TRUE(turn_until([&] {
      return find(poison) == nullptr || find(poison)->in_flight == 0 ||
             by_service["smtp"].size() > static_cast<std::size_t>(death);
    }));
  }
  ASSERT_TRUE(parked(poison));
  EXPECT_EQ(find(other), nullptr);
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = poison.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->where, proto::Where::held);
  EXPECT_EQ(why->strikes, 3u);
}

TEST_F(CoreTest, AnAgentThatLiesIsDisconnected) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  proto::Delivered lie;
  lie.slot = agent().delivers[0].slot + 1;
  lie.outcomes = {kSent};
  agent().peer().channel().send(lie);
  ASSERT_TRUE(
      turn_until([&] { return by_service["smtp"].size() == 2 && !agent().delivers.empty(); }));
  EXPECT_EQ(agent().delivers[0].id, id.number());
  proto::Delivered too_many;
  too_many.slot = agent().delivers[0].slot;
  too_many.outcomes = {kSent, kSent};
  agent().peer().channel().send(too_many);
  ASSERT_TRUE(
      turn_until([&] { return by_service["smtp"].size() == 3 && !agent().delivers.empty(); }));
  EXPECT_EQ(core->parts().counters.delivered, 0u);
  EXPECT_THAT(accused, testing::ElementsAre(::getpid(), ::getpid())) << "master is told";
}

struct Breach {
  std::string name;
  std::function<void(ipc::Channel&)> commit;
};
class CoreBreach : public CoreTest, public testing::WithParamInterface<Breach> {};

// In the middle of a delivery: the agent goes, the mail goes to the next one, and master hears.
TEST_P(CoreBreach, CostsTheAgentItsConnectionAndNoMail) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  GetParam().commit(agent().peer().channel());
  ASSERT_TRUE(
      turn_until([&] { return by_service["smtp"].size() == 2 && !agent().delivers.empty(); }));
  EXPECT_EQ(agent().delivers[0].id, id.number());
  EXPECT_THAT(accused, testing::ElementsAre(::getpid()));
  EXPECT_EQ(core->parts().counters.misbehaved, 1u);
  agent().answer(agent().delivers[0], kSent);
  EXPECT_TRUE(drained());
}
template <typename Message>
void send_with_descriptor(ipc::Channel& channel, const Message& message) {
  channel.send(message, Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
}
INSTANTIATE_TEST_SUITE_P(
    Hostile, CoreBreach,
    testing::ValuesIn<Breach>({
        {"another_conversation", [](ipc::Channel& c) { c.send(proto::WantSegment{}); }},
        {"ready_twice",
         [](ipc::Channel& c) {
           proto::Ready again;
           again.program = "smtp";
           again.capacity = 5;
           c.send(again);
         }},
        {"hello_again", [](ipc::Channel& c) { c.send(ipc::Hello{.protocol = "deliver"}); }},
        {"a_request_of_qmgr",
         [](ipc::Channel& c) {
           proto::Deliver request;
           request.envelope.recipients = {{.address = "x@y.example"}};
           c.send(request);
         }},
        {"an_answer_for_a_report", [](ipc::Channel& c) { c.send(proto::Reported{.ok = true}); }},
        {"a_slot_beyond_the_board",
         [](ipc::Channel& c) {
           proto::Delivered answer;
           answer.slot = 0xffffffff;
           c.send(answer);
         }},
        {"a_descriptor_that_is_not_due",
         [](ipc::Channel& c) { send_with_descriptor(c, proto::Retiring{}); }},
        {"bytes",
         [](ipc::Channel& c) {
           const std::string bytes(100, '\xfe');
           ASSERT_EQ(::send(c.fd(), bytes.data(), bytes.size(), 0), 100);
         }},
    }),
    [](const auto& row) { return row.param.name; });

TEST_F(CoreTest, AnAgentThatNeverAnswersIsGivenUp) {
  params.agent_limit = 30s;
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  clock.advance(29s);
  for (int i = 0; i < 20; ++i)
    loop.turn(false);
  EXPECT_TRUE(accused.empty());
  clock.advance(2s);
  ASSERT_TRUE(
      turn_until([&] { return by_service["smtp"].size() == 2 && !agent().delivers.empty(); }));
  EXPECT_EQ(agent().delivers[0].id, id.number());
  EXPECT_THAT(accused, testing::ElementsAre(::getpid()));
}

TEST_F(CoreTest, OneProcessHasSoManyConnectionsAndNoMore) {
  open();
  std::vector<std::unique_ptr<Peer>> many;
  for (int i = 0; i < 70; ++i) {
    auto pair = net::socket_pair();
    core->converse(std::move(pair->second));
    many.push_back(std::make_unique<Peer>(loop, std::move(pair->first)));
  }
  ASSERT_TRUE(turn_until([&] {
    return std::count_if(many.begin(), many.end(), [](const auto& p) { return p->ended(); }) == 6;
  }));
  EXPECT_THAT(accused, testing::Each(::getpid()));
  EXPECT_FALSE(accused.empty());
  many.clear();
  for (int i = 0; i < 20; ++i)
    loop.turn(false);
  send(envelope({"a@x.example"}));
  EXPECT_TRUE(delivers_arrive(1));
}

} // namespace
} // namespace postrider::qmgr
