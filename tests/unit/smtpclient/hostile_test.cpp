// SPDX-License-Identifier: MIT
// Whole deliveries to servers that mean harm or are broken: each script played whole, byte by byte,
// and cut behind every step. However it is played, each recipient has one outcome; delivered and
// unknown only when the server can have the whole content, bounced only when it said so.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "proto/deliver.hpp"
#include "smtpclient/deliver.hpp"
#include "stored_message.hpp"
#include "support/fake_dns.hpp"
#include "support/play_server.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {
namespace {

using mail::Verdict;
using test::close_now;
using test::deaf;
using test::expect;
using test::expect_chunk;
using test::expect_data;
using test::PlayServer;
using test::Script;
using test::ScriptStep;
using test::ScriptStream;
using test::send;
using test::stall;

constexpr Verdict kDelivered = Verdict::delivered, kDeferred = Verdict::deferred,
                  kBounced = Verdict::bounced, kUnknown = Verdict::in_doubt;
const std::string kText = "Subject: x\r\n\r\nHello\r\n";

Script operator+(Script a, const Script& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
std::string repeated(const std::string& text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i)
    out += text;
  return out;
}

const Script kHello = {send("220 mx ESMTP\r\n"), expect("EHLO"),
                       send("250-mx\r\n250 PIPELINING\r\n")};
const Script kPlainHello = {send("220 mx ESMTP\r\n"), expect("EHLO"), send("250 mx\r\n")};
const Script kChunkHello = {send("220 mx ESMTP\r\n"), expect("EHLO"),
                            send("250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")};
const Script kLhlo = {send("220 mx LMTP\r\n"), expect("LHLO"),
                      send("250-mx\r\n250 PIPELINING\r\n")};
Script envelope(std::size_t recipients, const std::string& replies) {
  Script script = {expect("MAIL")};
  for (std::size_t i = 0; i < recipients; ++i)
    script.push_back(expect("RCPT"));
  script.push_back(expect("DATA"));
  script.push_back(send(replies));
  return script;
}
const Script kGo = envelope(1, "250 ok\r\n250 ok\r\n354 go\r\n");
Script content(const std::string& reply) { return {expect_data(), send(reply)}; }

struct Row {
  std::string name;
  Script script;
  std::vector<Verdict> verdicts; // of the script as a whole
  std::string text = "";         // stands in the text of the first outcome
  std::string dsn = "";          // of the last outcome
  std::function<void(Options&)> change = {};
  std::size_t piece = 1; // for "byte by byte", where bytes would be too many
  std::function<void(Tables&)> fill = {};
};

struct Ran {
  std::vector<mail::Outcome> outcomes;
  std::uint8_t mark = 0;
  std::size_t kept = 0; // sessions in the pool
  std::size_t played = 0;
  std::string problem;
};

Ran run(const Row& row, ScriptStream::Mode mode, const std::string& text = kText) {
  ev::Loop loop;
  Options options;
  options.randomize = options.use_ipv6 = false;
  if (row.change) row.change(options);
  Tables tables;
  if (row.fill) row.fill(tables);
  test::FakeDns dns(loop, "");
  ev::Group goodbyes(loop);
  Pool pool(goodbyes, options);
  TargetFinder finder(loop, dns, nullptr, options);
  PlayServer server(loop, "127.0.0.1");
  server.mode = mode;
  server.then(row.script);
  Message message(text, row.verdicts.size());
  std::uint8_t mark = static_cast<std::uint8_t>(proto::SlotState::working);
  Request request;
  request.nexthop = "[127.0.0.1]:" + std::to_string(server.port());
  if (options.flavor == Flavor::lmtp) request.nexthop = "inet:" + request.nexthop;
  request.envelope = message.envelope;
  request.facts = message.facts;
  request.content = message.content;
  request.cache_hint = true;
  request.mark = FlightMark(&mark);
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
  Ran ran{delivery.outcomes(), mark, pool.idle(), server.played(), server.problem()};
  pool.clear();
  goodbyes.close();
  while (!goodbyes.empty())
    loop.turn(true);
  return ran;
}

bool ends_content(const ScriptStep& step) {
  return step.kind == ScriptStep::Kind::expect_data ||
         (step.kind == ScriptStep::Kind::expect_chunk && !step.text.empty());
}

// What must hold however much of the script was played.
void check(const Row& row, const Ran& ran, std::size_t steps) {
  std::string said;
  std::size_t heard_content = 0;
  for (std::size_t i = 0; i < steps && i < row.script.size(); ++i) {
    if (row.script[i].kind == ScriptStep::Kind::send) said += "\n" + row.script[i].text;
    if (ends_content(row.script[i])) heard_content = i;
  }
  std::size_t content = 0; // where the client may begin to send it
  while (content < row.script.size() && row.script[content].kind != ScriptStep::Kind::expect_data &&
         row.script[content].kind != ScriptStep::Kind::expect_chunk)
    ++content;
  bool may_be_there = false;
  ASSERT_EQ(ran.outcomes.size(), row.verdicts.size());
  for (const mail::Outcome& outcome : ran.outcomes) {
    may_be_there |= outcome.verdict == kDelivered || outcome.verdict == kUnknown;
    if (outcome.verdict == kDelivered) {
      EXPECT_GT(heard_content, 0U);
    }
    if (outcome.verdict == kUnknown) {
      EXPECT_GE(steps, content);
    }
    if (outcome.verdict == kBounced) {
      EXPECT_NE(said.find("\n5"), std::string::npos);
    }
    EXPECT_GT(outcome.at, 0);
    EXPECT_FALSE(outcome.text.empty());
    const char first = outcome.verdict == kDelivered ? '2'
                       : outcome.verdict == kBounced ? '5'
                                                     : '4';
    EXPECT_EQ(outcome.dsn[0], first);
    for (const std::string& text : {outcome.text, outcome.reply, outcome.dsn})
      for (const char c : text)
        EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << text;
  }
  EXPECT_EQ(ran.mark == static_cast<std::uint8_t>(proto::SlotState::in_doubt), may_be_there);
}

void play(const Row& row, const std::string& text = kText) {
  SCOPED_TRACE(row.name);
  for (const std::size_t piece : {std::size_t{1} << 22, row.piece}) {
    SCOPED_TRACE(piece == row.piece ? "byte by byte" : "whole");
    const Ran ran = run(row, {.piece = piece}, text);
    check(row, ran, row.script.size());
    std::vector<Verdict> verdicts;
    for (const mail::Outcome& outcome : ran.outcomes)
      verdicts.push_back(outcome.verdict);
    EXPECT_EQ(verdicts, row.verdicts) << ran.outcomes[0].text;
    EXPECT_NE(ran.outcomes[0].text.find(row.text), std::string::npos) << ran.outcomes[0].text;
    if (!row.dsn.empty()) {
      EXPECT_EQ(ran.outcomes.back().dsn, row.dsn);
    }
    if (verdicts[0] == kUnknown) {
      EXPECT_EQ(ran.kept, 0U);
    }
  }
  for (std::size_t cut = 0; cut < row.script.size(); ++cut) {
    SCOPED_TRACE("cut behind step " + std::to_string(cut));
    check(row, run(row, {.cut = cut}, text), cut);
  }
}
void play_all(const std::vector<Row>& rows) {
  for (const Row& row : rows)
    play(row);
}

std::function<void(Options&)> limit(smtp::Step step) {
  return [step](Options& o) {
    o.timeouts[static_cast<std::size_t>(step)] = std::chrono::milliseconds(60);
  };
}
const auto kLmtp = [](Options& o) { o.flavor = Flavor::lmtp; };

TEST(HostileServers, EndlessRepliesAreCut) {
  play_all({
      {"greeting of too many lines",
       {send(repeated("220-x\r\n", 600)), stall()},
       {kDeferred},
       "reply too long",
       "4.5.0",
       {},
       7},
      {"greeting of too many bytes",
       {send(repeated("220-" + std::string(10000, 'x') + "\r\n", 450)), stall()},
       {kDeferred},
       "reply too long",
       "4.5.0",
       {},
       9973},
      {"EHLO reply of too many lines",
       {send("220 mx\r\n"), expect("EHLO"), send(repeated("250-X\r\n", 600)), stall()},
       {kDeferred},
       "reply too long",
       "4.5.0",
       {},
       7},
      {"one line that does not end",
       {send(std::string(5 << 20, '2')), stall()},
       {kDeferred},
       "reply too long",
       "4.5.0",
       {},
       9973},
      {"within all sizes, and never the last line",
       {send("220-a\r\n220-b\r\n"), stall()},
       {kDeferred},
       "timed out while receiving the initial server greeting",
       "4.4.2",
       limit(smtp::Step::greeting)},
      {"a final reply of too many lines is unknown",
       kHello + kGo + content(repeated("250-x\r\n", 600)),
       {kUnknown},
       "reply too long",
       "4.5.0",
       {},
       7},
  });
}

TEST(HostileServers, CodesThatAreNone) {
  for (const std::string code : {"000 x", "099 x", "600 x", "25", "2500 ok", "2x0 ok", "ok", "",
                                 "\xd9\xa2\xd9\xa5\xd9\xa0 ok", "25 ok", " 250 ok", "-250 ok",
                                 "250_ok", "250\tok", "199 ok"}) {
    play({"to MAIL: " + code,
          kHello + Script{expect("MAIL"), send(code + "\r\n250 ok\r\n")},
          {kDeferred},
          "malformed server reply",
          "4.5.0"});
    play({"to the content: " + code,
          kHello + kGo + content(code + "\r\n250 ok\r\n"),
          {kUnknown},
          "malformed server reply",
          "4.5.0"});
  }
}

TEST(HostileServers, LinesThatDisagree) {
  play_all({
      {"the last line refuses",
       kHello + envelope(1, "250 ok\r\n250-2.1.5 ok\r\n550 5.1.1 no\r\n503 x\r\n"),
       {kBounced},
       "550 5.1.1 no",
       "5.1.1"},
      {"the last line accepts",
       kHello + envelope(1, "250 ok\r\n550-5.1.1 no\r\n250 ok\r\n354 go\r\n") +
           content("550-no\r\n250 ok\r\n"),
       {kDelivered},
       "250 ok",
       "2.0.0"},
  });
}

TEST(HostileServers, EnhancedCodesThatAreNone) {
  const auto refused = [](const std::string& reply) {
    return kHello + envelope(2, "250 ok\r\n550 5.7.7 no\r\n" + reply + "\r\n503 x\r\n");
  };
  const std::vector<Verdict> both = {kBounced, kBounced};
  play_all({
      {"nothing behind it", refused("550 5.1.1"), both, "", "5.1.1"},
      {"cut", refused("550 5.1."), both, "", "5.0.0"},
      {"of another class", refused("550 2.1.5 gone"), both, "", "5.0.0"},
      {"of digits", refused("550 5.1." + std::string(1500, '1') + " x"), both, "", "5.0.0"},
      {"none, after one that had", refused("550 no"), both, "", "5.0.0"},
      {"code alone", refused("550"), both, "", "5.0.0"},
      {"letters", refused("550 5.x.1 no"), both, "", "5.0.0"},
  });
}

TEST(HostileServers, TextThatIsNotText) {
  const std::string nasty("550 5.1.1 a\0b\x1b[2J\rBcc: x@y\x01\x7f\xff\xc2\x85 z", 33);
  play_all({
      {"refused",
       kHello + envelope(1, "250 ok\r\n" + nasty + "\r\n503 x\r\n"),
       {kBounced},
       "said: 550"},
      {"accepted", kHello + kGo + content("250 \x1b]0;x\x07\r\n"), {kDelivered}, "250 "},
      {"greeting", {send("421 \x1b\r\r\r\n"), close_now()}, {kDeferred}, "refused to talk to me"},
  });
}

TEST(HostileServers, HangUpAnywhere) {
  play_all({
      {"pipelined", kHello + kGo + content("250 ok\r\n"), {kDelivered}},
      {"one by one",
       kPlainHello + Script{expect("MAIL"), send("250 ok\r\n"), expect("RCPT"), send("250 ok\r\n"),
                            expect("DATA"), send("354 go\r\n"), expect_data(), send("250 ok\r\n")},
       {kDelivered}},
      {"chunks",
       kChunkHello + Script{expect("MAIL"), expect("RCPT"), send("250 ok\r\n250 ok\r\n"),
                            expect_chunk("LAST"), send("250 ok\r\n")},
       {kDelivered}},
      {"behind the dot",
       kHello + kGo + Script{expect_data(), close_now()},
       {kUnknown},
       "lost connection with 127.0.0.1[127.0.0.1] while sending end of data"},
      {"behind the last chunk",
       kChunkHello + Script{expect("MAIL"), expect("RCPT"), send("250 ok\r\n250 ok\r\n"),
                            expect_chunk("LAST"), close_now()},
       {kUnknown},
       "while sending end of data"},
  });
  Row large{"many chunks",
            kChunkHello + Script{expect("MAIL"), expect("RCPT"), send("250 ok\r\n250 ok\r\n"),
                                 expect_chunk(), send("250 ok\r\n"), expect_chunk(),
                                 expect_chunk("LAST"), send("250 ok\r\n250 ok\r\n")},
            {kDelivered}};
  play(large, repeated("line\r\n", 25000));
}

TEST(HostileServers, RepliesAndCommandsThatDoNotMatch) {
  play_all({
      {"garbage and then 250 for the content",
       kHello + kGo + content("what?\r\n250 ok\r\n"),
       {kUnknown},
       "malformed server reply: what?"},
      {"250 for the content, and more",
       kHello + kGo + content("250 ok\r\n452 no\r\n"),
       {kDelivered},
       "250 ok"},
      {"250 for the content before it was sent",
       kHello + envelope(1, "250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n") + Script{stall()},
       {kDeferred},
       "reply without a command"},
      {"the same, one command at a time",
       kPlainHello + Script{expect("MAIL"), send("250 ok\r\n"), expect("RCPT"), send("250 ok\r\n"),
                            expect("DATA"), send("354 go\r\n250 ok\r\n"), stall()},
       {kDeferred},
       "reply without a command"},
      {"all replies at once",
       {send("220 mx\r\n"), expect("EHLO"),
        send("250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n"), stall()},
       {kDeferred},
       "reply without a command"},
      {"two replies for one recipient",
       kHello + envelope(2, "250 ok\r\n452 later\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
       {kDeferred, kDeferred},
       "said: 452 later"},
      {"a reply too many",
       kHello + envelope(1, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
       {kDeferred},
       "(in reply to DATA command)",
       "4.5.0"},
      {"a reply too few",
       kHello + envelope(2, "250 ok\r\n550 no\r\n354 go\r\n") + Script{stall()},
       {kBounced, kDeferred},
       "",
       "",
       limit(smtp::Step::data)},
      {"354 to MAIL",
       kHello + envelope(1, "354 go\r\n250 ok\r\n354 go\r\n"),
       {kDeferred},
       "Protocol error: host",
       "4.5.0"},
      {"354 to the content", kHello + kGo + content("354 more\r\n"), {kUnknown}, "Protocol error"},
      {"a refused chunk after the last one",
       kChunkHello + Script{expect("MAIL"), expect("RCPT"), send("250 ok\r\n250 ok\r\n"),
                            expect_chunk("LAST"), send("554 5.6.0 no\r\n")},
       {kBounced},
       "(in reply to BDAT LAST command)",
       "5.6.0"},
  });
}

TEST(HostileServers, LmtpRepliesThatDoNotMatch) {
  const Script accepted = kLhlo + envelope(3, "250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n");
  play_all({
      {"some are full",
       accepted + content("250 ok\r\n452 4.2.2 full\r\n"),
       {kDelivered, kBounced, kDeferred},
       "",
       "4.2.2",
       kLmtp},
      {"one reply too few",
       accepted + content("250 ok\r\n") + Script{close_now()},
       {kDelivered, kBounced, kUnknown},
       "",
       "4.4.2",
       kLmtp},
      {"one reply too many",
       accepted + content("250 ok\r\n250 ok\r\n250 ok\r\n"),
       {kDelivered, kBounced, kDelivered},
       "",
       "2.0.0",
       kLmtp},
      {"none is left",
       kLhlo + envelope(1, "250 ok\r\n550 no\r\n503 5.5.1 no recipients\r\n"),
       {kBounced},
       "said: 550 no",
       "5.0.0",
       kLmtp},
      {"none is left, and 354",
       kLhlo + envelope(1, "250 ok\r\n550 no\r\n354 go\r\n") + content("503 none\r\n"),
       {kBounced},
       "said: 550 no",
       "5.0.0",
       kLmtp},
  });
}

TEST(HostileServers, AnnouncementsWithoutSense) {
  const std::string strange =
      "250-mx\r\n250-PIPELINING\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-SIZE "
      "18446744073709551616\r\n"
      "250-SIZE -1\r\n250-SIZE\r\n250-LIMITS RCPTMAX=-0 x=\r\n250-\r\n250-AUTH=\r\n250-" +
      std::string(1900, 'X') + "\r\n250-8BITMIME 8BITMIME\r\n250-XFORWARD\r\n250 DSN DSN\r\n";
  play({"all of it",
        Script{send("220 mx\r\n"), expect("EHLO"), send(strange)} + kGo + content("250 ok\r\n"),
        {kDelivered},
        "",
        "",
        {},
        13});
}

// A word of a megabyte hides nothing that stands behind it, and is as long as it likes elsewhere.
TEST(HostileServers, WordsOfAMegabyte) {
  const std::string word(1 << 20, 'X');
  const auto filter = [](Tables& tables) {
    auto list = maps::open_maps("inline:{{250 DSN=250 X}}", {});
    ASSERT_TRUE(list);
    tables.reply_filter = std::move(*list);
  };
  for (const auto& tables : {std::function<void(Tables&)>(), std::function<void(Tables&)>(filter)})
    play_all({
        {"announced",
         Script{send("220 mx\r\n"), expect("EHLO"),
                send("250-mx\r\n250-" + word + "\r\n250-SIZE " + word + "\r\n250-" + word +
                     "\r\n250-PIPELINING\r\n250 DSN\r\n")} +
             kGo + content("250 ok\r\n"),
         {kDelivered},
         "",
         "",
         {},
         9973,
         tables},
        {"said to the content",
         kHello + kGo + content("250 " + word + "\r\n"),
         {kDelivered},
         "250 X",
         "2.0.0",
         {},
         9973,
         tables},
    });
}

TEST(HostileServers, ClosingWith421AtEveryStep) {
  const std::string bye = "421 4.3.2 bye\r\n";
  play_all({
      {"greeting", {send(bye)}, {kDeferred}, "refused to talk to me: 421", "4.3.2"},
      {"EHLO", {send("220 mx\r\n"), expect("EHLO"), send(bye)}, {kDeferred}, "421", "4.3.2"},
      {"MAIL", kHello + Script{expect("MAIL"), send(bye)}, {kDeferred}, "421", "4.3.2"},
      {"RCPT", kHello + envelope(1, "250 ok\r\n" + bye), {kDeferred}, "421", "4.3.2"},
      {"DATA", kHello + envelope(1, "250 ok\r\n250 ok\r\n" + bye), {kDeferred}, "421", "4.3.2"},
      {"content", kHello + kGo + content(bye), {kDeferred}, "421", "4.3.2"},
      {"last chunk",
       kChunkHello + Script{expect("MAIL"), expect("RCPT"), send("250 ok\r\n250 ok\r\n"),
                            expect_chunk("LAST"), send(bye)},
       {kDeferred},
       "421",
       "4.3.2"},
  });
}

TEST(HostileServers, RefusalsOfEveryKind) {
  play_all({
      {"554 greeting",
       {send("554 5.7.1 no\r\n"), expect("QUIT")},
       {kDeferred},
       "554 5.7.1 no",
       "4.7.1"},
      {"554 greeting, told to believe it",
       {send("554 5.7.1 no\r\n"), expect("QUIT")},
       {kBounced},
       "refused to talk to me: 554",
       "5.7.1",
       [](Options& o) { o.skip_5xx_greeting = false; }},
      {"HELO refused",
       {send("220 mx\r\n"), expect("EHLO"), send("500 what\r\n"), expect("HELO"),
        send("550 no\r\n")},
       {kBounced},
       "refused to talk to me: 550 no",
       "5.0.0"},
      {"another server, says 551",
       kHello + envelope(1, "250 ok\r\n551 try <a@b>\r\n503 x\r\n"),
       {kBounced},
       "551 try",
       "5.0.0"},
      {"AUTH wanted",
       kHello + envelope(1, "530 5.7.0 log in\r\n503 x\r\n503 x\r\n"),
       {kBounced},
       "530 5.7.0",
       "5.7.0"},
  });
}

TEST(HostileServers, ServersThatStopListening) {
  const std::string large = repeated(std::string(998, 'x') + "\r\n", 16000); // no buffer holds it
  play({"no word after the dot",
        kHello + kGo + Script{expect_data(), stall()},
        {kUnknown},
        "timed out while sending end of data -- message may be sent more than once",
        "4.4.2",
        limit(smtp::Step::end_of_data)});
  play({"window closed in the content",
        kHello + kGo + Script{deaf()},
        {kDeferred},
        "timed out while sending message body",
        "4.4.2",
        limit(smtp::Step::body)},
       large);
  play({"window closed in a chunk",
        kChunkHello + Script{expect("MAIL"), expect("RCPT"), send("250 ok\r\n250 ok\r\n"), deaf()},
        {kDeferred},
        "timed out while sending message body",
        "4.4.2",
        limit(smtp::Step::body)},
       large);
}

TEST(HostileServers, TooMuchAfterQuitIsNotRead) {
  for (const bool skip : {false, true})
    play({"10 MB",
          kHello + kGo + content("250 ok\r\n") +
              Script{expect("QUIT"), send(std::string(10 << 20, 'x'))},
          {kDelivered},
          "250 ok",
          "2.0.0",
          [skip](Options& o) {
            o.skip_quit_response = skip;
            o.reuse_time_limit = {}; // so that QUIT comes
          },
          65536});
  play({"5xx to QUIT",
        kHello + kGo + content("250 ok\r\n") + Script{expect("QUIT"), send("500 no\r\n")},
        {kDelivered},
        "250 ok",
        "2.0.0",
        [](Options& o) {
          o.skip_quit_response = false;
          o.reuse_time_limit = {}; // so that QUIT comes
        }});
}

} // namespace
} // namespace postrider::smtpclient
