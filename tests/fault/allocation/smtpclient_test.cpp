// SPDX-License-Identifier: MIT
// A delivery agent delivers one message, and the Nth allocation fails: qmgr is told nothing that
// the server did not say, and of a message that the server may have it knows so.
#include <gmock/gmock.h>
#include <sys/mman.h>

#include "ipc/channel.hpp"
#include "smtpclient/agent.hpp"
#include "trial.hpp"
#include "unit/smtpclient/delivering.hpp"

namespace postrider::smtpclient {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kSlots = 2;
constexpr std::uint32_t kSlot = 1; // of deliver()

void run_agent(Fd connection) {
  ev::Loop loop;
  test::FakeDns dns(loop, "");
  ClientSetup setup;
  test::Trial::begin();
  bool gone = false;
  Agent agent(loop, setup, dns, nullptr, "smtp", [&] { gone = true; });
  agent.serve(std::move(connection));
  while (!gone)
    loop.turn(true);
  agent.stop();
}

// qmgr's end of the conversation.
class Qmgr {
 public:
  Qmgr(ev::Loop& loop, Fd fd) : loop_(loop), channel_(loop, std::move(fd)) {
    board_ = Fd(::memfd_create("board", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(board_.get(), proto::board_size(kSlots)), 0);
  }
  void request(const Message& message, const std::string& nexthop) {
    proto::Board board;
    board.slots = kSlots;
    channel_.send(board, board_.duplicate().value());
    proto::OpenContent open;
    open.handle = 5;
    channel_.send(open, message.file.duplicate().value());
    channel_.send(deliver(message, nexthop));
  }
  // Nothing when the agent has gone.
  std::optional<proto::Delivered> answer() {
    while (true) {
      auto frame = test::run_task<Result<ipc::Frame>>(loop_, [&] { return next(*this); });
      if (!frame) {
        EXPECT_NE(frame.error().kind(), ErrorKind::timeout) << "no answer";
        return {};
      }
      if (frame->type == proto::Delivered::kType) return *ipc::as<proto::Delivered>(*frame);
      EXPECT_THAT(frame->type, testing::AnyOf(std::uint16_t{ipc::Hello::kType},
                                              std::uint16_t{proto::Ready::kType}));
    }
  }
  proto::SlotState state() const {
    std::uint8_t byte = 0;
    EXPECT_EQ(::pread(board_.get(), &byte, 1, kSlot), 1);
    return static_cast<proto::SlotState>(byte);
  }
  void leave() { channel_.close(); }

 private:
  static ev::Task<Result<ipc::Frame>> next(Qmgr& self) {
    Result<ipc::Frame> frame = co_await self.channel_.receive(self.loop_.after(20s));
    co_return frame;
  }
  ev::Loop& loop_;
  ipc::Channel channel_;
  Fd board_;
};

// Whether an allocation failed.
bool play(std::int64_t n) {
  ev::Loop loop;
  test::PlayServer server(loop, "127.0.0.1");
  server.then(kHello + envelope({"250 ok", "550 5.1.1 no", "451 4.2.0 later"}) + kBody + kQuit);
  const Message message(kText, 3);
  auto pair = net::socket_pair();
  test::Trial trial(n, [&](test::TrialPage&) {
    pair->second.reset();
    run_agent(std::move(pair->first));
  });
  pair->first.reset();
  ev::FdWatch end(
      loop, trial.pidfd(), [](void*, bool, bool) {}, nullptr);
  Qmgr qmgr(loop, std::move(pair->second));
  qmgr.request(message, "[127.0.0.1]:" + std::to_string(server.port()));
  const std::optional<proto::Delivered> answer = qmgr.answer();
  qmgr.leave();
  EXPECT_TRUE(test::turn_until(loop, [&] { return trial.ended(); }));
  trial.judge();
  for (int i = 0; i < 10; ++i)
    loop.turn(false); // what it sent at last
  EXPECT_TRUE(answer || trial.has_failed());
  const bool arrived = !server.messages().empty();
  if (arrived) {
    EXPECT_THAT(server.messages(), testing::ElementsAre(kText));
    EXPECT_EQ(qmgr.state(), proto::SlotState::in_doubt);
  }
  if (answer) {
    std::vector<Verdict> verdicts;
    for (const mail::Outcome& outcome : answer->outcomes)
      verdicts.push_back(outcome.verdict);
    const std::vector<Verdict> all(3, Verdict::deferred);
    const std::vector<Verdict> done = {Verdict::delivered, Verdict::bounced, Verdict::deferred};
    if (arrived)
      EXPECT_EQ(verdicts, done);
    else
      EXPECT_EQ(verdicts, all);
  }
  return trial.has_failed();
}

TEST(FailingAllocation, OfAnAgentIsNoDelivery) { test::try_allocations(1, play); }

} // namespace
} // namespace postrider::smtpclient
