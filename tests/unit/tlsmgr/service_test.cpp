// SPDX-License-Identifier: MIT
// The service and TlsManager, the client side of it, over a socket.
#include "service.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tcp_stream.hpp"
#include "service/ticket_keys.hpp"
#include "service/tls_manager.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tlsmgr {
namespace {

using namespace std::chrono_literals;
using proto::HostTls;
using service::TlsManager;

struct Stage {
  test::ManualClock clock;
  ev::Loop loop{clock};
  test::ScratchDir dir;
  std::string path = dir.path() + "/tlsmgr";
  Fd listener;
  std::unique_ptr<Service> service;
  ev::Group accepting{loop};
  bool stop = false;

  void start() {
    CacheOptions options;
    options.sessions[0] = {dir.path() + "/sessions.lmdb", 1h};
    options.memory_file = dir.path() + "/memory.lmdb";
    options.memory_time = 24h;
    options.ticket_file = dir.path() + "/tickets.lmdb";
    options.ticket_period = 1h;
    service = std::make_unique<Service>(loop, options, StsOptions());
    if (!listener) listener = std::move(*net::listen(*net::Address::unix_path(path), {}));
  }
  // As a crash does.
  void kill() {
    service.reset();
    clock.advance(1s);
  }
  void turns() {
    for (int i = 0; i < 30; ++i) {
      if (service) {
        daemon::Client client;
        client.fd = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (client.fd) service->accept(std::move(client));
      }
      loop.turn(false);
    }
  }
  std::unique_ptr<TlsManager> manager() {
    service::TlsManagerSetup setup;
    setup.sockets = {path};
    return std::make_unique<TlsManager>(loop, setup);
  }
  std::string take(TlsManager& manager, const std::string& key) {
    std::optional<std::string> out;
    accepting.spawn(take_one(manager, key, out), "take");
    while (!out)
      turns();
    return *out;
  }
  static ev::RootTask take_one(TlsManager& manager, std::string key,
                               std::optional<std::string>& out) {
    std::string session = co_await manager.take_session(key);
    out = std::move(session);
  }
  proto::HostMemory recall(TlsManager& manager, const std::string& host) {
    std::optional<proto::HostMemory> out;
    accepting.spawn(recall_one(manager, host, out), "recall");
    while (!out)
      turns();
    return *out;
  }
  std::vector<std::string> keys(service::TicketKeys& tickets) {
    std::optional<std::vector<std::string>> out;
    accepting.spawn(get_keys(tickets, out), "ticket keys");
    while (!out)
      turns();
    return *out;
  }
  static ev::RootTask get_keys(service::TicketKeys& tickets,
                               std::optional<std::vector<std::string>>& out) {
    std::vector<std::string> keys = co_await tickets.get();
    out = std::move(keys);
  }
  static ev::RootTask recall_one(TlsManager& manager, std::string host,
                                 std::optional<proto::HostMemory>& out) {
    const proto::HostMemory memory = co_await manager.recall(host);
    out = memory;
  }
};

TEST(TlsManager, SessionsAreSharedByProcesses) {
  Stage stage;
  stage.start();
  auto one = stage.manager();
  auto two = stage.manager();
  one->put_session("host", "s");
  stage.turns();
  EXPECT_EQ(stage.take(*two, "host"), "s");
  EXPECT_EQ(stage.take(*one, "host"), "");
}

TEST(TicketKeys, AreSharedByProcessesAndGoOnForAPeriodWithoutTlsmgr) {
  Stage stage;
  service::TicketKeys one(stage.loop, "tlsmgr", {stage.path});
  EXPECT_TRUE(stage.keys(one).empty()) << "tlsmgr is away";
  stage.clock.advance(1s);
  stage.start();
  service::TicketKeys two(stage.loop, "tlsmgr", {stage.path});
  const std::vector<std::string> first = stage.keys(one);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(stage.keys(two), first);
  stage.clock.advance(1h);
  const std::vector<std::string> second = stage.keys(two);
  ASSERT_EQ(second.size(), 2U);
  EXPECT_EQ(second[1], first[0]);
  EXPECT_EQ(stage.keys(one), second);
  stage.kill();
  stage.listener = Fd();
  stage.clock.advance(1h);
  EXPECT_EQ(stage.keys(one), second);
  stage.clock.advance(1h);
  EXPECT_TRUE(stage.keys(one).empty()) << "what they made is too old";
}

TEST(TlsManager, AProcessHelpsItselfWhileTlsmgrIsAway) {
  Stage stage;
  auto manager = stage.manager();
  auto other = stage.manager();
  manager->put_session("host", "s");
  manager->remember("host", HostTls::verified);
  EXPECT_EQ(stage.take(*other, "host"), "");
  EXPECT_EQ(stage.take(*manager, "host"), "s");
  EXPECT_EQ(stage.take(*manager, "host"), "") << "once only";
  EXPECT_EQ(stage.recall(*manager, "host").level, HostTls::verified);
  manager->remember("host", HostTls::none);
  EXPECT_EQ(stage.recall(*manager, "host").missing_since, to_unix_micros(stage.clock.wall()));
}

TEST(TlsManager, TakesUpWithTlsmgrWhenItComesBack) {
  Stage stage;
  stage.start();
  auto manager = stage.manager();
  manager->put_session("host", "before");
  manager->remember("host", HostTls::trusted);
  EXPECT_EQ(stage.recall(*manager, "host").level, HostTls::trusted);
  stage.kill();
  EXPECT_EQ(stage.take(*manager, "other"), "");
  stage.clock.advance(10s);
  stage.start();
  EXPECT_EQ(stage.take(*manager, "host"), "before") << "the file has outlived its owner";
  EXPECT_EQ(stage.recall(*manager, "host").level, HostTls::trusted);
}

TEST(TlsManager, OwnSessionsAreBounded) {
  Stage stage;
  auto manager = stage.manager();
  for (std::size_t i = 0; i <= TlsManager::kMostKeys; ++i)
    manager->put_session("host" + std::to_string(i), "s");
  EXPECT_EQ(stage.take(*manager, "host0"), "");
  EXPECT_EQ(stage.take(*manager, "host1"), "s");
  for (std::size_t i = 0; i <= TlsManager::kMostSessions; ++i)
    manager->put_session("one", std::to_string(i));
  for (std::size_t i = TlsManager::kMostSessions; i > 0; --i)
    EXPECT_EQ(stage.take(*manager, "one"), std::to_string(i));
  EXPECT_EQ(stage.take(*manager, "one"), "");
  manager->put_session("late", "s");
  stage.clock.advance(2h);
  EXPECT_EQ(stage.take(*manager, "late"), "");
}

TEST(TlsManager, WhatIsTooLargeIsNotSent) {
  Stage stage;
  stage.start();
  auto manager = stage.manager();
  manager->put_session("host", std::string(proto::kLongestTlsSession + 1, 's'));
  manager->put_session(std::string(proto::kLongestTlsKey + 1, 'k'), "s");
  manager->put_session("host", "good");
  stage.turns();
  EXPECT_EQ(stage.take(*manager, "host"), "good");
  EXPECT_EQ(stage.take(*manager, std::string(proto::kLongestTlsKey + 1, 'k')), "");
}

// Requests that no program of the suite makes: the sender loses its connection, the service lives.
struct BadRequest {
  std::string_view name;
  void (*send)(ipc::Channel&);
};
class TlsmgrBadRequest : public testing::TestWithParam<BadRequest> {};
TEST_P(TlsmgrBadRequest, EndsThatConversation) {
  Stage stage;
  stage.start();
  auto fds = net::socket_pair();
  daemon::Client client;
  client.fd = std::move(fds->first);
  stage.service->accept(std::move(client));
  ipc::Channel bad(stage.loop, std::move(fds->second));
  GetParam().send(bad);
  stage.turns();
  struct Read {
    static ev::Task<Result<void>> to_the_end(ipc::Channel& channel) {
      while (true) {
        Result<ipc::Frame> frame = co_await channel.receive(ev::Deadline::never());
        if (!frame) co_return frame.error();
      }
    }
  };
  const auto ended =
      test::run_task<Result<void>>(stage.loop, [&] { return Read::to_the_end(bad); });
  EXPECT_EQ(ended.error().kind(), ErrorKind::closed);
  auto good = stage.manager();
  good->put_session("host", "s");
  EXPECT_EQ(stage.take(*good, "host"), "s");
}
INSTANTIATE_TEST_SUITE_P(Hostile, TlsmgrBadRequest,
                         testing::ValuesIn<BadRequest>({
                             {"NoKey", [](ipc::Channel& c) { c.send(proto::TakeSession()); }},
                             {"LongKey",
                              [](ipc::Channel& c) {
                                proto::TakeSession request;
                                request.key = std::string(proto::kLongestTlsKey + 1, 'k');
                                c.send(request);
                              }},
                             {"NoSession",
                              [](ipc::Channel& c) {
                                proto::PutSession message;
                                message.key = "k";
                                c.send(message);
                              }},
                             {"LargeSession",
                              [](ipc::Channel& c) {
                                proto::PutSession message;
                                message.key = "k";
                                message.session = std::string(proto::kLongestTlsSession + 1, 's');
                                c.send(message);
                              }},
                             {"AnAnswer", [](ipc::Channel& c) { c.send(proto::Session()); }},
                             {"GarbledField",
                              [](ipc::Channel& c) {
                                proto::RememberHost message;
                                message.host = "h";
                                message.level = static_cast<HostTls>(99);
                                c.send(message);
                              }},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

// Answers that tlsmgr never gives.
struct BadAnswer {
  std::string_view name;
  void (*send)(ipc::Channel&);
};
class TlsManagerBadAnswer : public testing::TestWithParam<BadAnswer> {};
TEST_P(TlsManagerBadAnswer, IsNoSession) {
  Stage stage;
  stage.listener = std::move(*net::listen(*net::Address::unix_path(stage.path), {}));
  auto manager = stage.manager();
  std::optional<std::string> out;
  stage.accepting.spawn(Stage::take_one(*manager, "host", out), "take");
  stage.turns();
  Fd fd(::accept4(stage.listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  ipc::Channel evil(stage.loop, std::move(fd));
  evil.send(ipc::Hello{.protocol = "tlsmgr", .version = proto::kTlsmgrVersion});
  GetParam().send(evil);
  stage.turns();
  stage.clock.advance(3s);
  stage.turns();
  EXPECT_EQ(out, "");
}
INSTANTIATE_TEST_SUITE_P(Hostile, TlsManagerBadAnswer,
                         testing::ValuesIn<BadAnswer>({
                             {"NothingAtAll", [](ipc::Channel&) {}},
                             {"AnotherType",
                              [](ipc::Channel& c) {
                                proto::HostMemory answer;
                                answer.number = 1;
                                c.send(answer);
                              }},
                             {"AnotherNumber",
                              [](ipc::Channel& c) {
                                proto::Session answer;
                                answer.number = 2;
                                answer.session = "x";
                                c.send(answer);
                              }},
                             {"TheEnd", [](ipc::Channel& c) { c.close(); }},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

} // namespace
} // namespace postrider::tlsmgr
