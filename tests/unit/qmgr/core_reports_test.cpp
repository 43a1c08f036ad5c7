// SPDX-License-Identifier: MIT
// Reports: asked for, made once, never for a report.
#include "core_fixture.hpp"

#include <mutex>

namespace postrider::qmgr {
namespace {

TEST_F(CoreTest, BouncesThenRemoves) {
  open();
  mail::Envelope made = envelope({"a@x.example", "b@x.example"});
  made.recipients[1].notify = mail::notify_never;
  const queue::Id id = send(made);
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  ASSERT_TRUE(reports_arrive(1));
  const proto::Report& report = agent("bounce").reports[0];
  EXPECT_EQ(report.kind, proto::ReportKind::failed);
  EXPECT_EQ(report.send_to, "s@client.example");
  ASSERT_EQ(report.envelope.recipients.size(), 1u) << "NOTIFY=NEVER";
  EXPECT_EQ(report.envelope.recipients[0].address, "a@x.example");
  EXPECT_EQ(report.outcomes[0].text, "550 no such user");
  EXPECT_NE(find(id), nullptr) << "bounce first, remove last";
  agent("bounce").answer(report, true);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, AReportThatFailsIsAskedForAgain) {
  open();
  send(envelope({"a@error.example"}));
  ASSERT_TRUE(reports_arrive(1));
  EXPECT_EQ(agent("bounce").reports[0].outcomes[0].dsn, "5.7.1");
  EXPECT_EQ(agent("bounce").reports[0].outcomes[0].text, "not to there");
  agent("bounce").answer(agent("bounce").reports[0], false);
  ASSERT_TRUE(reports_arrive(2));
  agent("bounce").answer(agent("bounce").reports[1], true);
  EXPECT_TRUE(drained());
}

mail::Envelope report_on(queue::Id id, std::vector<std::uint32_t> recipients, std::string kind) {
  mail::Envelope report;
  report.recipients = {{.address = "s@client.example"}};
  report.arrival = 1;
  report.report_for = id.text();
  report.report_kind = std::move(kind);
  report.reported = std::move(recipients);
  return report;
}

// A report settles recipients of other mail. Whoever was not asked for it cannot make one.
TEST_F(CoreTest, AReportOfAStrangerIsRemovedAndSettlesNothing) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  send(report_on(id, {0}, "failed"));
  ASSERT_TRUE(turn_until([&] { return writer->ended(); })) << "no bounce process has been asked";
  EXPECT_THAT(accused, testing::ElementsAre(::getpid()));
  EXPECT_EQ(core->parts().counters.accepted, 1u);
  agent().answer(agent().delivers[0], kNever);
  ASSERT_TRUE(reports_arrive(1)) << "the recipient still has its report";
  agent("bounce").answer(agent("bounce").reports[0], true);
  EXPECT_TRUE(drained());
}

struct Forged {
  std::string name;
  bool other_message;
  std::vector<std::uint32_t> recipients;
  std::string kind;
};
class CoreForged : public CoreTest, public testing::WithParamInterface<Forged> {};

// bounce itself is believed for what it was asked, and for nothing else.
TEST_P(CoreForged, AReportOnOtherThingsThanAskedIsRemoved) {
  open();
  const queue::Id asked = send(envelope({"a@error.example", "b@x.example"}));
  const queue::Id other = send(envelope({"c@x.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  for (const auto& request : agent().delivers)
    if (request.id == asked.number()) agent().answer(request, kLater);
  ASSERT_TRUE(reports_arrive(1));
  ASSERT_EQ(agent("bounce").reports[0].id, asked.number());
  send(report_on(GetParam().other_message ? other : asked, GetParam().recipients, GetParam().kind));
  ASSERT_TRUE(turn_until([&] { return writer->ended(); }));
  EXPECT_FALSE(accused.empty());
  EXPECT_FALSE(find(asked)->state.recipients[0].reported);
  EXPECT_FALSE(find(asked)->state.recipients[1].reported);
  EXPECT_FALSE(find(other)->state.recipients[0].reported);
}
INSTANTIATE_TEST_SUITE_P(Lies, CoreForged,
                         testing::ValuesIn<Forged>({
                             {"another_message", true, {0}, "failed"},
                             {"another_recipient", false, {1}, "failed"},
                             {"more_than_asked", false, {0, 1}, "failed"},
                             {"no_such_recipient", false, {7}, "failed"},
                             {"another_kind", false, {0}, "success"},
                         }),
                         [](const auto& row) { return row.param.name; });

// bounce dies between the commit of a report and its answer, and qmgr sees the end of the one
// connection before that of the other: the report that is in the journal is not made again.

TEST_F(CoreTest, AReportThatWasCommittedIsNotMadeAgain) {
  open();
  const queue::Id id = send(envelope({"a@dest.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  ASSERT_TRUE(reports_arrive(1));
  mail::Envelope report = envelope({"s@client.example"}, "");
  report.report_for = id.text();
  report.report_kind = "failed";
  report.reported = {0};
  write(report);
  commit();
  agent("bounce").peer().die();
  ASSERT_TRUE(turn_until([&] { return by_service["bounce"].size() == 2; }));
  for (int i = 0; i < 50; ++i)
    loop.turn(false);
  agent("bounce").read();
  EXPECT_TRUE(agent("bounce").reports.empty());
  writer->die();
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_EQ(agent().delivers[1].envelope.report_for, id.text());
  agent().answer(agent().delivers[1], kSent);
  ASSERT_TRUE(drained());
  EXPECT_TRUE(agent("bounce").reports.empty());
}

// The same with a report in a file of its own, which qmgr is still taking over when both
// connections of bounce are at their end, in either order.
TEST_F(CoreTest, ALargeReportThatIsBeingAcceptedIsNotMadeAgain) {
  for (const bool agent_first : {true, false}) {
    SCOPED_TRACE(agent_first);
    if (core) {
      reopen();
      by_service.clear();
    } else {
      open();
    }
    const queue::Id id = send(envelope({"a@dest.example"}));
    ASSERT_TRUE(delivers_arrive(1));
    agent().answer(agent().delivers[0], kNever);
    ASSERT_TRUE(reports_arrive(1));
    mail::Envelope report = envelope({"s@client.example"}, "");
    report.report_for = id.text();
    report.report_kind = "failed";
    report.reported = {0};
    const queue::Id report_id = write_file(report);
    std::mutex pool; // its threads work when they get it
    {
      const std::lock_guard stopped(pool);
      for (int i = 0; i < 2; ++i)
        offload.submit([&pool] { const std::lock_guard turn(pool); }, [] {});
      proto::FileWritten written;
      written.id = report_id.number();
      writer->channel().send(written);
      for (int i = 0; i < 50; ++i)
        loop.turn(false);
      if (agent_first) agent("bounce").peer().die();
      writer->die();
      for (int i = 0; i < 50; ++i)
        loop.turn(false);
      if (!agent_first) agent("bounce").peer().die();
      ASSERT_TRUE(turn_until([&] { return by_service["bounce"].size() == 2; }));
      for (int i = 0; i < 50; ++i)
        loop.turn(false);
    }
    writer.reset();
    ASSERT_TRUE(delivers_arrive(2));
    EXPECT_EQ(agent().delivers[1].envelope.report_for, id.text());
    agent().answer(agent().delivers[1], kSent);
    ASSERT_TRUE(drained());
    EXPECT_TRUE(agent("bounce").reports.empty());
  }
}

TEST_F(CoreTest, NeverBouncesABounce) {
  open();
  send(envelope({"a@x.example"}, ""));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  EXPECT_TRUE(drained());
  EXPECT_TRUE(by_service["bounce"].empty());
}

TEST_F(CoreTest, TellsThePostmasterWhenAsked) {
  params.double_bounce_recipient = "postmaster@client.example";
  open();
  send(envelope({"a@x.example"}, ""));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  ASSERT_TRUE(reports_arrive(1));
  EXPECT_EQ(agent("bounce").reports[0].send_to, "postmaster@client.example");
  agent("bounce").answer(agent("bounce").reports[0], true);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, ExpiredMailIsReturned) {
  params.retry.lifetime = 100'000'000;
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kLater);
  ASSERT_TRUE(parked(id));
  clock.advance(331s);
  ASSERT_TRUE(delivers_arrive(2));
  agent().answer(agent().delivers[1], kLater);
  ASSERT_TRUE(reports_arrive(1));
  EXPECT_EQ(agent("bounce").reports[0].kind, proto::ReportKind::failed);
  agent("bounce").answer(agent("bounce").reports[0], true);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, WarnsOnceOfDelay) {
  params.retry.delay_warning = 100'000'000;
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  for (std::size_t attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_TRUE(delivers_arrive(attempt));
    agent().answer(agent().delivers[attempt - 1], kLater);
    if (attempt == 2) {
      ASSERT_TRUE(reports_arrive(1));
      EXPECT_EQ(agent("bounce").reports[0].kind, proto::ReportKind::delayed);
      EXPECT_GT(agent("bounce").reports[0].next_try, 0);
      agent("bounce").answer(agent("bounce").reports[0], true);
    }
    ASSERT_TRUE(parked(id));
    clock.advance(1400s);
  }
  EXPECT_EQ(agent("bounce").reports.size(), 1u);
}

TEST_F(CoreTest, SuccessIsReportedWhenTheNextHopCannot) {
  open();
  std::size_t reports = 0;
  for (const std::string service : {"smtp", "lmtp"}) { // the second says that it is a mailbox
    mail::Envelope made = envelope({service == "smtp" ? "a@x.example" : "a@mailbox.example"});
    made.recipients[0].notify = mail::notify_success;
    send(made);
    ASSERT_TRUE(delivers_arrive(1, service));
    proto::Delivered result;
    result.slot = agent(service).delivers[0].slot;
    result.outcomes = {kSent};
    result.relayed_without_dsn = true;
    agent(service).peer().channel().send(result);
    ASSERT_TRUE(reports_arrive(++reports));
    const proto::Report& report = agent("bounce").reports[reports - 1];
    EXPECT_EQ(report.kind, proto::ReportKind::success);
    EXPECT_EQ(report.final_delivery, service == "lmtp");
    agent("bounce").answer(report, true);
    EXPECT_TRUE(drained());
  }
}

} // namespace
} // namespace postrider::qmgr
