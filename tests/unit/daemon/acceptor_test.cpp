// SPDX-License-Identifier: MIT
#include "daemon/acceptor.hpp"

#include <cerrno>
#include <deque>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "net/tcp_stream.hpp"
#include "support/manual_clock.hpp"

namespace postrider::daemon {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

// What the next calls of accept return; empty: EAGAIN. 0 yields a descriptor.
std::deque<int> script;
int calls = 0;

int scripted_accept(int, Fd& client) {
  ++calls;
  if (script.empty()) return EAGAIN;
  const int result = script.front();
  script.pop_front();
  if (result == 0) client = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return result;
}

std::vector<Fd> listeners(std::size_t count) {
  std::vector<Fd> out;
  for (std::size_t i = 0; i < count; ++i) {
    auto fd = net::listen(*net::Address::parse_ip("127.0.0.1", 0), {});
    EXPECT_TRUE(fd.ok());
    out.push_back(std::move(*fd));
  }
  return out;
}

class AcceptorTest : public testing::Test {
 protected:
  void SetUp() override {
    script.clear();
    calls = 0;
  }
  void turns(int count = 3) {
    for (int i = 0; i < count; ++i)
      loop.turn(false);
  }
  test::ManualClock clock;
  ev::Loop loop{clock};
  int taken = 0;
  Acceptor acceptor{loop, listeners(1), [this](Fd, std::size_t) { ++taken; }, scripted_accept};
};

// Out of descriptors: one attempt per pause, not one per turn of the loop; the pause doubles.
TEST_F(AcceptorTest, ShortageOfDescriptorsBacksOffWithoutSpinning) {
  script.assign(1000, EMFILE);
  acceptor.resume();
  turns(50);
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(acceptor.backing_off());
  std::vector<int> after;
  for (const Duration pause : {50ms, 100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    clock.advance(pause - 1ms);
    turns(5);
    const int before = calls;
    clock.advance(1ms);
    turns(5);
    after.push_back(calls - before);
  }
  EXPECT_THAT(after, ElementsAre(1, 1, 1, 1, 1, 1, 1));
  EXPECT_EQ(calls, 8);
  EXPECT_EQ(taken, 0);
}

TEST_F(AcceptorTest, GoesOnWhenTheShortageIsOver) {
  script = {EMFILE, ENFILE, 0, 0};
  acceptor.resume();
  turns();
  clock.advance(50ms);
  turns();
  EXPECT_EQ(taken, 0);
  clock.advance(100ms);
  turns();
  EXPECT_EQ(taken, 2);
  EXPECT_FALSE(acceptor.backing_off());
}

TEST_F(AcceptorTest, TroubleOfOneConnectionDoesNotStopTheNext) {
  script = {ECONNABORTED, EINTR, EPERM, EHOSTUNREACH, 0};
  acceptor.resume();
  turns();
  EXPECT_EQ(taken, 1);
}

TEST_F(AcceptorTest, FloodLeavesTurnsToOthers) {
  script.assign(Acceptor::kBurst * 2 + 10, 0);
  acceptor.resume();
  turns(1);
  EXPECT_EQ(taken, Acceptor::kBurst);
  for (int i = 0; i < 3; ++i) {
    clock.advance(1ms);
    turns(1);
  }
  EXPECT_EQ(taken, Acceptor::kBurst * 2 + 10);
}

TEST_F(AcceptorTest, PausedTakesNothing) {
  script.assign(3, 0);
  turns();
  EXPECT_EQ(taken, 0);
  acceptor.resume();
  acceptor.pause();
  turns();
  EXPECT_EQ(taken, 0);
  acceptor.resume();
  turns();
  EXPECT_EQ(taken, 3);
}

TEST(Acceptor, HandlerMayCloseAndConnectionsNameTheirListener) {
  ev::Loop loop;
  auto sockets = listeners(2);
  const net::Address second = net::Address::local_of(sockets[1].get());
  std::vector<std::size_t> from;
  std::unique_ptr<Acceptor> acceptor;
  acceptor = std::make_unique<Acceptor>(loop, std::move(sockets), [&](Fd, std::size_t listener) {
    from.push_back(listener);
    acceptor->close();
  });
  acceptor->resume();
  const Fd one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(one.get(), second.raw(), second.raw_length()), 0);
  while (from.empty())
    loop.turn(true);
  EXPECT_THAT(from, ElementsAre(1u));
  const Fd two(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_NE(::connect(two.get(), second.raw(), second.raw_length()), 0);
}

} // namespace
} // namespace postrider::daemon
