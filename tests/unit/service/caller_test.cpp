// SPDX-License-Identifier: MIT
#include "service/caller.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.hpp"
#include "net/tcp_stream.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::service {
namespace {

using namespace std::chrono_literals;

constexpr ev::Deadline kNow = ev::Deadline::at(SteadyTime()); // what is there already
using test::run_task;

struct Question {
  static constexpr std::uint16_t kType = 900;
  std::uint64_t number = 0;
  std::string text;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("text", s.text);
  }
};
struct Answer {
  static constexpr std::uint16_t kType = 901;
  std::uint64_t number = 0;
  std::string text;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("text", s.text);
  }
};
struct Unnumbered {
  static constexpr std::uint16_t kType = 902;
  std::string text;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("text", s.text);
  }
};

// A service whose every move the test makes.
struct Stage {
  test::ManualClock clock;
  ev::Loop loop{clock};
  test::ScratchDir dir;
  std::string path = dir.path() + "/helper";
  Fd listener;
  std::unique_ptr<ipc::Channel> service;
  std::vector<Question> asked;
  ev::Group calls{loop};
  std::vector<std::string> results;
  Caller caller{loop, CallerSetup{.name = "helper",
                                  .sockets = {dir.path() + "/nowhere", path},
                                  .protocol = "test",
                                  .version = 3,
                                  .timeout = 5s}};

  void listen() { listener = std::move(*net::listen(*net::Address::unix_path(path), {})); }
  void stop_listening() {
    listener.reset();
    ::unlink(path.c_str());
  }
  void turns() {
    for (int i = 0; i < 20; ++i)
      loop.turn(false);
  }
  bool accept(std::string protocol = "test", std::uint32_t version = 3) {
    Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return false;
    service = std::make_unique<ipc::Channel>(loop, std::move(fd));
    service->send(ipc::Hello{.protocol = std::move(protocol), .version = version});
    return true;
  }
  void ask(std::string text) {
    calls.spawn(ask_one(*this, std::move(text)), "call");
    turns();
  }
  static ev::RootTask ask_one(Stage& stage, std::string text) {
    Question question;
    question.text = text;
    Result<Reply> reply = co_await stage.caller.call(question);
    if (!reply) {
      stage.results.push_back(text + " -> " + std::string(to_string(reply.error().kind())));
      co_return;
    }
    const Result<Answer> answer =
        reply->fds.empty() ? reply->as<Answer>() : decode<Answer>(reply->body);
    stage.results.push_back(text + " = " + (answer ? answer->text : answer.error().text()) +
                            (reply->fds.empty() ? "" : " with a descriptor"));
  }
  // The questions that have arrived.
  std::size_t read() {
    const Result<std::size_t> n =
        run_task<Result<std::size_t>>(loop, [this] { return read_all(*this); });
    return *n;
  }
  static ev::Task<Result<std::size_t>> read_all(Stage& stage) {
    std::size_t n = 0;
    while (true) {
      Result<ipc::Frame> frame = co_await stage.service->receive(kNow);
      if (!frame) co_return n;
      stage.asked.push_back(*ipc::as<Question>(*frame));
      ++n;
    }
  }
  void answer(std::uint64_t number, std::string text, Fd fd = Fd()) {
    Answer out;
    out.number = number;
    out.text = std::move(text);
    if (fd)
      service->send(out, std::move(fd));
    else
      service->send(out);
    turns();
  }
  void pass(Duration time) {
    clock.advance(time);
    turns();
  }
};

using testing::ElementsAre;

TEST(Caller, AnswersComeInAnyOrder) {
  Stage stage;
  stage.listen();
  stage.ask("a");
  stage.ask("b");
  ASSERT_TRUE(stage.accept());
  EXPECT_FALSE(stage.accept()) << "one connection serves all calls";
  ASSERT_EQ(stage.read(), 2u);
  stage.answer(stage.asked[1].number, "second");
  stage.answer(stage.asked[0].number, "first", Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  EXPECT_THAT(stage.results, ElementsAre("b = second", "a = first with a descriptor"));
}

TEST(Caller, EndsAtOnceWhileTheServiceIsAwayAndTriesAgainAfterAPause) {
  Stage stage;
  stage.ask("a");
  EXPECT_THAT(stage.results, ElementsAre("a -> not_found"));
  stage.listen();
  stage.ask("b");
  EXPECT_EQ(stage.results.back(), "b -> not_found") << "the pause is not over";
  stage.pass(101ms);
  stage.ask("c");
  ASSERT_TRUE(stage.accept());
  ASSERT_EQ(stage.read(), 1u);
  stage.answer(stage.asked[0].number, "here");
  EXPECT_EQ(stage.results.back(), "c = here");
}

TEST(Caller, ThePauseDoublesUpToTenSeconds) {
  Stage stage;
  for (const auto pause : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms, 10000ms, 10000ms}) {
    EXPECT_FALSE(stage.caller.available());
    stage.listen();
    stage.pass(pause - 1ms);
    EXPECT_FALSE(stage.caller.available()) << pause.count();
    stage.stop_listening();
    stage.pass(1ms);
  }
}

TEST(Caller, WaitingCallsEndWithTheConnection) {
  Stage stage;
  stage.listen();
  stage.ask("a");
  ASSERT_TRUE(stage.accept());
  stage.service.reset();
  stage.turns();
  EXPECT_THAT(stage.results, ElementsAre("a -> closed"));
}

