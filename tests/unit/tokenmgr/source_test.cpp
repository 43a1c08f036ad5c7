// SPDX-License-Identifier: MIT
#include "source.hpp"

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "command.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tokenmgr {
namespace {

TEST(TokenSource, IsReadFromTheTable) {
  struct Row {
    std::string_view text;
    Source::Kind kind;
    std::string path;
    std::vector<std::string> words;
  };
  const Row rows[] = {
      {"file:/a/b c", Source::Kind::file, "/a/b c", {}},
      {" refresh: /a.json ", Source::Kind::refresh, "/a.json", {}},
      {"command:/bin/x  -a  $HOME;ls",
       Source::Kind::command,
       "/bin/x",
       {"/bin/x", "-a", "$HOME;ls"}},
  };
  for (const Row& row : rows) {
    const Result<Source> source = Source::parse(row.text);
    ASSERT_TRUE(source) << row.text;
    EXPECT_EQ(source->kind, row.kind);
    EXPECT_EQ(source->path, row.path);
    EXPECT_EQ(source->words, row.words);
  }
  for (const char* text :
       {"", "file", "file:", "file:a", "command:", "command: ls", "refresh:x/y", "https://x", "/a"})
    EXPECT_FALSE(Source::parse(text)) << text;
}

TEST(TokenSource, ReadsATokenOrAnAnswer) {
  EXPECT_EQ(parse_grant("  ya29.a0-_~+/=\n").value().token.view(), "ya29.a0-_~+/=");
  const Result<Grant> answer =
      parse_grant(R"({"access_token":"abc","expires_in":3599,"token_type":"Bearer"})");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->token.view(), "abc");
  EXPECT_EQ(answer->life, std::chrono::seconds(3599));
  for (const std::string& text :
       {std::string(), std::string("two words"),
        std::string("a\x01"
                    "b"),
        std::string("\xc3\xa9"), std::string(50000, 'x'), std::string("{}"),
        std::string(R"({"access_token":""})"), std::string(R"({"access_token":"a b"})"),
        std::string(R"({"access_token":5)")}) {
    const Result<Grant> grant = parse_grant(text);
    ASSERT_FALSE(grant) << text.substr(0, 30);
    if (text.size() > 1) {
      EXPECT_EQ(grant.error().text().find(text), std::string::npos);
    }
  }
}

TEST(TokenSource, EncodesForms) {
  EXPECT_EQ(form_of({{"grant_type", "refresh_token"}, {"a", "1/2 ~x&=\xc3\xa9+"}}),
            "grant_type=refresh_token&a=1%2F2%20~x%26%3D%C3%A9%2B");
}

class Command : public testing::Test {
 protected:
  Result<std::string> run(std::vector<std::string> words,
                          Duration limit = std::chrono::seconds(20)) {
    return test::run_task<Result<std::string>>(
        loop, [&] { return run_command(loop, words, loop.after(limit)); });
  }
  ev::Loop loop;
};

TEST_F(Command, GivesItsOutput) {
  EXPECT_EQ(run({"/bin/echo", "a b", "$HOME", "*"}).value(), "a b $HOME *\n");
  EXPECT_EQ(run({"/usr/bin/env"}).value(), "PATH=/usr/local/bin:/usr/bin:/bin\nLC_ALL=C\n");
  EXPECT_EQ(run({"/bin/sh", "-c", "ls /proc/self/fd | wc -l; cat"}).value().substr(0, 1), "4");
}

TEST_F(Command, SaysHowItFailed) {
  EXPECT_EQ(run({"/nonexistent/x"}).error().kind(), ErrorKind::config);
  const Result<std::string> failed = run({"/bin/sh", "-c", "echo secret; echo secret >&2; exit 3"});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind(), ErrorKind::refused);
  EXPECT_EQ(failed.error().text(), "exit status 3");
  EXPECT_EQ(run({"/bin/sh", "-c", "kill -9 $$"}).error().text(), "killed by signal 9");
  EXPECT_EQ(run({"/bin/sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"})
                .error()
                .kind(),
            ErrorKind::limit);
}

TEST_F(Command, IsKilledWithItsChildrenWhenItTakesTooLong) {
  const test::ScratchDir dir;
  const std::string fifo = dir.path() + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const Fd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(bool(reader));
  const Result<std::string> late =
      run({"/bin/sh", "-c", "sleep 1000 > " + fifo + " & echo started; wait"},
          std::chrono::milliseconds(200));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind(), ErrorKind::timeout);
  // Whoever had the other end open is killed: end of file as soon as it is gone, where it was
  // opened at all.
  char byte;
  ssize_t got = ::read(reader.get(), &byte, 1);
  pollfd ended{reader.get(), POLLIN, 0};
  if (got < 0 && errno == EAGAIN && ::poll(&ended, 1, 20000) == 1)
    got = ::read(reader.get(), &byte, 1);
  EXPECT_EQ(got, 0);
}

} // namespace
} // namespace postrider::tokenmgr
