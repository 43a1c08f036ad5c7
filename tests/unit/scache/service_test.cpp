// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tcp_stream.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"

namespace postrider::scache {
namespace {

using namespace std::chrono_literals;

constexpr ev::Deadline kNow = ev::Deadline::at(SteadyTime()); // what is there already

// What a client is told: "saved 1", "found 2 facts", "none 3", or the kind of the error that ended
// it.
struct Told {
  std::string text;
  Fd fd;
};

ev::Task<Told> receive(ipc::Channel& channel) {
  Told told;
  Result<ipc::Frame> frame = co_await channel.receive(kNow);
  if (!frame) {
    told.text = to_string(frame.error().kind());
    co_return told;
  }
  const auto hello = ipc::as<ipc::Hello>(*frame);
  const auto saved = ipc::as<proto::Saved>(*frame);
  const auto found = ipc::as<proto::Found>(*frame);
  const auto none = ipc::as<proto::NotFound>(*frame);
  if (hello) told.text = hello->protocol + " " + std::to_string(hello->version);
  if (saved) told.text = "saved " + std::to_string(saved->number);
  if (found) told.text = "found " + std::to_string(found->number) + " " + found->facts;
  if (none) told.text = "none " + std::to_string(none->number);
  if (frame->fds.size() == 1) told.fd = std::move(frame->fds[0]);
  co_return told;
}

class Serving : public testing::Test {
 protected:
  Serving() { start({}); }
  ~Serving() override {
    if (service) service->stop();
  }
  void start(Options options) {
    if (service) service->stop();
    service = std::make_unique<Service>(loop, options, [this] { ++retired; });
  }
  std::unique_ptr<ipc::Channel> connect() {
    auto fds = net::socket_pair();
    daemon::Client client;
    client.fd = std::move(fds->first);
    service->accept(std::move(client));
    auto channel = std::make_unique<ipc::Channel>(loop, std::move(fds->second));
    EXPECT_EQ(next(*channel).text, "scache 1");
    return channel;
  }
  void turns() {
    for (int i = 0; i < 30; ++i)
      loop.turn(false);
  }
  Told next(ipc::Channel& channel) {
    turns();
    return test::run_task<Told>(loop, [&] { return receive(channel); });
  }
  // The server's end of the connection that was saved.
  Fd save(ipc::Channel& channel, const std::string& destination, const std::string& endpoint,
          const std::string& facts, std::uint32_t ttl = 2000) {
    auto pair = net::socket_pair();
    save_fd(channel, destination, endpoint, facts, std::move(pair->first), ttl);
    EXPECT_EQ(next(channel).text, "saved " + std::to_string(number));
    return std::move(pair->second);
  }
  void save_fd(ipc::Channel& channel, const std::string& destination, const std::string& endpoint,
               const std::string& facts, Fd fd, std::uint32_t ttl = 2000) {
    proto::Save request;
    request.number = ++number;
    request.destination = destination;
    request.endpoint = endpoint;
    request.facts = facts;
    request.ttl = ttl;
    channel.send(request, std::move(fd));
  }
  Told find(ipc::Channel& channel, const std::string& destination, const std::string& endpoint) {
    proto::Find request;
    request.number = ++number;
    request.destination = destination;
    request.endpoint = endpoint;
    channel.send(request);
    Told told = next(channel);
    // The number is the same for all answers.
    const std::string wanted = " " + std::to_string(number);
    const std::size_t at = told.text.find(wanted);
    if (at != std::string::npos) told.text.erase(at, wanted.size());
    return told;
  }
  // What the server has been sent; "open" when nothing and not closed, "closed".
  static std::string heard(const Fd& server) {
    char buffer[100];
    const ssize_t n = ::recv(server.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) return std::string(buffer, static_cast<std::size_t>(n));
    return n == 0 ? "closed" : "open";
  }

