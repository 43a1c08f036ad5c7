// SPDX-License-Identifier: MIT
#include "child.hpp"

#include <csignal>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/manual_clock.hpp"

namespace postrider::master {
namespace {

using namespace std::chrono_literals;
using proto::ChildState;
using testing::ElementsAre;
using testing::IsEmpty;
using News = Child::News;

// A process that waits to be killed, and a Child that hears what the test says in its name.
class ChildTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    write = Fd(ends[1]);
    pid = ::fork();
    if (pid == 0) {
      while (true)
        ::pause();
    }
    child = std::make_unique<Child>(loop, pid, 7, Fd(ends[0]), 60s,
                                    [this](Child&, News what) { news.push_back(what); });
  }
  void TearDown() override {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  void say(ChildState state, std::uint32_t generation = 7, std::uint32_t as = 0) {
    const auto bytes = proto::to_bytes({.pid = as != 0 ? as : static_cast<std::uint32_t>(pid),
                                        .generation = generation,
                                        .state = state,
                                        .jail = 3,
                                        .clients = 5});
    raw(std::string_view(bytes.data(), bytes.size()));
  }
  void raw(std::string_view bytes) {
    ASSERT_EQ(::write(write.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    for (int i = 0; i < 3; ++i)
      loop.turn(false);
  }
  test::ManualClock clock;
  ev::Loop loop{clock};
  Fd write;
  pid_t pid = 0;
  std::vector<News> news;
  std::unique_ptr<Child> child;
};

TEST_F(ChildTest, FollowsWhatItSays) {
  EXPECT_LT(child->ready_for(), 0s);
  say(ChildState::ready);
  clock.advance(3s);
  EXPECT_EQ(child->ready_for(), 3s);
  say(ChildState::busy);
  say(ChildState::alive);
  say(ChildState::free);
  say(ChildState::leaving);
  EXPECT_THAT(news, ElementsAre(News::ready, News::busy, News::alive, News::free, News::leaving));
  EXPECT_EQ(child->state(), Child::State::leaving);
  EXPECT_EQ(child->clients(), 5u);
  EXPECT_EQ(child->jail(), 3u);
}

TEST_F(ChildTest, RecordsInPiecesAreOne) {
  const auto bytes = proto::to_bytes({.pid = static_cast<std::uint32_t>(pid), .generation = 7});
  for (const char byte : bytes)
    raw({&byte, 1});
  EXPECT_THAT(news, ElementsAre(News::ready));
}

// Each of these is a rumour that cannot be true.
TEST_F(ChildTest, IgnoresWhatCannotBe) {
  say(ChildState::busy);     // not ready yet
  say(ChildState::reloaded); // nobody asked
  say(ChildState::leaving);
  say(ChildState::ready, 8);                                      // another generation
  say(ChildState::ready, 7, static_cast<std::uint32_t>(pid) + 1); // another process
  std::string unknown(proto::kStatusRecordSize, '\xff');
  raw(unknown);
  EXPECT_THAT(news, IsEmpty());
  EXPECT_EQ(child->state(), Child::State::starting);
  say(ChildState::ready);
  say(ChildState::ready);
  say(ChildState::free);
  say(ChildState::reloaded);
  EXPECT_THAT(news, ElementsAre(News::ready));
  EXPECT_EQ(child->generation(), 7u);
}

TEST_F(ChildTest, PassesAnAccusationOnAndKeepsItsOwnState) {
  say(ChildState::ready);
  news.clear();
  say(ChildState::accuses); // process 5
  EXPECT_THAT(news, ElementsAre(News::accuses));
  EXPECT_EQ(child->accused(), 5);
  EXPECT_EQ(child->state(), Child::State::free);
  EXPECT_EQ(child->clients(), 5u) << "of `ready`";
}

// Records without end: master does other things in between.
TEST_F(ChildTest, OneThatNeverStopsTalkingIsReadInParts) {
  const auto bytes = proto::to_bytes(
      {.pid = static_cast<std::uint32_t>(pid), .generation = 7, .state = ChildState::accuses});
  ASSERT_GT(::fcntl(write.get(), F_SETPIPE_SZ, 1 << 20), 0);
  std::size_t written = 0;
  while (::write(write.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()))
    ++written;
  loop.turn(false);
  EXPECT_GT(news.size(), 0u);
  EXPECT_LT(news.size(), written);
  for (int i = 0; i < 200; ++i) {
    clock.advance(1ms);
    loop.turn(false);
  }
  EXPECT_EQ(news.size(), written);
}

TEST_F(ChildTest, NothingRevivesAChildThatLeaves) {
  say(ChildState::ready);
  say(ChildState::leaving);
  news.clear();
  for (const ChildState state : {ChildState::ready, ChildState::busy, ChildState::free,
                                 ChildState::reloaded, ChildState::leaving})
    say(state);
  EXPECT_THAT(news, IsEmpty());
  EXPECT_EQ(child->state(), Child::State::leaving);
}

TEST_F(ChildTest, ReloadedChildBelongsToTheNewGeneration) {
  say(ChildState::ready);
  ::kill(pid, SIGSTOP); // the signal below must not end it
  child->retire(8);
  EXPECT_EQ(child->generation(), 7u);
  say(ChildState::reloaded);
  EXPECT_EQ(child->generation(), 8u);
  EXPECT_FALSE(child->asked_to_go());
}

TEST_F(ChildTest, SilenceIsReported) {
  say(ChildState::ready);
  clock.advance(59s);
  loop.turn(false);
  say(ChildState::alive);
  clock.advance(59s);
  loop.turn(false);
  EXPECT_THAT(news, ElementsAre(News::ready, News::alive));
  clock.advance(2s);
  loop.turn(false);
  EXPECT_THAT(news, ElementsAre(News::ready, News::alive, News::hangs));
}

TEST_F(ChildTest, OneThatIsGivenUpLeavesWhateverItSays) {
  ::kill(pid, SIGSTOP); // takes SIGTERM no notice of
  say(ChildState::ready);
  child->give_up();
  EXPECT_TRUE(child->asked_to_go());
  say(ChildState::free);
  EXPECT_EQ(child->state(), Child::State::leaving);
  clock.advance(proto::kKillAfter + 1s);
  loop.turn(false);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_F(ChildTest, OneThatDoesNotStopIsKilled) {
  ::kill(pid, SIGSTOP); // takes SIGTERM no notice of
  child->stop();
  clock.advance(proto::kKillAfter - 1s);
  loop.turn(false);
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), 0);
  clock.advance(2s);
  loop.turn(false);
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  pid = ::fork();
  if (pid == 0) ::_exit(0);
}

} // namespace
} // namespace postrider::master
