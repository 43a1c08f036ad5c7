// SPDX-License-Identifier: MIT
// libunbound on the loop, against a name server of the test's own.
#include <arpa/inet.h>
#include <atomic>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "dns/resolver.hpp"
#include "support/run_task.hpp"

namespace postrider::dns {
namespace {

using namespace std::literals;

// A name server on a thread: answers A for any name but these: "servfail", "silent", "gone".
class Server {
 public:
  Server() {
    fd_ = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t length = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    shutdown(fd_, SHUT_RDWR);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sendto(fd_, "q", 1, 0, reinterpret_cast<sockaddr*>(&address), sizeof address);
    thread_.join();
    close(fd_);
  }
  std::string name() const { return "127.0.0.1@" + std::to_string(port_); }

  int asked() const { return asked_; }

 private:
  static int rcode_of(std::string_view label) {
    return label == "servfail" ? 2 : label == "gone" ? 3 : label == "notimp" ? 4 : 0;
  }
  void serve() {
    char buffer[2048];
    for (;;) {
      sockaddr_in from{};
      socklen_t length = sizeof from;
      const ssize_t got =
          recvfrom(fd_, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (got < 12) return;
      std::string reply(buffer, static_cast<std::size_t>(got));
      const std::string label(buffer + 13, static_cast<std::size_t>(buffer[12]));
      ++asked_;
      if (label == "silent") continue;
      reply[2] = static_cast<char>(0x81);
      reply[3] = static_cast<char>(0x80 | rcode_of(label));
      std::size_t end = 12;
      while (reply[end] != 0)
        end += static_cast<std::size_t>(reply[end]) + 1;
      const bool asks_a = reply[end + 2] == 1;
      reply.resize(end + 5);
      const bool is_host = label == "host" || label == "zero";
      reply[7] = static_cast<char>(asks_a && is_host ? 1 : 0);
      reply[9] = reply[11] = 0;
      if (reply[7] != 0) reply += "\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\xc0\0\x02\x07"s;
      if (label == "zero") reply[reply.size() - 7] = 0;       // its time to live
      if (label == "cut") reply[2] = static_cast<char>(0x83); // more by TCP, where nobody listens
      sendto(fd_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  }
  int fd_ = -1;
  std::atomic<int> asked_{0};
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST(Unbound, AsksItsForwarder) {
  Server server;
  ev::Loop loop;
  dns::Setup setup;
  setup.forwarders = {server.name()};
  auto resolver = UnboundResolver::create(loop, setup);
  ASSERT_TRUE(resolver) << resolver.error().text();
  const auto ask = [&](std::string_view name, Duration limit = 20s) {
    auto answer = test::run_task<Result<Answer>>(
        loop, [&] { return (*resolver)->query(name, Type::a, loop.after(limit)); });
    EXPECT_TRUE(answer);
    return answer.value();
  };
  for (int i = 0; i < 2; ++i) { // the second time from its cache
    const Answer answer = ask("host.example");
    EXPECT_EQ(answer.status, Status::ok) << answer.reason;
    ASSERT_EQ(answer.records.size(), 1U);
    EXPECT_EQ(answer.records[0].data, "\xc0\0\x02\x07"s);
    EXPECT_EQ(answer.security, Security::insecure);
  }
  EXPECT_EQ(ask("host.test").status, Status::ok); // not answered by libunbound itself
  for (const auto name : {"host.1.168.192.in-addr.arpa", "host.10.in-addr.arpa",
                          "host.0.127.in-addr.arpa", "host.home.arpa"})
    EXPECT_EQ(ask(name).status, Status::ok) << name;
  EXPECT_EQ(ask("other.example").status, Status::no_data);
  EXPECT_EQ(ask("gone.example").status, Status::no_domain);
  EXPECT_EQ(ask("servfail.example").status, Status::temporary);
  const Answer late = ask("silent.example", 100ms);
  EXPECT_EQ(late.status, Status::temporary);
  EXPECT_EQ(late.reason, "time limit exceeded");
  EXPECT_EQ((*resolver)->unanswered(), 1U);
}

// libunbound hands out a buffer with every failure; what is in it belongs to other queries.
TEST(Unbound, AFailureIsNoAnswerToAnotherQuestion) {
  Server server;
  ev::Loop loop;
  dns::Setup setup;
  setup.forwarders = {server.name()};
  auto resolver = UnboundResolver::create(loop, setup);
  ASSERT_TRUE(resolver) << resolver.error().text();
  int number = 0;
  for (int i = 0; i < 4; ++i)
    for (const auto kind : {"host", "cut", "other", "cut", "gone", "cut", "servfail", "notimp"}) {
      const std::string name = std::string(kind) + "." + std::to_string(++number) + ".example";
      const auto answer = test::run_task<Result<Answer>>(
          loop, [&] { return (*resolver)->query(name, Type::a, loop.after(20s)); });
      const Status expected = kind == "host"sv    ? Status::ok
                              : kind == "other"sv ? Status::no_data
                              : kind == "gone"sv  ? Status::no_domain
                                                  : Status::temporary;
      EXPECT_EQ(answer->status, expected) << name << ": " << answer->reason;
    }
}

TEST(Unbound, AsksOnceForWhatHasNoTimeToLive) {
  Server server;
  ev::Loop loop;
  dns::Setup setup;
  setup.forwarders = {server.name()};
  auto resolver = UnboundResolver::create(loop, setup);
  ASSERT_TRUE(resolver) << resolver.error().text();
  for (int i = 0; i < 100; ++i) {
    const auto answer = test::run_task<Result<Answer>>(
        loop, [&] { return (*resolver)->query("zero.example", Type::a, loop.after(20s)); });
    ASSERT_EQ(answer->status, Status::ok);
  }
  EXPECT_LT(server.asked(), 50);
}

TEST(Unbound, RefusesWrongSetup) {
  ev::Loop loop;
  dns::Setup malformed;
  malformed.forwarders = {"127.0.0.1"};
  malformed.anchors = {"this is no anchor"};
  EXPECT_FALSE(UnboundResolver::create(loop, malformed));
  dns::Setup setup;
  setup.forwarders = {"not an address"};
  EXPECT_FALSE(UnboundResolver::create(loop, setup));
  EXPECT_FALSE(dns::Setup::load({"127.0.0.1"}, "/nonexistent/anchor"));
}

} // namespace
} // namespace postrider::dns