  test::ManualClock clock;
  ev::Loop loop{clock};
  std::uint64_t number = 0;
  int retired = 0;
  std::unique_ptr<Service> service;
};

TEST_F(Serving, PassesAConnectionFromOneAgentToAnother) {
  auto one = connect();
  auto other = connect();
  const Fd server = save(*one, "d", "e", "facts");
  Told told = find(*other, "d", "");
  EXPECT_EQ(told.text, "found facts");
  ASSERT_TRUE(told.fd);
  EXPECT_EQ(::write(told.fd.get(), "RSET\r\n", 6), 6);
  EXPECT_EQ(heard(server), "RSET\r\n");
  told.fd.reset();
  EXPECT_EQ(heard(server), "closed"); // nobody else had it
  EXPECT_EQ(find(*one, "d", "").text, "none");
  EXPECT_EQ(find(*one, "", "e").text, "none");
}

TEST_F(Serving, OutlivesTheAgentThatSavedIt) {
  auto one = connect();
  const Fd server = save(*one, "d", "e", "facts");
  one.reset();
  turns();
  EXPECT_EQ(heard(server), "open");
  auto other = connect();
  EXPECT_EQ(find(*other, "", "e").text, "found facts");
}

TEST_F(Serving, ATakerThatDiesTakesItsConnectionAlong) {
  auto one = connect();
  const Fd server = save(*one, "d", "e", "facts");
  proto::Find request;
  request.number = ++number;
  request.endpoint = "e";
  one->send(request);
  one->flush();
  one.reset();
  turns();
  EXPECT_EQ(heard(server), "closed");
  auto other = connect();
  EXPECT_EQ(find(*other, "", "e").text, "none");
}

TEST_F(Serving, OneThatTheServerClosesIsDropped) {
  auto one = connect();
  Fd server = save(*one, "d", "e", "facts");
  server.reset();
  turns();
  EXPECT_EQ(find(*one, "d", "").text, "none");
}

TEST_F(Serving, OneWhoseServerSpeaksIsDropped) {
  auto one = connect();
  const Fd server = save(*one, "d", "e", "facts");
  ASSERT_EQ(::write(server.get(), "421 idle too long\r\n", 19), 19);
  turns();
  char byte;
  EXPECT_EQ(::recv(server.get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, ECONNRESET); // closed, and nobody has read what was said
  EXPECT_EQ(find(*one, "d", "").text, "none");
}

TEST_F(Serving, QuitIsSaidWhenItsTimeIsOver) {
  auto one = connect();
  const Fd server = save(*one, "d", "e", "facts", 1500);
  clock.advance(1499ms);
  turns();
  EXPECT_EQ(heard(server), "open");
  clock.advance(1ms);
  turns();
  EXPECT_EQ(heard(server), "QUIT\r\n");
  EXPECT_EQ(heard(server), "closed");
  EXPECT_EQ(find(*one, "d", "").text, "none");
}

TEST_F(Serving, NoTimeBeyondTheLimit) {
  auto one = connect();
  const Fd server = save(*one, "d", "e", "facts", 4000000000U);
  clock.advance(2s); // connection_cache_ttl_limit
  turns();
  EXPECT_EQ(heard(server), "QUIT\r\n");
}

// The write would block: nobody waits for a server that does not read.
TEST_F(Serving, AServerThatDoesNotReadIsNotWaitedFor) {
  auto one = connect();
  auto pair = net::socket_pair();
  const std::string junk(65536, 'x');
  while (::send(pair->first.get(), junk.data(), junk.size(), MSG_DONTWAIT) > 0) {
  }
  save_fd(*one, "d", "e", "facts", std::move(pair->first));
  EXPECT_EQ(next(*one).text, "saved 1");
  clock.advance(2s);
  turns();
  EXPECT_EQ(find(*one, "d", "").text, "none");
}

TEST_F(Serving, AFloodStaysWithinItsBounds) {
  start({.limits = {.ttl = 2s, .connections = 10}});
  auto one = connect();
  std::vector<Fd> servers;
  for (int i = 0; i < 50; ++i)
    servers.push_back(save(*one, "d" + std::to_string(i), "e" + std::to_string(i), "facts"));
  int open = 0;
  for (const Fd& server : servers)
    open += heard(server) == "open" ? 1 : 0;
  EXPECT_EQ(open, 10);
}

TEST_F(Serving, WhoBreaksTheProtocolIsSentAway) {
  auto honest = connect();
  const Fd server = save(*honest, "d", "e", "facts");
  const auto stream = [] { return std::move(net::socket_pair()->first); };
  const std::vector<std::pair<std::string, std::function<void(ipc::Channel&)>>> breaches = {
      {"a file", [&](auto& c) { save_fd(c, "d", "e", "f", Fd(::open("/dev/null", O_RDWR))); }},
      {"a pipe",
       [&](auto& c) {
         int ends[2];
         ASSERT_EQ(::pipe(ends), 0);
         const Fd other(ends[1]);
         save_fd(c, "d", "e", "f", Fd(ends[0]));
       }},
      {"a datagram socket",
       [&](auto& c) { save_fd(c, "d", "e", "f", Fd(::socket(AF_INET, SOCK_DGRAM, 0))); }},
      {"no endpoint", [&](auto& c) { save_fd(c, "d", "", "f", stream()); }},
      {"a long endpoint", [&](auto& c) { save_fd(c, "d", std::string(1025, 'e'), "f", stream()); }},
      {"a long destination",
       [&](auto& c) { save_fd(c, std::string(1025, 'd'), "e", "f", stream()); }},
      {"long facts", [&](auto& c) { save_fd(c, "d", "e", std::string(16385, 'f'), stream()); }},
      {"no descriptor",
       [&](auto& c) {
         proto::Save request;
         request.endpoint = "e";
         c.send(request);
       }},
      {"an answer",
       [&](auto& c) {
         const proto::NotFound answer;
         c.send(answer);
       }},
  };
  for (const auto& [name, commit] : breaches) {
    auto one = connect();
    commit(*one);
    EXPECT_EQ(next(*one).text, "closed") << name;
  }
  EXPECT_EQ(find(*honest, "d", "").text, "found facts");
}

// Its descriptor is good, but it leads nowhere.
TEST_F(Serving, WhatIsNotConnectedIsNotKept) {
  auto one = connect();
  save_fd(*one, "d", "e", "facts", Fd(::socket(AF_INET, SOCK_STREAM, 0)));
  EXPECT_EQ(next(*one).text, "saved 1");
  EXPECT_EQ(find(*one, "d", "").text, "none");
}

TEST_F(Serving, SaysGoodbyeToAllWhenItRetires) {
  auto one = connect();
  const Fd server = save(*one, "d", "e", "facts");
  service->drain(daemon::Drain::retire);
  EXPECT_EQ(heard(server), "QUIT\r\n");
  EXPECT_EQ(next(*one).text, "closed"); // so that it asks the next process
}

TEST_F(Serving, RetiresWhenNobodyAsks) {
  start({.limits = {}, .status_time = 600s, .max_idle = 100s});
  auto one = connect();
  find(*one, "d", "");
  clock.advance(99s);
  turns();
  find(*one, "d", "");
  clock.advance(99s);
  turns();
  EXPECT_EQ(retired, 0);
  clock.advance(1s);
  turns();
  EXPECT_EQ(retired, 1);
}

TEST_F(Serving, DoesNotRetireWithConnections) {
  start({.limits = {.ttl = 1000s, .connections = 10}, .status_time = 600s, .max_idle = 100s});
  auto one = connect();
  const Fd server = save(*one, "d", "e", "facts", 200000);
  clock.advance(150s);
  turns();
  EXPECT_EQ(retired, 0);
  clock.advance(51s);
  turns();
  turns();
  EXPECT_EQ(heard(server), "QUIT\r\n");
  clock.advance(1s);
  turns();
  EXPECT_EQ(retired, 1);
}

} // namespace
} // namespace postrider::scache
