// SPDX-License-Identifier: MIT
// ClientCounts against a service whose every move the test makes.
#include "service/client_counts.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "net/address.hpp"
#include "net/tcp_stream.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::service {
namespace {

using namespace std::chrono_literals;
using proto::ClientEvent;

constexpr ev::Deadline kNow = ev::Deadline::at(SteadyTime());

struct Stage {
  test::ManualClock clock;
  ev::Loop loop{clock};
  test::ScratchDir dir;
  std::string path = dir.path() + "/anvil";
  Fd listener = std::move(*net::listen(*net::Address::unix_path(path), {}));
  std::unique_ptr<ipc::Channel> service;
  ev::Group calls{loop};
  std::string result = "waits";
  ClientCounts counts{loop, {.service = "anvil", .timeout = 2s, .sockets = {path}}};

  ~Stage() {
    calls.close();
    calls.tear_down();
  }
  void turns() {
    for (int i = 0; i < 20; ++i)
      loop.turn(false);
  }
  void ask(bool look) {
    calls.spawn(ask_one(*this, look), "call");
    turns();
  }
  static ev::RootTask ask_one(Stage& stage, bool look) {
    const std::string service = "smtp";
    const std::string client = "192.0.2.1";
    Result<ClientCount> seen = Error(ErrorKind::busy, "");
    if (look)
      seen = co_await stage.counts.look(service, client, ClientEvent::tls_session);
    else
      seen = co_await stage.counts.count(service, client, ClientEvent::connection);
    stage.result = seen ? std::to_string(seen->connections) + " " + std::to_string(seen->rate)
                        : std::string(to_string(seen.error().kind()));
  }
  void accept() {
    Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    ASSERT_TRUE(fd);
    service = std::make_unique<ipc::Channel>(loop, std::move(fd));
    service->send(ipc::Hello{.protocol = "anvil", .version = 1});
    turns();
  }
  template <typename T>
  T request() {
    Result<ipc::Frame> frame =
        test::run_task<Result<ipc::Frame>>(loop, [this] { return service->receive(kNow); });
    EXPECT_TRUE(frame.ok());
    Result<T> read = frame ? ipc::as<T>(*frame) : Result<T>(frame.error());
    EXPECT_TRUE(read.ok());
    return read ? std::move(*read) : T();
  }
};

TEST(ClientCountsTest, AsksAndTells) {
  Stage stage;
  stage.ask(false);
  stage.accept();
  const auto counted = stage.request<proto::CountClient>();
  EXPECT_EQ(counted.service, "smtp");
  EXPECT_EQ(counted.client, "192.0.2.1");
  EXPECT_EQ(counted.event, ClientEvent::connection);
  EXPECT_FALSE(counted.only_asks);
  stage.service->send(proto::ClientCount{counted.number, 2, 7});
  stage.turns();
  EXPECT_EQ(stage.result, "2 7");
  stage.ask(true);
  EXPECT_TRUE(stage.request<proto::CountClient>().only_asks);
  stage.counts.left("smtp", "192.0.2.1");
  stage.turns();
  EXPECT_EQ(stage.request<proto::ClientLeft>().client, "192.0.2.1");
}

TEST(ClientCountsTest, WithoutAnAnswerNothingIsKnown) {
  Stage stage;
  stage.ask(false);
  stage.accept();
  stage.clock.advance(2s);
  stage.turns();
  EXPECT_EQ(stage.result, "timeout");
  stage.service.reset();
  stage.listener.reset();
  stage.turns();
  stage.ask(true);
  EXPECT_EQ(stage.result, "not_found");
}

TEST(ClientCountsTest, AnAnswerOfAnotherKindIsNone) {
  Stage stage;
  stage.ask(false);
  stage.accept();
  proto::CountClient wrong;
  wrong.number = stage.request<proto::CountClient>().number;
  stage.service->send(wrong);
  stage.turns();
  EXPECT_EQ(stage.result, "protocol");
}

} // namespace
} // namespace postrider::service
