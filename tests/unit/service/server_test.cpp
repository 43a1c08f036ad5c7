// SPDX-License-Identifier: MIT
#include "service/server.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "net/tcp_stream.hpp"
#include "support/run_task.hpp"

namespace postrider::service {
namespace {

using namespace std::chrono_literals;

constexpr ev::Deadline kNow = ev::Deadline::at(SteadyTime()); // what is there already

struct Say {
  static constexpr std::uint16_t kType = 900;
  std::string text;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("text", s.text);
  }
};

// Echoes at once, or later when the text begins with "later"; "bad" is a breach.
struct Echo final : Handler {
  ev::Loop& loop;
  ev::Condition go;
  int gone = 0;
  explicit Echo(ev::Loop& l) : loop(l), go(l) {}
  Result<void> take(Peer& peer, ipc::Frame& frame) override {
    POSTRIDER_TRY(Say said, ipc::as<Say>(frame));
    if (said.text == "bad") return Error(ErrorKind::protocol, "a breach");
    if (said.text.starts_with("later"))
      peer.tasks.spawn(later(*this, peer, std::move(said)), "later");
    else
      peer.channel.send(said);
    return {};
  }
  static ev::RootTask later(Echo& echo, Peer& peer, Say said) {
    Result<void> woken = co_await echo.go.wait(ev::Deadline::never());
    if (woken) peer.channel.send(said);
  }
  void left(Peer&) override { ++gone; }
};

struct Stage {
  ev::Loop loop;
  Echo echo{loop};
  Server server{loop, echo, ServerSetup{.protocol = "echo", .version = 2, .most_tasks = 2}};

  std::unique_ptr<ipc::Channel> connect() {
    auto fds = net::socket_pair();
    daemon::Client client;
    client.fd = std::move(fds->first);
    server.accept(std::move(client));
    return std::make_unique<ipc::Channel>(loop, std::move(fds->second));
  }
  void turns() {
    for (int i = 0; i < 20; ++i)
      loop.turn(false);
  }
  // What has arrived at a client: "text", "Hello", or the kind of the error that ended it.
  std::string next(ipc::Channel& client) {
    turns();
    auto task = [&]() { return receive(client); };
    const Result<std::string> got = test::run_task<Result<std::string>>(loop, task);
    return got ? *got : std::string(to_string(got.error().kind()));
  }
  static ev::Task<Result<std::string>> receive(ipc::Channel& client) {
    Result<ipc::Frame> frame = co_await client.receive(kNow);
    if (!frame) co_return frame.error();
    const Result<ipc::Hello> hello = ipc::as<ipc::Hello>(*frame);
    if (hello) co_return hello->protocol + " " + std::to_string(hello->version);
    const Result<Say> said = ipc::as<Say>(*frame);
    co_return said ? said->text : "?";
  }
};

TEST(Server, GreetsAndAnswers) {
  Stage stage;
  auto client = stage.connect();
  client->send(Say{.text = "one"});
  EXPECT_EQ(stage.next(*client), "echo 2");
  EXPECT_EQ(stage.next(*client), "one");
  EXPECT_EQ(stage.server.clients(), 1u);
  client.reset();
  stage.turns();
  EXPECT_EQ(stage.server.clients(), 0u);
  EXPECT_EQ(stage.echo.gone, 1);
}

TEST(Server, SendsAwayWhoMisbehavesAndNobodyElse) {
  Stage stage;
  auto good = stage.connect();
  auto bad = stage.connect();
  auto worse = stage.connect();
  EXPECT_EQ(stage.next(*bad), "echo 2");
  EXPECT_EQ(stage.next(*good), "echo 2");
  bad->send(Say{.text = "bad"});
  const std::string garbage(4096, '\xff');
  ASSERT_EQ(::send(worse->fd(), garbage.data(), garbage.size(), 0), 4096);
  EXPECT_EQ(stage.next(*bad), "closed");
  EXPECT_EQ(stage.server.clients(), 1u);
  good->send(Say{.text = "still here"});
  EXPECT_EQ(stage.next(*good), "still here");
}

TEST(Server, TasksOfAClientEndWithIt) {
  Stage stage;
  auto client = stage.connect();
  client->send(Say{.text = "later"});
  stage.turns();
  client.reset();
  stage.turns();
  EXPECT_FALSE(stage.echo.go.has_waiters());
  EXPECT_EQ(stage.echo.gone, 1);
}

TEST(Server, ReadsNoFurtherThanItMayWork) {
  Stage stage;
  auto client = stage.connect();
  for (const char* text : {"later 1", "later 2", "at once"})
    client->send(Say{.text = text});
  EXPECT_EQ(stage.next(*client), "echo 2");
  EXPECT_EQ(stage.next(*client), "timeout");
  stage.echo.go.notify_all();
  EXPECT_EQ(stage.next(*client), "later 1");
  EXPECT_EQ(stage.next(*client), "later 2");
  EXPECT_EQ(stage.next(*client), "at once");
}

TEST(Server, DrainsBehindTheAnswersThatAreOwed) {
  Stage stage;
  auto idle = stage.connect();
  auto waiting = stage.connect();
  waiting->send(Say{.text = "later"});
  EXPECT_EQ(stage.next(*waiting), "echo 2");
  EXPECT_EQ(stage.next(*idle), "echo 2");
  stage.server.drain(daemon::Drain::retire);
  EXPECT_EQ(stage.next(*idle), "closed");
  EXPECT_EQ(stage.next(*waiting), "timeout");
  stage.echo.go.notify_all();
  EXPECT_EQ(stage.next(*waiting), "later");
  EXPECT_EQ(stage.next(*waiting), "closed");
  EXPECT_EQ(stage.server.clients(), 0u);
}

} // namespace
} // namespace postrider::service
