// SPDX-License-Identifier: MIT
#include "submit/submitter.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <list>
#include <set>

#include "fake_qmgr.hpp"
#include "mail/header.hpp"

namespace postrider::submit {
namespace {

using namespace std::chrono_literals;
using test::FakeQmgr;
using test::turn_until;

mail::ContentFacts facts_of(ByteView content) {
  mail::ContentScanner scanner;
  scanner.feed(content);
  return scanner.facts();
}

std::string body_of(std::size_t size) {
  std::string body = "Subject: x\r\n\r\n";
  while (body.size() < size)
    body += "0123456789012345678901234567890123456789\r\n";
  return body;
}

// What one sender does, as a root task; `cuts` pieces.
struct Sending {
  explicit Sending(std::string text) : content(std::move(text)) {
    envelope.sender = "a@example.com";
    envelope.recipients.push_back({.address = "b@example.org"});
    make_head = [](queue::Id id) { return "Received: id " + id.text() + "\r\n"; };
  }
  std::string content;
  mail::Envelope envelope;
  MakeHead make_head;
  std::optional<Result<queue::Id>> result;
};

ev::RootTask send(Submitter& submitter, Sending& sending, std::size_t piece) {
  Message message(submitter, sending.envelope, sending.make_head);
  for (std::size_t at = 0; at < sending.content.size(); at += piece) {
    message.pending().append(sending.content, at, piece);
    if (!message.wants_spill()) continue;
    Result<void> spilt = co_await message.spill();
    if (!spilt) {
      sending.result.emplace(spilt.error());
      co_return;
    }
  }
  const mail::ContentFacts facts = facts_of(sending.content);
  Result<queue::Id> id = co_await message.commit(facts);
  sending.result.emplace(id);
}

class SubmitterTest : public testing::Test {
 protected:
  SubmitterTest() : qmgr(loop, directory.path), offload(loop), group(loop) {}
  ~SubmitterTest() override {
    fs.hold_syncs = false;
    group.tear_down();
    submitter.reset();
  }

  void start() {
    options.sockets = {directory.path + "/missing", qmgr.socket()};
    options.program = "test";
    options.retry_pause = 1ms;
    submitter = std::make_unique<Submitter>(loop, offload, fs, options);
    submitter->start();
    ASSERT_TRUE(
        turn_until(loop, [&] { return submitter->may_accept().ok() || qmgr.refuse_segments; }));
  }
  Result<queue::Id> send_one(std::size_t size, std::size_t piece = 4096) {
    Sending sending(body_of(size));
    group.spawn(send(*submitter, sending, piece), "sender");
    EXPECT_TRUE(turn_until(loop, [&] { return sending.result.has_value() && group.empty(); }));
    if (!sending.result) return Error(ErrorKind::timeout, "no answer");
    return *sending.result;
  }

  test::TemporaryDirectory directory;
  ev::Loop loop;
  test::WriterFs fs;
  FakeQmgr qmgr;
  ev::Offload offload;
  ev::Group group;
  Options options;
  std::unique_ptr<Submitter> submitter;
};

TEST_F(SubmitterTest, SmallMailGoesIntoTheSegmentWhole) {
  start();
  const Result<queue::Id> id = send_one(4000);
  ASSERT_TRUE(id.ok()) << id.error().text();
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.mails().size() == 1; }));
  const FakeQmgr::Mail& mail = qmgr.mails().front();
  EXPECT_EQ(mail.id, *id);
  EXPECT_FALSE(mail.in_file);
  EXPECT_EQ(mail.content, "Received: id " + id->text() + "\r\n" + body_of(4000));
  EXPECT_EQ(mail.facts, facts_of(mail.content));
  EXPECT_EQ(mail.envelope.recipients.front().address, "b@example.org");
  EXPECT_TRUE(qmgr.problems().empty()) << qmgr.problems().front();
}

