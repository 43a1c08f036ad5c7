// SPDX-License-Identifier: MIT
// The agent as qmgr sees it: one outcome per recipient, and no wrong frame brings it down.
#include "smtpclient/agent.hpp"

#include <sys/mman.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.hpp"
#include "stored_message.hpp"
#include "support/fake_dns.hpp"
#include "support/play_server.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {
namespace {

using namespace std::chrono_literals;
using test::expect;
using test::expect_data;
using test::send;

constexpr std::uint32_t kSlots = 4;

class Serving : public testing::Test {
 protected:
  void SetUp() override {
    setup.options.use_ipv6 = false;
    setup.options.capacity = 10;
    agent = std::make_unique<Agent>(loop, setup, dns, nullptr, "smtp", [this] { ++gone; });
    auto pair = net::socket_pair();
    ASSERT_TRUE(pair);
    qmgr = std::make_unique<ipc::Channel>(loop, std::move(pair->first));
    agent->serve(std::move(pair->second));
    board = Fd(memfd_create("board", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(board.get(), proto::board_size(kSlots)), 0);
    bytes = static_cast<std::uint8_t*>(mmap(nullptr, proto::board_size(kSlots),
                                            PROT_READ | PROT_WRITE, MAP_SHARED, board.get(), 0));
  }
  void TearDown() override {
    agent->stop();
    agent.reset();
    munmap(bytes, proto::board_size(kSlots));
  }
  template <typename M>
  M receive() {
    auto got = test::run_task<Result<M>>(loop, [&] { return next<M>(*qmgr, loop.after(20s)); });
    EXPECT_TRUE(got) << got.error().text();
    return got ? std::move(*got) : M{};
  }
  template <typename M>
  static ev::Task<Result<M>> next(ipc::Channel& channel, ev::Deadline deadline) {
    Result<ipc::Frame> frame = co_await channel.receive(deadline);
    if (!frame) co_return frame.error();
    co_return ipc::as<M>(*frame);
  }
  void send_board(std::uint32_t slots = kSlots) {
    proto::Board message;
    message.slots = slots;
    qmgr->send(message, board.duplicate().value());
  }
  void send_content(const Message& message, std::uint64_t handle) {
    proto::OpenContent open;
    open.handle = handle;
    qmgr->send(open, message.file.duplicate().value());
  }
  // The agent ends the connection and is ready for the next.
  void expect_gone() {
    while (gone == 0)
      loop.turn(true);
    EXPECT_FALSE(agent->serving());
    EXPECT_EQ(agent->in_flight(), 0U);
  }

  ev::Loop loop;
  ClientSetup setup;
  test::FakeDns dns{loop, "mine.example MX 10 us.example\nus.example A 127.0.0.1\n"};
  std::unique_ptr<Agent> agent;
  std::unique_ptr<ipc::Channel> qmgr;
  Fd board;
  std::uint8_t* bytes = nullptr;
  int gone = 0;
};

TEST_F(Serving, DeliversAndReports) {
  test::PlayServer server(loop, "127.0.0.1");
  server.then({send("220 x\r\n"), expect("EHLO"), send("250 x\r\n"), expect("MAIL"),
               send("250 ok\r\n"), expect("RCPT"), send("250 ok\r\n"), expect("RCPT"),
               send("550 5.1.1 no\r\n"), expect("DATA"), send("354 go\r\n"), expect_data(),
               send("250 2.0.0 ok\r\n"), expect("QUIT")});
  EXPECT_EQ(receive<ipc::Hello>().protocol, "deliver");
  const auto ready = receive<proto::Ready>();
  EXPECT_EQ(ready.capacity, 10U);
  EXPECT_EQ(ready.program, "smtp");
  Message message("Subject: x\r\n\r\nHello\r\n", 2);
  message.envelope.recipients[0].notify = mail::notify_success;
  send_board();
  send_content(message, 5);
  qmgr->send(deliver(message, "[127.0.0.1]:" + std::to_string(server.port())));
  proto::CloseContent close;
  close.handle = 5;
  qmgr->send(close); // A2
  const auto delivered = receive<proto::Delivered>();
  EXPECT_EQ(delivered.slot, 1U);
  ASSERT_EQ(delivered.outcomes.size(), 2U);
  EXPECT_EQ(delivered.outcomes[0].verdict, mail::Verdict::delivered);
  EXPECT_EQ(delivered.outcomes[1].verdict, mail::Verdict::bounced);
  EXPECT_TRUE(delivered.relayed_without_dsn);
  // Delivered, and marked until the slot is used again.
  EXPECT_EQ(bytes[1], static_cast<std::uint8_t>(proto::SlotState::in_doubt));
  EXPECT_EQ(server.problem(), "");
  agent->retire(Pool::Leave::quit);
  EXPECT_EQ(receive<proto::Retiring>().kType, proto::Retiring::kType);
  expect_gone();
}

// shows: default_delivery_status_filter
TEST_F(Serving, TellsTheStatusThatTheFilterPutsInPlace) {
  auto table = maps::open_maps("static:{4.4.4 it may come back}", {});
  ASSERT_TRUE(table) << table.error().text();
  setup.tables.status_filter = std::move(*table);
  Message message("x\r\n", 1);
  send_board();
  send_content(message, 5);
  qmgr->send(deliver(message, "gone.example"));
  receive<ipc::Hello>();
  receive<proto::Ready>();
  const auto outcome = receive<proto::Delivered>().outcomes.at(0);
  EXPECT_EQ(outcome.verdict, mail::Verdict::deferred);
  EXPECT_EQ(outcome.dsn, "4.4.4");
  EXPECT_EQ(outcome.text, "it may come back");
}

// shows: best_mx_transport
TEST_F(Serving, PassesOnWhatItIsTheBestMxOf) {
  setup.options.best_mx_transport = "local:inbox";
  Message message("x\r\n", 2);
  send_board();
  send_content(message, 5);
  testing::internal::CaptureStderr();
  qmgr->send(deliver(message, "mine.example"));
  receive<ipc::Hello>();
  receive<proto::Ready>();
  const auto delivered = receive<proto::Delivered>();
  log::flush();
  const std::string logged = testing::internal::GetCapturedStderr();
  EXPECT_EQ(delivered.pass_to, "local:inbox");
  EXPECT_EQ(delivered.outcomes.size(), 2U);
  for (const mail::Recipient& recipient : message.envelope.recipients)
    EXPECT_NE(
        logged.find(kId.text() + ": passing <" + recipient.address + "> to transport=local\n"),
        std::string::npos)
        << logged;
  EXPECT_EQ(logged.find("status="), std::string::npos) << logged;
}

TEST_F(Serving, RetiresWhenTheLastDeliveryIsDone) {
  dns.hold();
  Message message("x\r\n", 1);
  send_board();
  send_content(message, 5);
  qmgr->send(deliver(message, "slow.example"));
  receive<ipc::Hello>();
  receive<proto::Ready>();
  while (agent->in_flight() == 0)
    loop.turn(true);
  EXPECT_EQ(bytes[1], static_cast<std::uint8_t>(proto::SlotState::working));
  agent->retire(Pool::Leave::quit);
  receive<proto::Retiring>();
  EXPECT_EQ(gone, 0);
  dns.release();
  EXPECT_EQ(receive<proto::Delivered>().outcomes.at(0).verdict, mail::Verdict::bounced);
  expect_gone();
}

TEST_F(Serving, EndsItsWorkWhenQmgrGoes) {
  dns.hold();
  Message message("x\r\n", 1);
  send_board();
  send_content(message, 5);
  qmgr->send(deliver(message, "slow.example"));
  while (agent->in_flight() == 0)
    loop.turn(true);
  qmgr.reset();
  expect_gone();
}

TEST_F(Serving, WrongFramesEndTheConnectionOnly) {
  Message message("x\r\n", 1);
  const std::vector<std::function<void()>> wrongs = {
      [&] { qmgr->send(deliver(message, "d.example")); }, // no board, no content
      [&] { send_board(5); },                             // larger than its file
      [&] { send_board(0); },
      [&] {
        send_board();
        qmgr->send(deliver(message, "d.example")); // content not open
      },
      [&] {
        send_board();
        send_content(message, 5);
        proto::Deliver d = deliver(message, "d.example");
        d.slot = 4;
        qmgr->send(d);
      },
      [&] {
        send_board();
        send_content(message, 5);
        proto::Deliver d = deliver(message, "d.example");
        d.recipient_indices.push_back(7);
        qmgr->send(d);
      },
      [&] {
        send_board();
        send_content(message, 5);
        proto::Deliver d = deliver(message, "d.example");
        d.envelope.sender = "a\r\nRCPT TO:<x@y>";
        qmgr->send(d);
      },
      [&] { qmgr->send(proto::OpenContent{}); }, // no descriptor
      [&] { qmgr->send(proto::Reported{}); },    // not for agents
  };
  for (const auto& wrong : wrongs) {
    gone = 0;
    wrong();
    expect_gone();
    auto pair = net::socket_pair();
    ASSERT_TRUE(pair);
    qmgr = std::make_unique<ipc::Channel>(loop, std::move(pair->first));
    agent->serve(std::move(pair->second));
  }
}

} // namespace
} // namespace postrider::smtpclient
