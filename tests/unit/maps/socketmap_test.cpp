// SPDX-License-Identifier: MIT
#include "maps/socketmap.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "ev/group.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::maps {
namespace {

using testing::HasSubstr;
using Found = std::optional<std::string>;

std::string netstring(std::string_view payload) {
  return std::to_string(payload.size()) + ":" + std::string(payload) + ",";
}

// Serves a UNIX socket: each question gets the next of `script`, as it is; "CUT" closes without an
// answer, a '|' at the end closes behind it, "STALL" never answers. At its end questions come back.
class SocketMapTest : public testing::Test {
 public:
  SocketMapTest() {
    auto address = net::Address::unix_path(path());
    listener_ = std::move(net::listen(*address, {}).value());
    watch_.emplace(
        loop_, listener_.get(),
        [](void* self, bool, bool) { static_cast<SocketMapTest*>(self)->accept_all(); }, this);
    map_ = std::move(SocketMap::open("unix:" + path() + ":name").value());
  }
  ~SocketMapTest() override {
    servers_.close();
    servers_.cancel();
    while (!servers_.empty())
      loop_.turn(false);
  }
  std::string path() const { return directory_.path() + "/socket"; }

  void accept_all() {
    while (true) {
      Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      ++connections_;
      servers_.spawn(serve(*this, std::make_unique<net::TcpStream>(loop_, std::move(fd))),
                     "server");
    }
  }

  static ev::RootTask serve(SocketMapTest& test, std::unique_ptr<net::TcpStream> stream) {
    while (true) {
      Result<void> more = co_await stream->fill(ev::Deadline::never());
      if (!more) co_return;
      const std::string question(stream->buffered());
      stream->consume(question.size());
      test.questions_.push_back(question);
      std::string answer = netstring("OK " + question);
      if (!test.script_.empty()) {
        answer = test.script_.front();
        test.script_.erase(test.script_.begin());
      }
      if (answer == "CUT") co_return;
      if (answer == "STALL") {
        Result<void> ended = co_await ev::SleepUntil(test.loop_, ev::Deadline::never());
        if (!ended) co_return;
      }
      const bool last = answer.ends_with('|');
      if (last) answer.pop_back();
      Result<void> sent = co_await stream->write(answer, ev::Deadline::never());
      if (!sent || last) co_return;
    }
  }

  std::string ask_for(std::string_view key, ev::Deadline deadline = ev::Deadline::never()) {
    auto answer = test::run_task<Answer>(loop_, [&] { return map_->fetch(loop_, key, deadline); });
    if (!answer)
      return std::string(to_string(answer.error().kind())) + ": " + answer.error().text();
    return answer->value_or("(none)");
  }