TEST_F(SubmitterTest, ManySendersShareSyncsAndSegmentsFollowEachOther) {
  qmgr.segment_size = 128 << 10;
  start();
  std::list<Sending> all;
  for (int i = 0; i < 200; ++i) {
    all.emplace_back(body_of(3000));
    group.spawn(send(*submitter, all.back(), 5000), "sender");
  }
  ASSERT_TRUE(turn_until(loop, [&] { return group.empty(); }));
  std::set<queue::Id> ids;
  for (const Sending& one : all) {
    ASSERT_TRUE(one.result && one.result->ok()) << one.result->error().text();
    ids.insert(**one.result);
  }
  EXPECT_EQ(ids.size(), 200U);
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.mails().size() == 200 && qmgr.done() >= 4; }));
  EXPECT_TRUE(qmgr.problems().empty()) << qmgr.problems().front();
  EXPECT_GE(qmgr.segments(), 5);
  EXPECT_LT(fs.syncs, 100);
}

// shows: large_message_threshold
TEST_F(SubmitterTest, LargeMailGetsItsOwnFile) {
  options.file_threshold = 20'000;
  start();
  for (const std::size_t piece : {1000U, 19'999U, 90'000U, 1'000'000U}) {
    const Result<queue::Id> id = send_one(700'000, piece);
    ASSERT_TRUE(id.ok()) << id.error().text();
    const FakeQmgr::Mail& mail = qmgr.mails().back();
    EXPECT_TRUE(mail.in_file);
    EXPECT_EQ(mail.id, *id);
    EXPECT_EQ(mail.content, "Received: id " + id->text() + "\r\n" + body_of(700'000));
    EXPECT_EQ(mail.facts, facts_of(mail.content));
  }
  EXPECT_EQ(qmgr.files_open(), 0);
  EXPECT_TRUE(qmgr.problems().empty()) << qmgr.problems().front();
}

// A record that its segment could not hold by itself goes into a file, whatever the threshold.
TEST_F(SubmitterTest, HugeEnvelopeGoesIntoAFile) {
  start();
  Sending sending(body_of(1000));
  for (int i = 0; i < 5000; ++i)
    sending.envelope.recipients.push_back(
        {.address = "recipient" + std::to_string(i) + "@example.org"});
  group.spawn(send(*submitter, sending, 4096), "sender");
  ASSERT_TRUE(turn_until(loop, [&] { return group.empty(); }));
  ASSERT_TRUE(sending.result->ok()) << sending.result->error().text();
  EXPECT_TRUE(qmgr.mails().back().in_file);
  EXPECT_EQ(qmgr.mails().back().envelope.recipients.size(), 5001U);
}

TEST_F(SubmitterTest, FailedSyncIsNeverAnAcceptance) {
  start();
  fs.fail_syncs = EIO;
  const Result<queue::Id> lost = send_one(3000);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().kind(), ErrorKind::io);
  fs.fail_syncs = 0;
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.done() == 1; })); // that segment is given up
  const Result<queue::Id> good = send_one(3000);
  ASSERT_TRUE(good.ok()) << good.error().text();
  EXPECT_NE(good->loan(), 1'000'001U);
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.mails().size() == 1; }));
  EXPECT_EQ(qmgr.mails().front().id, *good);
}

TEST_F(SubmitterTest, FailedWriteIsNeverAnAcceptance) {
  start();
  fs.fail_writes = ENOSPC;
  EXPECT_FALSE(send_one(3000).ok());
  EXPECT_FALSE(send_one(600'000).ok());
  fs.fail_writes = 0;
  EXPECT_TRUE(send_one(3000).ok());
  EXPECT_TRUE(send_one(600'000).ok());
  EXPECT_EQ(qmgr.mails().size(), 2U);
}

// shows: journal_sync_time_limit
TEST_F(SubmitterTest, OverdueSyncIsNotBelieved) {
  options.sync_limit = 20ms;
  start();
  fs.hold_syncs = true;
  const Result<queue::Id> late = send_one(3000);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().kind(), ErrorKind::timeout);
  fs.hold_syncs = false;
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.done() == 1; }));
  EXPECT_TRUE(qmgr.mails().empty());
  EXPECT_TRUE(send_one(3000).ok());
}

