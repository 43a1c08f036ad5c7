// SPDX-License-Identifier: MIT
// A session of smtpd that passes mail on to servers that play scripts.
#pragma once

#include "dialogue.hpp"
#include "support/play_server.hpp"

namespace postrider::smtpd {

using test::close_now;
using test::expect;
using test::expect_data;
using test::PlayServer;
using test::Script;
using test::stall;

// The fixture has a send() of its own.
inline test::ScriptStep sends(std::string text) { return test::send(std::move(text)); }
inline Script operator+(Script a, const Script& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline const Script kHello = {sends("220 next ESMTP\r\n"), expect("EHLO"),
                              sends("250-next\r\n250-SIZE 50000\r\n250 8BITMIME\r\n")};
inline const Script kLmtpHello = {sends("220 store LMTP\r\n"), expect("LHLO"),
                                  sends("250-store\r\n250 8BITMIME\r\n")};
inline Script says(const std::string& command, const std::string& reply) {
  return {expect(command), sends(reply + "\r\n")};
}
inline Script ends(const std::string& reply) { return {expect_data(), sends(reply + "\r\n")}; }
inline const Script kEnvelope =
    says("MAIL", "250 2.1.0 fine") + says("RCPT", "250 2.1.5 good") + says("DATA", "354 go");
inline const Script kOne = kEnvelope + ends("250 2.0.0 taken as 17");

class ForwardingTest : public DialogueTest {
 protected:
  // To be changed before begin_forwarding().
  forward::Setup setup;
  PlayServer next{loop, "127.0.0.1"};
  PlayServer other{loop, "127.0.0.2"};
  std::unique_ptr<forward::Servers> servers;

  ForwardingTest() {
    for (smtpclient::Options& options : setup.options) {
      options.timeouts.fill(std::chrono::seconds(20));
      options.cache_time_limit = std::chrono::seconds(100);
      options.skip_quit_response = true;
    }
    setup.options[forward::index_of(forward::Kind::lmtp)].flavor = smtpclient::Flavor::lmtp;
    setup.rules.dead_time = std::chrono::seconds(60);
    setup.rules.targets = {};
    config->hard_errors = 1000;
    config->soft_errors = 1000;
  }
  ~ForwardingTest() override {
    client = Fd();
    test::turn_until(loop, [this] { return over || group.empty(); });
    group.tear_down();
    if (servers) servers->stop();
  }
  static std::string at(const PlayServer& server, const std::string& scheme,
                        const std::string& address) {
    return scheme + address + ":" + std::to_string(server.port());
  }
  std::string next_smtp() { return at(next, "tcp://", "127.0.0.1"); }
  std::string other_smtp() { return at(other, "tcp://", "127.0.0.2"); }
  std::string next_lmtp() { return at(next, "lmtp:", "127.0.0.1"); }

  void set_targets(const std::string& text) {
    auto parsed = forward::parse_targets(text, setup.options);
    ASSERT_TRUE(parsed.ok()) << parsed.error().text();
    setup.rules.targets = std::move(*parsed);
  }
  void set_maps(const std::string& spec) {
    auto opened = maps::open_maps(spec, {});
    ASSERT_TRUE(opened.ok());
    setup.maps = std::move(*opened);
  }
  void begin_forwarding() {
    for (std::size_t i = 0; i < forward::kKinds; ++i) {
      setup.clients[i].emplace();
      setup.clients[i]->options = setup.options[i];
    }
    servers = std::make_unique<forward::Servers>(loop, std::move(setup), dns, &offload);
    shared->forward = servers.get();
    begin();
    EXPECT_EQ(ask("EHLO client.example").substr(0, 3), "250");
  }
  // A whole message; the replies to MAIL, each RCPT, DATA and the end, up to the first that stops.
  std::vector<std::string> say_mail(const std::vector<std::string>& to = {"u@ours.example"},
                                    const std::string& content = "Subject: x\r\n\r\nHello\r\n") {
    std::vector<std::string> replies{ask("MAIL FROM:<a@b.example>")};
    if (replies.back()[0] != '2') return replies;
    bool any = false;
    for (const std::string& one : to) {
      replies.push_back(ask("RCPT TO:<" + one + ">"));
      any = any || replies.back()[0] == '2';
    }
    if (!any) return replies;
    replies.push_back(ask("DATA"));
    if (replies.back()[0] != '3') return replies;
    send_text(content + ".\r\n");
    replies.push_back(reply());
    return replies;
  }
  void send_text(std::string_view text) { DialogueTest::send(text); }
};

} // namespace postrider::smtpd
