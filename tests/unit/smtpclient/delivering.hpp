// SPDX-License-Identifier: MIT
// Whole deliveries to two servers on loopback: 127.0.0.1 and 127.0.0.2, the MX hosts of d.example.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "smtpclient/deliver.hpp"
#include "stored_message.hpp"
#include "support/fake_dns.hpp"
#include "support/play_server.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {

using mail::Verdict;
using test::close_now;
using test::expect;
using test::expect_data;
using test::PlayServer;
using test::Script;
using test::send;
using test::stall;

inline const std::string kText = "Subject: x\r\n\r\nHello\r\n";

inline Script operator+(Script a, const Script& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline const Script kHello = {send("220 mx ESMTP\r\n"), expect("EHLO"),
                              send("250-mx\r\n250 PIPELINING\r\n")};
inline Script envelope(const std::vector<std::string>& rcpt_replies, bool go = true) {
  Script script = {expect("MAIL")};
  std::string replies = "250 ok\r\n";
  for (const std::string& reply : rcpt_replies) {
    script.push_back(expect("RCPT"));
    replies += reply + "\r\n";
  }
  script.push_back(expect("DATA"));
  script.push_back(send(replies + (go ? "354 go\r\n" : "554 no valid recipients\r\n")));
  return script;
}
inline const Script kBody = {expect_data(), send("250 queued\r\n")};
inline const Script kOne = envelope({"250 ok"}) + kBody;
inline const Script kQuit = {expect("QUIT")};

class Delivering : public testing::Test {
 protected:
  void SetUp() override {
    options.randomize = false;
    options.use_ipv6 = false;
    first = std::make_unique<PlayServer>(loop, "127.0.0.1");
    second = std::make_unique<PlayServer>(loop, "127.0.0.2", first->port());
    domain = "d.example:" + std::to_string(first->port());
  }
  void TearDown() override {
    pool.clear();
    goodbyes.close();
    while (!goodbyes.empty())
      loop.turn(true);
    if (first) {
      EXPECT_EQ(first->problem(), "");
    }
    if (second) {
      EXPECT_EQ(second->problem(), "");
    }
  }
  std::vector<mail::Outcome> deliver(std::size_t recipients, bool hint = false,
                                     const std::string& nexthop = {}) {
    Message message(text, recipients);
    Request request;
    request.nexthop = nexthop.empty() ? domain : nexthop;
    request.envelope = message.envelope;
    request.facts = message.facts;
    request.content = message.content;
    request.cache_hint = hint;
    TlsClient tls(loop, options, tables, {}, nullptr);
    const Engine engine{loop, options, tables, finder, pool, tls};
    Delivery delivery(engine, request);
    struct Once {
      static ev::Task<bool> run(Delivery& d) {
        co_await d.run();
        co_return true;
      }
    };
    test::run_task<bool>(loop, [&] { return Once::run(delivery); });
    uses = delivery.uses();
    pass_to = delivery.pass_to();
    return delivery.outcomes();
  }
  std::vector<Verdict> verdicts(std::size_t recipients, bool hint = false,
                                const std::string& nexthop = {}) {
    std::vector<Verdict> out;
    for (const mail::Outcome& outcome : deliver(recipients, hint, nexthop)) {
      EXPECT_FALSE(outcome.dsn.empty() || outcome.text.empty());
      EXPECT_GT(outcome.at, 0);
      out.push_back(outcome.verdict);
    }
    return out;
  }

  ev::Loop loop;
  Options options;
  Tables tables;
  test::FakeDns dns{loop, "d.example MX 10 a.d.example\nd.example MX 20 b.d.example\n"
                          "a.d.example A 127.0.0.1\nb.d.example A 127.0.0.2\n"
                          "null.example MX 0 .\nmine.example MX 10 us.example\n"
                          "us.example A 192.0.2.100\n"};
  ev::Group goodbyes{loop};
  Pool pool{goodbyes, options};
  TargetFinder finder{loop, dns, nullptr, options};
  std::unique_ptr<PlayServer> first, second;
  std::string domain;
  std::string text = kText; // of all messages
  std::size_t uses = 0;
  std::string pass_to;
  using Verdicts = std::vector<Verdict>;
};

} // namespace postrider::smtpclient