TEST(Caller, AServiceThatWasReplacedIsFoundAtOnce) {
  Stage stage;
  stage.listen();
  stage.ask("a");
  ASSERT_TRUE(stage.accept());
  ASSERT_EQ(stage.read(), 1u);
  stage.answer(stage.asked[0].number, "old");
  stage.service.reset();
  stage.turns();
  stage.ask("b");
  ASSERT_TRUE(stage.accept());
  ASSERT_EQ(stage.read(), 1u);
  stage.answer(stage.asked[1].number, "new");
  EXPECT_THAT(stage.results, ElementsAre("a = old", "b = new"));
}

TEST(Caller, AServiceThatHangsIsGivenUpAndNotWaitedForAgain) {
  Stage stage;
  stage.listen();
  stage.ask("a");
  ASSERT_TRUE(stage.accept());
  stage.pass(1s);
  stage.ask("b");
  stage.pass(4s + 1ms);
  EXPECT_THAT(stage.results, ElementsAre("a -> timeout", "b -> timeout"));
  stage.ask("c");
  EXPECT_EQ(stage.results.back(), "c -> not_found");
  stage.pass(101ms);
  stage.ask("d");
  EXPECT_TRUE(stage.accept());
  stage.pass(6s);
}

TEST(Caller, OneSlowAnswerLeavesTheConnectionOfOthersAlone) {
  Stage stage;
  stage.listen();
  stage.ask("slow");
  ASSERT_TRUE(stage.accept());
  stage.pass(4s);
  stage.ask("quick");
  ASSERT_EQ(stage.read(), 2u);
  stage.answer(stage.asked[1].number, "done");
  stage.pass(1001ms);
  stage.answer(stage.asked[0].number, "too late");
  stage.ask("next");
  ASSERT_EQ(stage.read(), 1u);
  stage.answer(stage.asked[2].number, "done too");
  EXPECT_THAT(stage.results, ElementsAre("quick = done", "slow -> timeout", "next = done too"));
}

struct Nonsense {
  std::string_view name;
  void (*say)(Stage&);
  std::string_view error = "protocol";
};
class CallerNonsense : public testing::TestWithParam<Nonsense> {};
TEST_P(CallerNonsense, EndsTheConnectionAndTheCalls) {
  Stage stage;
  stage.listen();
  stage.ask("a");
  GetParam().say(stage);
  stage.turns();
  EXPECT_THAT(stage.results, ElementsAre("a -> " + std::string(GetParam().error)));
  stage.ask("b");
  EXPECT_EQ(stage.results.back(), "b -> not_found");
}
INSTANTIATE_TEST_SUITE_P(Hostile, CallerNonsense,
                         testing::ValuesIn<Nonsense>({
                             {"OtherProtocol", [](Stage& s) { s.accept("deliver"); }, "refused"},
                             {"OtherVersion", [](Stage& s) { s.accept("test", 4); }, "refused"},
                             {"NoHello",
                              [](Stage& s) {
                                Fd fd(::accept4(s.listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
                                s.service = std::make_unique<ipc::Channel>(s.loop, std::move(fd));
                                s.answer(1, "x");
                              }},
                             {"AnswerWithoutNumber",
                              [](Stage& s) {
                                s.accept();
                                s.service->send(Unnumbered{.text = "x"});
                              }},
                             {"AnswerToNoQuestion",
                              [](Stage& s) {
                                s.accept();
                                s.answer(77, "x");
                              }},
                             {"GarbageInsteadOfFrames",
                              [](Stage& s) {
                                const Fd fd(
                                    ::accept4(s.listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
                                const std::string bytes(4096, '\xff');
                                EXPECT_EQ(::send(fd.get(), bytes.data(), bytes.size(), 0), 4096);
                                s.turns();
                              }},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Caller, AnAnswerOfAnotherTypeIsAnErrorOfThatCallOnly) {
  Stage stage;
  stage.listen();
  stage.ask("a");
  ASSERT_TRUE(stage.accept());
  ASSERT_EQ(stage.read(), 1u);
  Question wrong;
  wrong.number = stage.asked[0].number;
  stage.service->send(wrong);
  stage.turns();
  EXPECT_THAT(stage.results, ElementsAre("a = unexpected answer of type 900"));
}

TEST(Caller, TwoAnswersToOneQuestionHurtNobody) {
  Stage stage;
  stage.listen();
  stage.ask("a");
  stage.ask("b");
  ASSERT_TRUE(stage.accept());
  ASSERT_EQ(stage.read(), 2u);
  stage.answer(stage.asked[0].number, "one");
  stage.answer(stage.asked[0].number, "two");
  stage.answer(stage.asked[1].number, "three");
  EXPECT_THAT(stage.results, ElementsAre("a = one", "b = three"));
}

TEST(Caller, CallsUnderWayAreBounded) {
  Stage stage;
  stage.listen();
  for (std::size_t i = 0; i <= Caller::kMostCalls; ++i)
    stage.calls.spawn(Stage::ask_one(stage, std::to_string(i)), "call");
  stage.turns();
  ASSERT_EQ(stage.results.size(), 1u);
  EXPECT_THAT(stage.results[0], testing::EndsWith(" -> busy"));
  ASSERT_TRUE(stage.accept());
  stage.service.reset();
  stage.turns();
  EXPECT_EQ(stage.results.size(), Caller::kMostCalls + 1);
}

TEST(Caller, TellSendsWithoutWaiting) {
  Stage stage;
  EXPECT_FALSE(stage.caller.tell(Question()));
  stage.listen();
  stage.pass(101ms);
  Question note;
  note.text = "by the way";
  EXPECT_TRUE(stage.caller.tell(note));
  ASSERT_TRUE(stage.accept());
  stage.turns();
  ASSERT_EQ(stage.read(), 1u);
  EXPECT_EQ(stage.asked[0].text, "by the way");
}

} // namespace
} // namespace postrider::service
