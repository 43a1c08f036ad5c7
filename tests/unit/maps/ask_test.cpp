// SPDX-License-Identifier: MIT
#include "maps/ask.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/manual_clock.hpp"
#include "support/run_task.hpp"

namespace postrider::maps {
namespace {

using testing::ElementsAre;
using Found = std::optional<std::string>;

// Knows "a" and "b"; each answer takes a moment.
class SlowMap final : public WaitingMap {
 public:
  ev::Task<Answer> fetch(ev::Loop& loop, std::string_view key, ev::Deadline deadline) override {
    asked.emplace_back(key);
    const ev::Deadline ready = loop.after(std::chrono::milliseconds(1));
    if (deadline.time() < ready.time()) co_return Error(ErrorKind::timeout, "too slow");
    Result<void> slept = co_await ev::SleepUntil(loop, ready);
    if (!slept) co_return slept.error();
    if (key == "a" || key == "b") co_return Found("<" + std::string(key) + ">");
    if (key == "trouble") co_return Error(ErrorKind::io, "trouble");
    co_return Found();
  }
  std::vector<std::string> asked;
};

class AskTest : public testing::Test {
 protected:
  Result<std::string> run(const std::function<Result<std::string>()>& question,
                          ev::Deadline deadline = ev::Deadline::never()) {
    return test::run_task<Result<std::string>>(
        loop_, [&] { return ask<std::string>(loop_, question, deadline); });
  }
  ev::Loop loop_;
  SlowMap map_;
};

TEST_F(AskTest, AQuestionThatNeedsNoWaitIsCalledOnce) {
  int calls = 0;
  const auto answer = run([&]() -> Result<std::string> {
    ++calls;
    return std::string("at once");
  });
  EXPECT_EQ(*answer, "at once");
  EXPECT_EQ(calls, 1);
}

TEST_F(AskTest, AnswersAreWaitedForOneByOne) {
  const auto answer = run([&]() -> Result<std::string> {
    POSTRIDER_TRY(const Found none, map_.lookup("c"));
    POSTRIDER_TRY(const Found a, map_.lookup("a"));
    POSTRIDER_TRY(const Found b, map_.lookup("b"));
    POSTRIDER_TRY(const Found again, map_.lookup("a"));
    return (none ? "?" : "-") + *a + *b + *again;
  });
  EXPECT_EQ(*answer, "-<a><b><a>");
  EXPECT_THAT(map_.asked, ElementsAre("c", "a", "b"));
}

TEST_F(AskTest, AnErrorOfTheTableIsAnAnswer) {
  const auto answer = run([&]() -> Result<std::string> {
    auto a = map_.lookup("trouble");
    return a.ok() ? std::string("?") : a.error().text();
  });
  EXPECT_EQ(*answer, "trouble");
}

TEST_F(AskTest, AQuestionThatHidesTheErrorIsAskedAgainAllTheSame) {
  const auto answer = run([&]() -> Result<std::string> {
    auto a = map_.lookup("a");
    return a.ok() ? a->value_or("none") : std::string("hidden");
  });
  EXPECT_EQ(*answer, "<a>");
}

TEST_F(AskTest, TheDeadlineReachesTheTable) {
  const auto answer = run(
      [&]() -> Result<std::string> {
        POSTRIDER_TRY(const Found a, map_.lookup("a"));
        return *a;
      },
      ev::Deadline::at(loop_.now()));
  EXPECT_EQ(answer.error().kind(), ErrorKind::timeout);
}

TEST_F(AskTest, CancellationEndsTheQuestion) {
  struct Runner {
    static ev::RootTask run(ev::Loop& loop, SlowMap& map, std::optional<Error>& out) {
      const std::function<Answer()> question = [&] { return map.lookup("a"); };
      Answer answer = co_await ask<Found>(loop, question, ev::Deadline::never());
      if (!answer) out = answer.error();
    }
  };
  std::optional<Error> ended;
  ev::Group group(loop_);
  group.spawn(Runner::run(loop_, map_, ended), "test");
  while (map_.asked.empty())
    loop_.turn(false);
  group.cancel();
  while (!group.empty())
    loop_.turn(false);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->kind(), ErrorKind::cancelled);
}

TEST_F(AskTest, TooManyLookupsOfOneQuestionAreALimit) {
  class Countless final : public WaitingMap {
   public:
    ev::Task<Answer> fetch(ev::Loop&, std::string_view, ev::Deadline) override {
      co_return Found();
    }
  } map;
  int next = 0;
  const auto answer = run([&]() -> Result<std::string> {
    POSTRIDER_TRY(const Found none, map.lookup(std::to_string(++next)));
    return none.value_or("none");
  });
  EXPECT_EQ(answer.error().kind(), ErrorKind::limit);
}

TEST_F(AskTest, OutsideOfAskALookupIsAnErrorAndNothingIsAsked) {
  EXPECT_EQ(map_.lookup("a").error().kind(), ErrorKind::busy);
  EXPECT_TRUE(map_.asked.empty());
}

} // namespace
} // namespace postrider::maps
