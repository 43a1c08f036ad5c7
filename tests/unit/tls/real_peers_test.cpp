// SPDX-License-Identifier: MIT
// The servers that GnuTLS and OpenSSL bring along, on loopback.
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/tcp_stream.hpp"
#include "test_pair.hpp"

extern char** environ;

namespace postrider::tls {
namespace {

using namespace std::chrono_literals;

// Below what the kernel takes for outgoing connections (32768 and up), where one could get it
// before the peer listens; above what tests/support/ports.py hands out. Tests side by side begin
// elsewhere.
std::uint16_t free_port() {
  constexpr int kFirst = 32100, kCount = 600;
  for (int i = 0; i < kCount; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirst + (::getpid() * 7 + i) % kCount);
    const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address{.sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr = {htonl(INADDR_LOOPBACK)},
                              .sin_zero = {}};
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return port;
  }
  POSTRIDER_UNREACHABLE();
}

// Runs a program; standard input and output are these descriptors.
pid_t start(std::vector<std::string> words, int input, int output) {
  std::vector<char*> argv;
  for (std::string& word : words)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  POSTRIDER_CHECK(::posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

std::string replaced(std::string word, const test::ScratchDir& dir, std::uint16_t port) {
  if (word == "PORT") return std::to_string(port);
  if (word == "HOST_PORT") return "127.0.0.1:" + std::to_string(port);
  if (word == "KEY") return dir.path() + "/key.pem";
  if (word == "CERT") return dir.path() + "/cert.pem";
  return word;
}

struct PeerCase {
  std::string name;
  std::vector<std::string> command; // PORT, KEY and CERT stand for themselves
  std::string says, hears;
};
std::ostream& operator<<(std::ostream& out, const PeerCase& each) { return out << each.name; }

class RealPeer : public testing::TestWithParam<PeerCase> {
 protected:
  void SetUp() override {
    if (::access(GetParam().command[0].c_str(), X_OK) != 0)
      GTEST_SKIP() << GetParam().command[0] << " is not installed";
    port_ = free_port();
    write_file(dir_.path() + "/key.pem", shared_certificate().key);
    write_file(dir_.path() + "/cert.pem", shared_certificate().cert);
    std::vector<std::string> words = GetParam().command;
    for (std::string& word : words)
      word = replaced(word, dir_, port_);
    const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    child_ = start(std::move(words), nothing.get(), nothing.get());
  }
  void TearDown() override {
    if (child_ == 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  // One connection: handshake, one line there, one line back, over and over.
  ev::Task<Result<std::string>> talk(int lines) {
    const ev::Deadline deadline = loop_.after(20s);
    const auto target = net::Address::parse_ip("127.0.0.1", port_);
    std::unique_ptr<net::Stream> below;
    while (!below) { // until it listens
      auto connected = co_await net::connect(loop_, *target, deadline);
      if (connected) {
        below = std::move(*connected);
      } else {
        if (loop_.now() >= deadline.time()) co_return connected.error();
        ev::Condition never(loop_);
        (void)co_await never.wait(loop_.after(20ms), "the peer to listen");
      }
    }
    auto stream = co_await TlsStream::connect(below, wish_, deadline);
    if (!stream) co_return stream.error();
    resumed_ = (*stream)->facts().resumed;
    facts_ = to_string((*stream)->facts());
    chain_ = (*stream)->chain();
    std::string all;
    for (int i = 0; i < lines; ++i) {
      Result<void> sent = co_await (*stream)->write(GetParam().says, deadline);
      if (!sent) co_return sent.error();
      Result<net::Stream::Line> line = co_await (*stream)->read_line(1000, deadline);
      if (!line) co_return line.error();
      all += line->text + "\n";
    }
    for (const std::string& session : (*stream)->take_sessions())
      session_ = session;
    (*stream)->shutdown_write();
    Result<void> end = co_await (*stream)->fill(deadline);
    if (end) co_return Error(ErrorKind::protocol, "more came");
    end_ = end.error().kind();
    co_return all;
  }

  ev::Loop loop_;
  test::ScratchDir dir_;
  std::uint16_t port_ = 0;
  pid_t child_ = 0;
  ClientHandshake wish_{no_certificate(), kNormal, "mx.example.com", ""};
  bool resumed_ = false;
  std::string facts_, session_;
  std::vector<std::string> chain_;
  ErrorKind end_ = ErrorKind::io;
};

TEST_P(RealPeer, TalksAndResumes) {
  std::string expected;
  for (int i = 0; i < 50; ++i)
    expected += GetParam().hears;
  std::vector<std::string> chain;
  for (const bool again : {false, true}) {
    wish_.session = session_;
    const auto got = test::run_task<Result<std::string>>(loop_, [&] { return talk(50); });
    ASSERT_TRUE(got.ok()) << got.error().text();
    EXPECT_EQ(*got, expected);
    EXPECT_EQ(end_, ErrorKind::closed);
    EXPECT_EQ(resumed_, again) << facts_;
    EXPECT_FALSE(session_.empty());
    if (!again) chain = chain_;
    EXPECT_EQ(chain_.size(), 1U);
    EXPECT_EQ(chain_, chain);
  }
}

INSTANTIATE_TEST_SUITE_P(Programs, RealPeer,
                         testing::ValuesIn<PeerCase>({
                             {"OpensslTls13",
                              {"/usr/bin/openssl", "s_server", "-quiet", "-rev", "-accept", "PORT",
                               "-4", "-key", "KEY", "-cert", "CERT"},
                              "abc\n",
                              "cba\n"},
                             {"OpensslTls12",
                              {"/usr/bin/openssl", "s_server", "-quiet", "-rev", "-tls1_2",
                               "-accept", "PORT", "-4", "-key", "KEY", "-cert", "CERT"},
                              "abc\n",
                              "cba\n"},
                             {"GnutlsTls13",
                              {"/usr/bin/gnutls-serv", "--quiet", "--echo", "--port", "PORT",
                               "--x509keyfile", "KEY", "--x509certfile", "CERT"},
                              "abc\n",
                              "abc\n"},
                             {"GnutlsTls12",
                              {"/usr/bin/gnutls-serv", "--quiet", "--echo", "--port", "PORT",
                               "--x509keyfile", "KEY", "--x509certfile", "CERT", "--priority",
                               kTls12},
                              "abc\n",
                              "abc\n"},
                         }),
                         [](const auto& each) { return each.param.name; });

struct ClientCase {
  std::string name;
  std::vector<std::string> command;
};
std::ostream& operator<<(std::ostream& out, const ClientCase& each) { return out << each.name; }

class RealClient : public testing::TestWithParam<ClientCase> {};

// Greets, takes a line, says it again, and ends.
ev::Task<Result<std::string>> serve(ev::Loop& loop, const Fd& listener) {
  const ev::Deadline deadline = loop.after(20s);
  Fd accepted;
  while (!accepted) {
    accepted = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (loop.now() >= deadline.time()) co_return Error(ErrorKind::timeout, "nobody came");
    ev::Condition never(loop);
    if (!accepted) (void)co_await never.wait(loop.after(20ms), "a client");
  }
  std::unique_ptr<net::Stream> below = std::make_unique<net::TcpStream>(loop, std::move(accepted));
  const ServerHandshake wish{shared_server(), kNormal, false, {std::string(64, 'k')}};
  auto stream = co_await TlsStream::accept(below, wish, deadline);
  if (!stream) co_return stream.error();
  Result<void> sent = co_await (*stream)->write("220 mx.example.com\n", deadline);
  if (!sent) co_return sent.error();
  Result<net::Stream::Line> line = co_await (*stream)->read_line(1000, deadline);
  if (!line) co_return line.error();
  sent = co_await (*stream)->write("250 " + line->text + "\n", deadline);
  if (!sent) co_return sent.error();
  (*stream)->shutdown_write();
  co_return line->text;
}

TEST_P(RealClient, IsServed) {
  if (::access(GetParam().command[0].c_str(), X_OK) != 0)
    GTEST_SKIP() << GetParam().command[0] << " is not installed";
  ev::Loop loop;
  const test::ScratchDir dir;
  const std::uint16_t port = free_port();
  auto listener = net::listen(*net::Address::parse_ip("127.0.0.1", port), {});
  ASSERT_TRUE(listener.ok());
  int to_child[2];
  ASSERT_EQ(::pipe2(to_child, O_CLOEXEC), 0);
  const Fd its_input(to_child[0]), our_end(to_child[1]);
  const std::string path = dir.path() + "/out";
  const Fd output(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  std::vector<std::string> words = GetParam().command;
  for (std::string& word : words)
    word = replaced(word, dir, port);
  const pid_t child = start(std::move(words), its_input.get(), output.get());
  ASSERT_EQ(::write(our_end.get(), "EHLO client\n", 12), 12);
  const auto got =
      test::run_task<Result<std::string>>(loop, [&] { return serve(loop, *listener); });
  EXPECT_EQ(got ? *got : got.error().text(), "EHLO client");
  if (!got) ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0); // it ends because we did
  char text[20000];
  const ssize_t size = ::pread(output.get(), text, sizeof text, 0);
  ASSERT_GT(size, 0);
  EXPECT_THAT(std::string(text, static_cast<std::size_t>(size)),
              testing::HasSubstr("220 mx.example.com\n250 EHLO client\n"));
}

INSTANTIATE_TEST_SUITE_P(
    Programs, RealClient,
    testing::ValuesIn<ClientCase>({
        {"OpensslTls13", {"/usr/bin/openssl", "s_client", "-quiet", "-connect", "HOST_PORT"}},
        {"OpensslTls12",
         {"/usr/bin/openssl", "s_client", "-quiet", "-tls1_2", "-connect", "HOST_PORT"}},
        {"Gnutls", {"/usr/bin/gnutls-cli", "--insecure", "--port", "PORT", "127.0.0.1"}},
    }),
    [](const auto& each) { return each.param.name; });

} // namespace
} // namespace postrider::tls