  test::ScratchDir directory_;
  ev::Loop loop_;
  ev::Group servers_{loop_};
  Fd listener_;
  std::optional<ev::FdWatch> watch_;
  std::vector<std::string> script_;
  std::vector<std::string> questions_;
  int connections_ = 0;
  std::unique_ptr<SocketMap> map_;
};

TEST_F(SocketMapTest, AsksWithTheNameOfTheTableAndKeepsTheConnection) {
  EXPECT_EQ(ask_for("a@b"), "8:name a@b,");
  EXPECT_EQ(ask_for("x y"), "8:name x y,");
  EXPECT_EQ(connections_, 1);
}

struct AnswerCase {
  const char* name;
  std::string answer;
  std::string result;
};
class SocketMapAnswers : public SocketMapTest, public testing::WithParamInterface<AnswerCase> {};
TEST_P(SocketMapAnswers, AreUnderstood) {
  script_ = {GetParam().answer};
  EXPECT_EQ(ask_for("k"), GetParam().result);
  EXPECT_EQ(questions_.size(), 1u); // none of these is asked again
}
const std::string kLongest(SocketMap::kLongestAnswer - 3, 'x');
INSTANTIATE_TEST_SUITE_P(
    SocketMap, SocketMapAnswers,
    testing::ValuesIn<AnswerCase>({
        {"Ok", "7:OK text,", "text"},
        {"OkWithSpaces", netstring("OK  a  b "), " a  b "},
        {"OkEmpty", "3:OK ,", ""},
        {"OkWithoutSpace", "2:OK,", ""},
        {"NotFound", "9:NOTFOUND ,", "(none)"},
        {"NotFoundWithoutSpace", "8:NOTFOUND,", "(none)"},
        {"Temp", netstring("TEMP try later"), "busy: socketmap server temporary error: try later"},
        {"Timeout", netstring("TIMEOUT db"), "timeout: socketmap server timeout error: db"},
        {"Perm", netstring("PERM no table"), "config: socketmap server permanent error: no table"},
        {"PermWithoutReason", "5:PERM ,", "config: socketmap server permanent error"},
        {"ReasonIsMadeSafe", netstring("TEMP a\nb"), "busy: socketmap server temporary error: a?b"},
        {"Unknown", "5:HELLO,", "protocol: socketmap server: unknown error"},
        {"Empty", "0:,", "protocol: socketmap server: unknown error"},
        {"Lowercase", "4:ok x,", "protocol: socketmap server: unknown error"},
        {"TheLongest", netstring("OK " + kLongest), kLongest},
        {"TooLong", "100001:", "limit: socketmap server: the answer is too long"},
        {"MuchTooLong", "99999999999999999999:x",
         "protocol: socketmap server: the answer is no netstring"},
        {"NoNumber", "x:OK a,", "protocol: socketmap server: the answer is no netstring"},
        {"NoLength", ":OK a,", "protocol: socketmap server: the answer is no netstring"},
        {"Negative", "-4:OK a,", "protocol: socketmap server: the answer is no netstring"},
        {"NoComma", "4:OK a;", "protocol: socketmap server: the answer is no netstring"},
        {"Garbage", std::string(10'000, '\xff'),
         "protocol: socketmap server: the answer is no netstring"},
        {"LineEnd", netstring("OK a\r\nb"),
         "protocol: socketmap server: the answer holds a zero byte or a line end"},
        {"ZeroByte", netstring(std::string("OK a\0b", 6)),
         "protocol: socketmap server: the answer holds a zero byte or a line end"},
    }),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(SocketMapTest, ReconnectsOnceWhenTheServerWasStartedAnew) {
  script_ = {netstring("OK 1") + "|", netstring("OK 2")};
  EXPECT_EQ(ask_for("a"), "1");
  EXPECT_EQ(ask_for("a"), "2");
  EXPECT_EQ(connections_, 2);
}

TEST_F(SocketMapTest, ACutAnswerIsAskedForOnceMore) {
  script_ = {"9:OK|", netstring("OK 2")};
  EXPECT_EQ(ask_for("a"), "2");
  script_ = {"CUT", "9:OK 1|"};
  EXPECT_THAT(ask_for("a"), HasSubstr("closed"));
}

TEST_F(SocketMapTest, AConnectionThatSaysMoreThanAskedIsNotUsedAgain) {
  script_ = {netstring("OK 1") + netstring("OK forged"), netstring("OK 2")};
  EXPECT_EQ(ask_for("a"), "1");
  EXPECT_EQ(ask_for("b"), "2");
  EXPECT_EQ(connections_, 2);
}

TEST_F(SocketMapTest, ASlowAnswerIsNotTakenForTheNextQuestion) {
  script_ = {"STALL"};
  EXPECT_THAT(ask_for("a", ev::Deadline::at(loop_.now())), HasSubstr("timeout"));
  EXPECT_EQ(ask_for("b"), "6:name b,");
}

TEST_F(SocketMapTest, NoServer) {
  listener_.reset();
  map_ = std::move(SocketMap::open("unix:" + directory_.path() + "/none:name").value());
  EXPECT_THAT(ask_for("a"), HasSubstr("connect"));
}

TEST_F(SocketMapTest, ManyAskAtOnceOverFewConnections) {
  struct Runner {
    static ev::RootTask run(SocketMapTest& test, int number, int& right) {
      const std::string key = "key" + std::to_string(number);
      Answer answer = co_await test.map_->fetch(test.loop_, key, ev::Deadline::never());
      if (answer && *answer && (*answer)->find("name " + key + ",") != std::string::npos) ++right;
    }
  };
  int right = 0;
  ev::Group group(loop_);
  for (int i = 0; i < 500; ++i)
    group.spawn(Runner::run(*this, i, right), "asker");
  while (!group.empty())
    loop_.turn(true);
  EXPECT_EQ(right, 500);
  EXPECT_LE(connections_, static_cast<int>(SocketMap::kMostConnections));
}

TEST_F(SocketMapTest, CancelledAskersLeaveTheirPlaces) {
  struct Runner {
    static ev::RootTask run(SocketMapTest& test) {
      Answer answer = co_await test.map_->fetch(test.loop_, "x", ev::Deadline::never());
      EXPECT_EQ(answer.error().kind(), ErrorKind::cancelled);
    }
  };
  script_.assign(SocketMap::kMostConnections, "STALL");
  {
    ev::Group group(loop_);
    for (std::size_t i = 0; i < SocketMap::kMostConnections + 5; ++i)
      group.spawn(Runner::run(*this), "asker");
    while (questions_.size() < SocketMap::kMostConnections)
      loop_.turn(true);
    group.cancel();
    while (!group.empty())
      loop_.turn(false);
  }
  EXPECT_EQ(ask_for("a"), "6:name a,");
}

} // namespace
} // namespace postrider::maps
