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

std::uint16_t free_port() {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  POSTRIDER_CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
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
    std::vector<char*> argv;
    for (std::string& word : words) {
      if (word == "PORT") word = std::to_string(port_);
      if (word == "KEY") word = dir_.path() + "/key.pem";
      if (word == "CERT") word = dir_.path() + "/cert.pem";
      argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int fd : {0, 1, 2})
      posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    ASSERT_EQ(::posix_spawn(&child_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
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
    session_ = (*stream)->take_session();
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

} // namespace
} // namespace postrider::tls
