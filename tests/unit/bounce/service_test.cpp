// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ev/condition.hpp"
#include "ipc/channel.hpp"
#include "net/tcp_stream.hpp"
#include "sample_request.hpp"
#include "support/run_task.hpp"

namespace postrider::bounce {
namespace {

constexpr std::string_view kOriginal = "Subject: hello\r\n\r\nDear Bob\r\n";
constexpr std::uint64_t kOffset = 100;

class FakeOutbox final : public Outbox {
 public:
  explicit FakeOutbox(ev::Loop& loop) : changed(loop) {}
  ev::Task<Result<queue::Id>> submit(const Composed& report) override {
    if (fails) co_return Error(ErrorKind::busy, "queue full");
    while (held) {
      ++waiting;
      Result<void> woken = co_await changed.wait(ev::Deadline::never(), "a segment");
      if (!woken) co_return woken.error();
    }
    sent.push_back(report);
    co_return queue::Id(1000 + sent.size());
  }
  std::vector<Composed> sent;
  bool fails = false;
  bool held = false; // as when no segment is there yet
  int waiting = 0;
  ev::Condition changed;
};

Fd content_file() {
  Fd fd(::memfd_create("content", MFD_CLOEXEC));
  const std::string bytes = std::string(kOffset, '#') + std::string(kOriginal) + "###";
  EXPECT_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  return Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); // as qmgr hands it over
}

class BounceService : public testing::Test {
 protected:
  BounceService() {
    options.letterhead.hostname = "relay.example.net";
    options.letterhead.origin = "example.net";
  }
  ~BounceService() override { finish(); }

  void connect() {
    service = std::make_unique<Service>(loop, outbox, real_file_system(), options);
    auto pair = net::socket_pair();
    ASSERT_TRUE(pair.ok());
    daemon::Client client;
    client.fd = std::move(pair->first);
    channel = std::make_unique<ipc::Channel>(loop, std::move(pair->second));
    service->accept(std::move(client));
    EXPECT_EQ(next<ipc::Hello>().protocol, "deliver");
    EXPECT_EQ(next<proto::Ready>().capacity, Service::kCapacity);
    proto::Board board;
    board.slots = Service::kCapacity;
    channel->send(board, Fd(::memfd_create("board", MFD_CLOEXEC)));
    proto::OpenContent open;
    open.handle = 5;
    channel->send(open, content_file());
  }

  Result<ipc::Frame> receive() {
    return test::run_task<Result<ipc::Frame>>(
        loop, [this] { return channel->receive(loop.after(std::chrono::seconds(10))); });
  }
  template <typename M>
  M next() {
    Result<ipc::Frame> frame = receive();
    EXPECT_TRUE(frame.ok()) << (frame ? "" : frame.error().text());
    if (!frame) return {};
    Result<M> message = ipc::as<M>(*frame);
    EXPECT_TRUE(message.ok()) << (message ? "" : message.error().text());
    return message ? *message : M{};
  }
  bool closed() { return !receive().ok(); }

  void finish() {
    if (!service) return;
    channel->close();
    service->stop();
    for (int i = 0; i < 8; ++i)
      loop.turn(false);
    service.reset();
    channel.reset();
  }

  static proto::Report report(std::uint32_t slot) {
    proto::Report out = sample_request(slot, kOriginal);
    out.content_offset = kOffset;
    return out;
  }

