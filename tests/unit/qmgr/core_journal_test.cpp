// SPDX-License-Identifier: MIT
// Writers, the journal, and a restart.
#include "core_fixture.hpp"

namespace postrider::qmgr {
namespace {

TEST_F(CoreTest, FindsWhatADeadWriterDidNotAnnounce) {
  open();
  start_writer();
  write(envelope({"a@x.example"}));
  commit();
  writer.reset();
  segment.reset();
  EXPECT_TRUE(delivers_arrive(1));
}

TEST_F(CoreTest, BelievesNoWriter) {
  open();
  start_writer();
  proto::Committed lie;
  lie.loan = segment->info().loan;
  lie.records = {queue::Announced{queue::Id::make(segment->info().loan, 1).number(), 4096, 500},
                 queue::Announced{7, 1ULL << 60, 1ULL << 60}};
  writer->channel().send(lie);
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  EXPECT_EQ(agent().delivers[0].id, id.number());
  EXPECT_EQ(core->parts().counters.accepted, 1u);
  lie.loan = segment->info().loan + 1;
  writer->channel().send(lie);
  EXPECT_TRUE(turn_until([&] { return writer->ended(); }));
}

TEST_F(CoreTest, MailInTheJournalSurvivesARestart) {
  open();
  const queue::Id id = send(envelope({"a@x.example", "b@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  for (const auto& request : agent().delivers)
    if (request.nexthop == "x.example") agent().answer(request, kSent);
  ASSERT_TRUE(turn_until([&] { return core->parts().counters.delivered == 1; }));
  reopen();
  by_service.clear();
  ASSERT_TRUE(turn_until([&] { return !by_service["smtp"].empty() && !agent().delivers.empty(); }));
  EXPECT_EQ(agent().delivers[0].id, id.number());
  ASSERT_EQ(agent().delivers[0].envelope.recipients.size(), 1u);
  EXPECT_EQ(agent().delivers[0].envelope.recipients[0].address, "b@y.example");
}

// First deliveries end, then writers: mail that one of them is taking at that time is told to it.
TEST_F(CoreTest, EndsWhenDeliveriesAndWritersHaveEnded) {
  open();
  send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  core->begin_stop();
  send(envelope({"b@y.example"}));
  ASSERT_TRUE(turn_until([&] { return core->parts().counters.accepted == 2; }));
  EXPECT_FALSE(take(proto::Leaving::kType, last));
  agent().answer(agent().delivers[0], kSent);
  ASSERT_TRUE(turn_until([&] { return take(proto::Leaving::kType, last); }));
  EXPECT_EQ(core->parts().counters.delivered, 1u);
  const queue::Id late = send(envelope({"c@z.example"}));
  ASSERT_TRUE(turn_until([&] { return find(late) != nullptr; }));
  EXPECT_FALSE(core->may_stop());
  writer.reset();
  segment.reset();
  ASSERT_TRUE(turn_until([&] { return core->may_stop(); }));
  reopen();
  by_service.clear();
  ASSERT_TRUE(delivers_arrive(2));
  std::vector<std::string> hops;
  for (const auto& request : agent().delivers)
    hops.push_back(request.nexthop);
  EXPECT_THAT(hops, testing::UnorderedElementsAre("y.example", "z.example"));
}

// One that does not leave is cut off.
TEST_F(CoreTest, WaitsForWritersWithinALimit) {
  open();
  start_writer();
  core->begin_stop();
  ASSERT_TRUE(turn_until([&] { return take(proto::Leaving::kType, last); }));
  EXPECT_FALSE(core->may_stop());
  clock.advance(6s);
  EXPECT_TRUE(turn_until([&] { return core->may_stop() && writer->ended(); }));
}

TEST_F(CoreTest, OldMailLeavesTheJournalAndIsDeliveredAllTheSame) {
  open();
  const queue::Id id = send(envelope({"a@x.example", "b@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  clock.advance(31s);
  ASSERT_TRUE(turn_until([&] { return !find(id)->state.place.in_segment(); }));
  agent().answer(agent().delivers[0], kSent);
  agent().answer(agent().delivers[1], kSent);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, ASecondOneOnTheSameQueueIsRefused) {
  open();
  queue::Options options;
  options.directory = scratch.path() + "/queue";
  auto second = Core::open(loop, offload, real_file_system(), std::move(options), params, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1)) << "the first goes on";
  agent().answer(agent().delivers[0], kSent);
  EXPECT_TRUE(drained());
  EXPECT_EQ(find(id), nullptr);
}

TEST_F(CoreTest, ActiveRecipientsAreBounded) {
  params.recipient_limit = 4;
  open();
  send(envelope({"a@x.example", "b@x.example", "c@x.example"}));
  send(envelope({"a@y.example", "b@y.example", "c@y.example"}));
  send(envelope({"a@z.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  for (int i = 0; i < 100; ++i)
    loop.turn(false);
  agent().read();
  EXPECT_EQ(agent().delivers.size(), 2u) << "with six recipients active there is no room for more";
  agent().answer(agent().delivers[0], kSent);
  ASSERT_TRUE(delivers_arrive(3));
  agent().answer(agent().delivers[1], kSent);
  agent().answer(agent().delivers[2], kSent);
  EXPECT_TRUE(drained());
}

} // namespace
} // namespace postrider::qmgr