// A1: qmgr died before the sync ended; its successor may have read the segment already.
TEST_F(SubmitterTest, NothingIsAcceptedWhenQmgrDiedMeanwhile) {
  start();
  fs.hold_syncs = true;
  Sending sending(body_of(2000));
  group.spawn(send(*submitter, sending, 4096), "sender");
  ASSERT_TRUE(turn_until(loop, [&] { return fs.syncs == 1; }));
  qmgr.die();
  fs.hold_syncs = false;
  ASSERT_TRUE(turn_until(loop, [&] { return sending.result.has_value(); }));
  EXPECT_FALSE(sending.result->ok());
  EXPECT_FALSE(submitter->may_accept().ok());
  qmgr.live_again();
  ASSERT_TRUE(turn_until(loop, [&] { return submitter->may_accept().ok(); }));
  EXPECT_TRUE(send_one(2000).ok());
  EXPECT_EQ(qmgr.connections(), 2);
}

// A3: what is on its way is accepted by the qmgr that ends, the rest by its successor.
TEST_F(SubmitterTest, QmgrThatLeavesCostsNoMessage) {
  start();
  fs.hold_syncs = true;
  Sending first(body_of(2000));
  group.spawn(send(*submitter, first, 4096), "first");
  ASSERT_TRUE(turn_until(loop, [&] { return fs.syncs == 1; }));
  qmgr.leave();
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->knows_queue(); }));
  Sending second(body_of(3000));
  group.spawn(send(*submitter, second, 4096), "second");
  EXPECT_EQ(qmgr.connections(), 1);
  fs.hold_syncs = false;
  ASSERT_TRUE(turn_until(loop, [&] { return first.result && second.result; }));
  EXPECT_TRUE(first.result->ok());
  EXPECT_TRUE(second.result->ok());
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.mails().size() == 2; }));
  EXPECT_EQ(qmgr.mails()[0].id, **first.result);
  EXPECT_EQ(qmgr.connections(), 2);
  EXPECT_GE(qmgr.done(), 1);
  EXPECT_EQ(qmgr.problems(), std::vector<std::string>());
}

// A file that is being written keeps the connection until it is safe.
TEST_F(SubmitterTest, QmgrThatLeavesWaitsForAFile) {
  start();
  Sending sending(body_of(600'000));
  group.spawn(send(*submitter, sending, 4096), "sender");
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.files_open() == 1; }));
  qmgr.leave();
  ASSERT_TRUE(turn_until(loop, [&] { return sending.result.has_value(); }));
  EXPECT_TRUE(sending.result->ok());
  EXPECT_TRUE(turn_until(loop, [&] { return qmgr.connections() == 2; }));
  EXPECT_EQ(qmgr.problems(), std::vector<std::string>());
}

// Descriptors of this process that lead to a segment.
int open_segments() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    count += std::filesystem::read_symlink(entry, gone).string().ends_with(".seg") ? 1 : 0;
  }
  return count;
}

// The next qmgr can use a segment again only when its writer has let it go.
TEST_F(SubmitterTest, SegmentsAreLetGoWhenQmgrDies) {
  start();
  ASSERT_TRUE(send_one(2000).ok());
  ASSERT_GT(open_segments(), 0);
  qmgr.die();
  EXPECT_TRUE(turn_until(loop, [&] { return open_segments() == 0; }));
}