  ev::Loop loop;
  FakeOutbox outbox{loop};
  Options options;
  std::unique_ptr<Service> service;
  std::unique_ptr<ipc::Channel> channel;
};

TEST_F(BounceService, TellsThePostmasterOfASession) {
  options.errors_to = "admin";
  connect();
  proto::Notice notice;
  notice.slot = 3;
  notice.id = report(0).id;
  notice.notice_class = "protocol";
  notice.transcript = "In:  what\n";
  channel->send(notice);
  const auto answer = next<proto::Reported>();
  EXPECT_EQ(answer.slot, 3U);
  EXPECT_TRUE(answer.ok);
  ASSERT_EQ(outbox.sent.size(), 1U);
  EXPECT_EQ(outbox.sent[0].envelope.recipients[0].address, "admin@example.net");
  // Worth one try: the answer says what went wrong, and the slot is free again.
  outbox.fails = true;
  channel->send(notice);
  EXPECT_FALSE(next<proto::Reported>().ok);
}

TEST_F(BounceService, TellsNobodyWhenThereIsNobodyToTell) {
  connect();
  proto::Notice notice;
  notice.slot = 3;
  notice.transcript = "In:  what\n";
  channel->send(notice);
  EXPECT_TRUE(next<proto::Reported>().ok);
  EXPECT_TRUE(outbox.sent.empty());
}

TEST_F(BounceService, MakesAReportFromTheDescriptor) {
  connect();
  channel->send(report(9));
  const auto answer = next<proto::Reported>();
  EXPECT_EQ(answer.slot, 9U);
  EXPECT_TRUE(answer.ok);
  EXPECT_EQ(answer.report_id, 1001U);
  ASSERT_EQ(outbox.sent.size(), 1U);
  const Composed& sent = outbox.sent[0];
  EXPECT_THAT(sent.content,
              testing::HasSubstr("\r\n\r\nSubject: hello\r\n\r\nDear Bob\r\n\r\n--="));
  EXPECT_THAT(sent.content, testing::Not(testing::HasSubstr("###")));
  EXPECT_EQ(sent.envelope.recipients[0].address, "ann@example.com");
  EXPECT_THAT(sent.envelope.reported, testing::ElementsAre(2U));
}

TEST_F(BounceService, BoundariesDiffer) {
  connect();
  channel->send(report(1));
  channel->send(report(2));
  EXPECT_TRUE(next<proto::Reported>().ok);
  EXPECT_TRUE(next<proto::Reported>().ok);
  ASSERT_EQ(outbox.sent.size(), 2U);
  EXPECT_NE(outbox.sent[0].content, outbox.sent[1].content);
  EXPECT_NE(outbox.sent[0].envelope.message_id, outbox.sent[1].envelope.message_id);
}

TEST_F(BounceService, SaysWhyWhenTheQueueRefuses) {
  outbox.fails = true;
  connect();
  channel->send(report(1));
  const auto answer = next<proto::Reported>();
  EXPECT_FALSE(answer.ok);
  EXPECT_EQ(answer.text, "queue full");
}

TEST_F(BounceService, SenselessRequestIsAnsweredAndTheConversationGoesOn) {
  connect();
  proto::Report bad = report(1);
  bad.outcomes.clear();
  channel->send(bad);
  EXPECT_FALSE(next<proto::Reported>().ok);
  bad = report(2);
  bad.handle = 77;
  channel->send(bad);
  EXPECT_EQ(next<proto::Reported>().text, "content that was not opened");
  bad = report(3);
  bad.facts.size = 4000;
  channel->send(bad);
  EXPECT_EQ(next<proto::Reported>().text, "the original is shorter than it should be");
  channel->send(report(1));
  EXPECT_TRUE(next<proto::Reported>().ok);
  EXPECT_EQ(outbox.sent.size(), 1U);
}

TEST_F(BounceService, NullSenderGoesToThePostmaster) {
  connect();
  proto::Report about = report(1);
  about.envelope.sender.clear();
  about.send_to = "postmaster";
  channel->send(about);
  EXPECT_TRUE(next<proto::Reported>().ok);
  ASSERT_EQ(outbox.sent.size(), 1U);
  EXPECT_EQ(outbox.sent[0].envelope.sender, "double-bounce@relay.example.net");
  EXPECT_EQ(outbox.sent[0].envelope.recipients[0].address, "postmaster@example.net");
}

TEST_F(BounceService, CopiesGoToThePostmasterWhenAskedFor) {
  options.failure_copies_to = "postmaster";
  connect();
  channel->send(report(1));
  EXPECT_TRUE(next<proto::Reported>().ok);
  for (int i = 0; i < 8 && outbox.sent.size() < 2; ++i)
    loop.turn(false);
  ASSERT_EQ(outbox.sent.size(), 2U);
  EXPECT_EQ(outbox.sent[1].envelope.recipients[0].address, "postmaster@example.net");
  EXPECT_EQ(outbox.sent[1].envelope.report_for, "");
}

TEST_F(BounceService, BreachesOfTheProtocolEndTheConversation) {
  {
    connect();
    proto::Report beyond = report(Service::kCapacity);
    channel->send(beyond);
    EXPECT_TRUE(closed());
    finish();
  }
  {
    connect();
    channel->send(ipc::Hello());
    EXPECT_TRUE(closed());
    finish();
  }
  {
    connect();
    proto::OpenContent open;
    open.handle = 6;
    channel->send(open); // without a descriptor
    EXPECT_TRUE(closed());
    finish();
  }
}

// The next qmgr asks again: a report for the dead one must not follow when a segment comes.
TEST_F(BounceService, WhatIsNotCommittedWhenQmgrDiesNeverIs) {
  connect();
  outbox.held = true;
  channel->send(report(0));
  for (int i = 0; i < 1000 && outbox.waiting == 0; ++i)
    loop.turn(false);
  ASSERT_EQ(outbox.waiting, 1);
  channel->close();
  for (int i = 0; i < 8; ++i)
    loop.turn(false);
  outbox.held = false;
  outbox.changed.notify_all();
  for (int i = 0; i < 8; ++i)
    loop.turn(false);
  EXPECT_TRUE(outbox.sent.empty());
  EXPECT_EQ(service->pending(), 0U);
}

TEST_F(BounceService, DrainSaysRetiringAndCloses) {
  connect();
  for (int i = 0; i < 4; ++i)
    loop.turn(false);
  service->drain(daemon::Drain::retire);
  next<proto::Retiring>();
  EXPECT_TRUE(closed());
  EXPECT_EQ(service->pending(), 0U);
}

} // namespace
} // namespace postrider::bounce
