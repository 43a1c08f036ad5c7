// SPDX-License-Identifier: MIT
// anvil as its clients see it.
#include "service.hpp"

#include <gtest/gtest.h>

#include "net/tcp_stream.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"

namespace postrider::anvil {
namespace {

using namespace std::chrono_literals;
using proto::ClientEvent;

constexpr ev::Deadline kNow = ev::Deadline::at(SteadyTime()); // what is there already

// "connections rate", the protocol of Hello, or the kind of the error that ended it.
ev::Task<std::string> receive(ipc::Channel& channel, std::uint64_t number) {
  Result<ipc::Frame> frame = co_await channel.receive(kNow);
  if (!frame) co_return std::string(to_string(frame.error().kind()));
  const auto hello = ipc::as<ipc::Hello>(*frame);
  if (hello) co_return hello->protocol;
  const auto count = ipc::as<proto::ClientCount>(*frame);
  if (!count || count->number != number) co_return "something else";
  co_return std::to_string(count->connections) + " " + std::to_string(count->rate);
}

class AnvilService : public testing::Test {
 protected:
  AnvilService() : service(loop, {.limits = {.unit = 60s, .clients = 100}, .status_time = 600s}) {}
  ~AnvilService() override { service.stop(); }

  std::unique_ptr<ipc::Channel> connect() {
    auto fds = net::socket_pair();
    daemon::Client client;
    client.fd = std::move(fds->first);
    service.accept(std::move(client));
    auto channel = std::make_unique<ipc::Channel>(loop, std::move(fds->second));
    EXPECT_EQ(next(*channel), "anvil");
    return channel;
  }
  void turns() {
    for (int i = 0; i < 30; ++i)
      loop.turn(false);
  }
  std::string next(ipc::Channel& channel) {
    turns();
    return test::run_task<std::string>(loop, [&] { return receive(channel, number); });
  }
  std::string count(ipc::Channel& channel, const std::string& client,
                    ClientEvent event = ClientEvent::connection, bool only_asks = false) {
    proto::CountClient request;
    request.number = ++number;
    request.service = "smtp";
    request.client = client;
    request.event = event;
    request.only_asks = only_asks;
    channel.send(request);
    return next(channel);
  }
  void leave(ipc::Channel& channel, const std::string& client) {
    proto::ClientLeft message;
    message.service = "smtp";
    message.client = client;
    channel.send(message);
    turns();
  }

  test::ManualClock clock;
  ev::Loop loop{clock};
  std::uint64_t number = 0;
  Service service;
};

TEST_F(AnvilService, ProcessesShareTheirCounts) {
  auto one = connect();
  auto other = connect();
  EXPECT_EQ(count(*one, "192.0.2.1"), "1 1");
  EXPECT_EQ(count(*other, "192.0.2.1"), "2 2");
  EXPECT_EQ(count(*other, "192.0.2.1", ClientEvent::message), "2 1");
  EXPECT_EQ(count(*one, "192.0.2.1", ClientEvent::message, true), "2 1");
  leave(*one, "192.0.2.1");
  EXPECT_EQ(count(*other, "192.0.2.2"), "1 1");
  EXPECT_EQ(count(*other, "192.0.2.1"), "2 3");
}

TEST_F(AnvilService, AProcessTakesItsConnectionsAlong) {
  auto one = connect();
  auto other = connect();
  count(*one, "192.0.2.1");
  count(*one, "192.0.2.1");
  count(*other, "192.0.2.1");
  one.reset();
  turns();
  EXPECT_EQ(count(*other, "192.0.2.1"), "2 4");
}

TEST_F(AnvilService, NobodyEndsTheConnectionsOfOthers) {
  auto one = connect();
  auto other = connect();
  count(*one, "192.0.2.1");
  for (int i = 0; i < 3; ++i)
    leave(*other, "192.0.2.1");
  leave(*other, "192.0.2.9");
  EXPECT_EQ(count(*other, "192.0.2.1"), "2 2");
}

TEST_F(AnvilService, RatesEndWithTheUnit) {
  auto one = connect();
  count(*one, "192.0.2.1", ClientEvent::auth);
  clock.advance(60s);
  EXPECT_EQ(count(*one, "192.0.2.1", ClientEvent::auth), "0 1");
}

TEST_F(AnvilService, WhoBreaksTheProtocolIsSentAway) {
  for (const std::string& client : {std::string(), std::string(256, 'a'), std::string("a\nb")}) {
    auto one = connect();
    EXPECT_EQ(count(*one, client), "closed") << client;
  }
  auto one = connect();
  one->send(ipc::Hello{.protocol = "anvil", .version = 1});
  EXPECT_EQ(next(*one), "closed");
  auto other = connect();
  EXPECT_EQ(count(*other, "192.0.2.1"), "1 1");
}

} // namespace
} // namespace postrider::anvil