TEST_F(SubmitterTest, FullQueueIsBusyNotBroken) {
  start();
  qmgr.say_state(false, "too much mail");
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->may_accept().ok(); }));
  EXPECT_EQ(submitter->may_accept().error().kind(), ErrorKind::busy);
  EXPECT_EQ(submitter->may_accept().error().text(), "too much mail");
  qmgr.say_state(true, "");
  ASSERT_TRUE(turn_until(loop, [&] { return submitter->may_accept().ok(); }));
}

TEST_F(SubmitterTest, NoRoomForASegmentIsBusy) {
  qmgr.refuse_segments = true;
  start();
  ASSERT_TRUE(turn_until(loop, [&] {
    return !submitter->may_accept().ok() &&
           submitter->may_accept().error().kind() == ErrorKind::busy;
  }));
  const Result<queue::Id> refused = send_one(1000);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::busy);
  qmgr.refuse_segments = false;
  ASSERT_TRUE(turn_until(loop, [&] { return submitter->may_accept().ok(); })); // it asks again
  EXPECT_TRUE(send_one(1000).ok());
}

TEST_F(SubmitterTest, FileTroubleIsToldAndCleanedUp) {
  start();
  qmgr.refuse_files = true;
  const Result<queue::Id> refused = send_one(600'000);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::busy);
  qmgr.refuse_files = false;
  qmgr.reject_written = true;
  EXPECT_FALSE(send_one(600'000).ok());
  qmgr.reject_written = false;
  fs.fail_syncs = EIO;
  EXPECT_FALSE(send_one(600'000).ok());
  fs.fail_syncs = 0;
  EXPECT_TRUE(send_one(600'000).ok());
  EXPECT_EQ(qmgr.mails().size(), 1U);
}

TEST_F(SubmitterTest, SilentQmgrEndsInAnError) {
  options.answer_limit = 20ms;
  start();
  qmgr.answer_files = false;
  const Result<queue::Id> id = send_one(600'000);
  ASSERT_FALSE(id.ok());
  EXPECT_EQ(id.error().kind(), ErrorKind::timeout);
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.dropped() == 1; }));
}

ev::RootTask abandon(Submitter& submitter, Sending& sending) {
  Message message(submitter, sending.envelope, sending.make_head);
  message.pending() = sending.content;
  Result<void> spilt = co_await message.spill();
  sending.result.emplace(spilt.ok() ? Result<queue::Id>(queue::Id()) : spilt.error());
}

TEST_F(SubmitterTest, AbandonedMessageLeavesNothing) {
  start();
  Sending sending(body_of(600'000));
  group.spawn(abandon(*submitter, sending), "sender");
  ASSERT_TRUE(turn_until(loop, [&] { return qmgr.dropped() == 1; }));
  EXPECT_TRUE(sending.result->ok());
  EXPECT_EQ(qmgr.files_open(), 0);
  EXPECT_TRUE(qmgr.mails().empty());
}

struct HeadCase {
  std::string_view name, head, content;
};
class Heads : public testing::TestWithParam<HeadCase> {};
TEST_P(Heads, FactsAreThoseOfTheWhole) {
  const std::string whole = std::string(GetParam().head) + std::string(GetParam().content);
  EXPECT_EQ(with_head(facts_of(GetParam().content), GetParam().head), facts_of(whole));
}
INSTANTIATE_TEST_SUITE_P(
    Facts, Heads,
    testing::ValuesIn<HeadCase>({
        {"header_and_body", "Received: a\r\n\tb\r\n", "Received: x\r\nSubject: s\r\n\r\n.dot\r\n"},
        {"no_body", "Received: a\r\n", "Subject: s\r\n"},
        {"empty", "Received: a\r\n", ""},
        {"body_only", "Received: a\r\n\r\n", "Received: no header\r\n\xc3\xa4\r\n\r\nx\r\n"},
        {"no_last_newline", "Received: aaaaaaaaaaaaaaa\r\n", "\r\nx"},
    }),
    [](const auto& c) { return std::string(c.param.name); });

} // namespace
} // namespace postrider::submit
