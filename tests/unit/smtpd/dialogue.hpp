// SPDX-License-Identifier: MIT
// A session of smtpd over a socket pair, with the real way into the queue and a fake qmgr behind.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/ascii.hpp"
#include "session.hpp"
#include "support/fake_dns.hpp"
#include "unit/smtpd/test_lists.hpp"
#include "unit/submit/fake_qmgr.hpp"

namespace postrider::smtpd {

inline const std::string kMail = "MAIL FROM:<a@b.example>";
inline const std::string kRcpt = "RCPT TO:<u@ours.example>";

inline std::shared_ptr<Config> test_config() {
  auto config = std::make_shared<Config>();
  config->hostname = "mx.ours.example";
  config->mail_name = "Postrider";
  config->banner = "mx.ours.example ESMTP Postrider";
  config->origin = "ours.example";
  config->timeout = std::chrono::seconds(20);
  config->error_sleep = Duration::zero();
  config->queue_patience = std::chrono::milliseconds(20);
  config->linger = std::chrono::milliseconds(20);
  config->message_size = 100'000;
  config->lists = std::make_shared<TestLists>();
  auto rules = std::make_shared<Rules>();
  rules->lists = config->lists;
  rules->relay =
      *parse_restrictions({"permit_mynetworks", "reject_unauth_destination"}, WordContext{});
  config->rules = rules;
  CommandRules::Texts commands;
  commands.forbidden = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";
  config->commands = *CommandRules::open(commands, {});
  return config;
}

class DialogueTest : public testing::Test {
 protected:
  DialogueTest() : dns(loop, ""), qmgr(loop, directory.path), offload(loop), group(loop) {
    submit::Options options;
    options.sockets = {qmgr.socket()};
    options.file_threshold = 30'000;
    options.answer_limit = std::chrono::seconds(5);
    submitter = std::make_unique<submit::Submitter>(loop, offload, fs, options);
    shared = std::make_unique<Shared>(loop, *submitter);
    shared->resolver = &dns;
    config = test_config();
    peer.address = "192.0.2.7";
    peer.port = "4711";
  }
  ~DialogueTest() override {
    fs.hold_syncs = false;
    group.tear_down();
    submitter.reset();
  }

  void start_queue() {
    submitter->start();
    ASSERT_TRUE(test::turn_until(
        loop, [&] { return qmgr.segments() > 0 && submitter->may_accept().ok(); }));
  }
  void connect() {
    auto pair = net::socket_pair();
    client = std::move(pair->first);
    over = false;
    group.spawn(serve(std::move(pair->second)), "session");
    (void)!set_nonblocking(client.get()).ok();
  }
  // Starts everything and swallows the greeting.
  void begin() {
    if (!submitter->connected()) start_queue();
    connect();
    EXPECT_EQ(reply(), "220 mx.ours.example ESMTP Postrider");
  }
  void send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n > 0)
        text.remove_prefix(static_cast<std::size_t>(n));
      else if (errno == EAGAIN)
        loop.turn(false), collect();
      else
        return;
    }
  }
  // The next reply, lines joined by '|'; "" when the session ended or nothing comes.
  std::string reply() {
    std::string out;
    while (true) {
      std::string line;
      if (!test::turn_until(loop, [&] { return take_line(line) || (over && drained()); }))
        return "(nothing)";
      if (line.empty()) return out;
      out += out.empty() ? line : "|" + line;
      if (line.size() < 4 || line[3] != '-') return out;
    }
  }
  std::string ask(const std::string& command) {
    send(command + "\r\n");
    return reply();
  }
  // All replies to what is sent at once, each cut to its code; then the end of the session.
  std::vector<std::string> all_replies(std::string_view text) {
    send(text);
    ::shutdown(client.get(), SHUT_WR);
    std::vector<std::string> out;
    while (true) {
      const std::string one = reply();
      if (one.empty() || one == "(nothing)") return out;
      out.push_back(one);
    }
  }
  // One whole message, RCPT by RCPT; returns the reply to the final dot.
  std::string send_mail(const std::string& content, const std::string& to = "u@ours.example") {
    EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "250 2.1.0 Ok");
    EXPECT_EQ(ask("RCPT TO:<" + to + ">"), "250 2.1.5 Ok");
    EXPECT_EQ(ask("DATA").substr(0, 3), "354");
    send(content);
    return reply();
  }
  void wait_for_mail(std::size_t count) {
    EXPECT_TRUE(test::turn_until(loop, [&] { return qmgr.mails().size() >= count; }));
    EXPECT_EQ(qmgr.mails().size(), count);
    for (const std::string& problem : qmgr.problems())
      ADD_FAILURE() << problem;
  }
  // Content of the only mail, without our Received: header.
  std::string content_of(std::size_t i = 0) {
    const std::string& all = qmgr.mails().at(i).content;
    std::size_t at = all.find("\r\n");
    while (at + 2 < all.size() && all[at + 2] == '\t')
      at = all.find("\r\n", at + 2);
    return all.substr(at + 2);
  }

  test::TemporaryDirectory directory;
  ev::Loop loop;
  test::FakeDns dns;
  test::WriterFs fs;
  test::FakeQmgr qmgr;
  ev::Offload offload;
  ev::Group group;
  std::unique_ptr<submit::Submitter> submitter;
  std::unique_ptr<Shared> shared;
  std::shared_ptr<Config> config;
  Peer peer;
  Fd client;
  bool early = false;
  bool over = false;
  std::string came;

 private:
  ev::RootTask serve(Fd fd) {
    {
      Session session(*shared, config, std::make_unique<net::TcpStream>(loop, std::move(fd)), peer);
      session.set_early_talk(early);
      co_await session.run();
    }
    over = true;
  }
  void collect() {
    char buffer[4096];
    ssize_t n;
    while ((n = ::recv(client.get(), buffer, sizeof buffer, 0)) > 0)
      came.append(buffer, static_cast<std::size_t>(n));
  }
  bool drained() {
    collect();
    return came.empty();
  }
  bool take_line(std::string& line) {
    collect();
    const std::size_t end = came.find("\r\n");
    if (end == std::string::npos) return false;
    line = came.substr(0, end);
    came.erase(0, end + 2);
    return true;
  }
};

} // namespace postrider::smtpd
