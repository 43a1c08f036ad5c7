// SPDX-License-Identifier: MIT
// Sessions and transactions against scripted servers: whole, byte by byte, cut behind every step.
#include "smtpclient/transact.hpp"

#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "proto/deliver.hpp"
#include "stored_message.hpp"
#include "support/run_task.hpp"
#include "support/script.hpp"

namespace postrider::smtpclient {
namespace {

using smtp::Decision;
using test::close_now;
using test::expect;
using test::expect_chunk;
using test::expect_data;
using test::Script;
using test::ScriptStep;
using test::ScriptStream;
using test::send;
using test::stall;

struct Ran {
  std::vector<Decision> decisions;
  std::optional<Trouble> trouble;
  bool in_doubt = false;
  std::uint8_t mark = 0;
  std::string problem, data;
  bool needs_reset = false, broken = false, all_played = false;
  std::size_t played = 0;
};

struct Setting {
  Flavor flavor = Flavor::smtp;
  smtp::Features features;
  std::size_t line_limit = 998;
  std::function<void(Options&)> change;
  bool delay_dot = false;
  std::vector<std::string> xforward;
};

Ran run(const Script& script, Message& message, const Setting& setting,
        ScriptStream::Mode mode = {}) {
  ev::Loop loop(mode.clock != nullptr ? *mode.clock : system_clock());
  Options options;
  options.flavor = setting.flavor;
  options.line_length_limit = setting.line_limit;
  if (setting.change) setting.change(options);
  auto stream = std::make_unique<ScriptStream>(script, mode);
  ScriptStream* server = stream.get();
  Tables tables;
  Session session(loop, std::move(stream), options, tables, {"mx", "192.0.2.1", 25});
  session.set_features(setting.features);
  session.delay_dot = setting.delay_dot;
  std::uint8_t mark = static_cast<std::uint8_t>(proto::SlotState::working);
  const auto in_doubt = static_cast<std::uint8_t>(proto::SlotState::in_doubt);
  server->on_step = [&](const ScriptStep& step) {
    // X1 as the server sees it.
    if (step.kind == ScriptStep::Kind::expect) {
      EXPECT_NE(mark, in_doubt) << step.text;
    }
    const bool last_chunk = step.kind == ScriptStep::Kind::expect_chunk && !step.text.empty();
    if (last_chunk || (step.kind == ScriptStep::Kind::expect_data && !server->data().empty())) {
      EXPECT_EQ(mark, in_doubt);
    }
  };
  smtp::Transaction what{&message.envelope, &message.envelope.recipients, &message.facts};
  const Rewriting rewriting;
  what.xforward = setting.xforward;
  Transact transact(session, what, message.content, rewriting, FlightMark(&mark));
  struct Once {
    static ev::Task<bool> run(Transact& t) {
      co_await t.run();
      co_return true;
    }
  };
  test::run_task<bool>(loop, [&] { return Once::run(transact); });
  Ran ran;
  for (std::size_t i = 0; i < transact.judge().size(); ++i)
    ran.decisions.push_back(transact.judge().decision(i));
  ran.trouble = transact.trouble();
  ran.in_doubt = transact.in_doubt();
  ran.mark = mark;
  ran.problem = server->problem();
  ran.data = server->data();
  ran.needs_reset = session.needs_reset;
  ran.broken = session.broken();
  ran.all_played = server->all_played();
  ran.played = server->played();
  return ran;
}

const std::string kText = "Subject: x\r\n\r\nHello\r\n";
constexpr smtp::Features kPlain{};
constexpr auto pipelining = [] {
  smtp::Features f;
  f.pipelining = true;
  return f;
};

Script plain_script() {
  return {expect("MAIL FROM:<s@example.org>"),
          send("250 2.1.0 ok\r\n"),
          expect("RCPT TO:<r0@example.com>"),
          send("250 ok\r\n"),
          expect("RCPT TO:<r1@example.com>"),
          send("550 5.1.1 no\r\n"),
          expect("DATA"),
          send("354 go\r\n"),
          expect_data(),
          send("250 2.0.0 queued\r\n")};
}
Script pipelined_script() {
  return {expect("MAIL FROM:<s@example.org>"),
          expect("RCPT TO:<r0@example.com>"),
          expect("RCPT TO:<r1@example.com>"),
          expect("DATA"),
          send("250 ok\r\n250 ok\r\n550-5.1.1 a\r\n550 5.1.1 b\r\n"),
          send("354 go\r\n"),
          expect_data(),
          send("250 ok\r\n")};
}
Script lmtp_script() {
  return {expect("MAIL FROM"), expect("RCPT TO"),
          expect("RCPT TO"),   expect("RCPT TO"),
          expect("DATA"),      send("250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n"),
          expect_data(),       send("250 ok\r\n"),
          send("452 full\r\n")};
}

TEST(Transaction, PlainWholeAndByteByByte) {
  for (const std::size_t piece : {1U, 3U, 1000U}) {
    Message message(kText, 2);
    const Ran ran = run(plain_script(), message, {}, {.piece = piece});
    EXPECT_EQ(ran.problem, "");
    EXPECT_EQ(ran.decisions, (std::vector{Decision::delivered, Decision::refused}));
    EXPECT_FALSE(ran.trouble || ran.in_doubt || ran.needs_reset || ran.broken);
    EXPECT_EQ(ran.data, kText);
    EXPECT_TRUE(ran.all_played);
  }
}

TEST(Transaction, PipelinedWholeAndByteByByte) {
  for (const std::size_t piece : {1U, 1000U}) {
    Message message(kText, 2);
    const Ran ran = run(pipelined_script(), message, {.features = pipelining()}, {.piece = piece});
    EXPECT_EQ(ran.problem, "");
    EXPECT_EQ(ran.decisions, (std::vector{Decision::delivered, Decision::refused}));
    EXPECT_EQ(ran.data, kText);
  }
}

TEST(Transaction, LmtpOneReplyPerAcceptedRecipient) {
  for (const std::size_t piece : {1U, 1000U}) {
    Message message(kText, 3);
    const Ran ran = run(lmtp_script(), message, {Flavor::lmtp, pipelining()}, {.piece = piece});
    EXPECT_EQ(ran.decisions,
              (std::vector{Decision::delivered, Decision::refused, Decision::refused}));
    EXPECT_FALSE(ran.in_doubt || ran.trouble);
  }
}

// The invariants of every cut: one verdict for each recipient, in doubt exactly between the final
// dot and its reply.
void cut_everywhere(const Script& script, std::size_t recipients, const Setting& setting,
                    const std::string& text = kText) {
  std::size_t content = 0;
  while (script[content].kind != ScriptStep::Kind::expect_data &&
         script[content].kind != ScriptStep::Kind::expect_chunk)
    ++content;
  std::size_t dot = content;
  while (script[dot].kind == ScriptStep::Kind::expect_chunk && script[dot].text.empty())
    while (script[++dot].kind != ScriptStep::Kind::expect_chunk) {
    }
  for (std::size_t cut = 0; cut < script.size(); ++cut) {
    for (const std::size_t piece : {1U, 1000U}) {
      SCOPED_TRACE("cut behind step " + std::to_string(cut));
      Message message(text, recipients);
      const Ran ran = run(script, message, setting, {.piece = piece, .cut = cut});
      EXPECT_EQ(ran.problem, "");
      ASSERT_TRUE(ran.trouble);
      EXPECT_TRUE(ran.broken);
      const bool dot_may_be_read = cut > dot;
      // At the content itself the write fails: not all of the dot left. Between pipelined chunks
      // the server is gone unnoticed.
      if (cut <= content) {
        EXPECT_FALSE(ran.in_doubt);
      }
      if (dot_may_be_read) {
        EXPECT_TRUE(ran.in_doubt);
      }
      EXPECT_EQ(ran.in_doubt, ran.mark == static_cast<std::uint8_t>(proto::SlotState::in_doubt));
      const Row row = decide(ran.trouble->cause, ran.trouble->step);
      for (const Decision decision : ran.decisions) {
        if (decision == Decision::delivered) {
          EXPECT_TRUE(dot_may_be_read);
        }
        if (decision == Decision::accepted) {
          EXPECT_EQ(row.verdict, ran.in_doubt ? mail::Verdict::in_doubt : mail::Verdict::deferred);
        }
        if (decision == Decision::open) {
          EXPECT_EQ(row.verdict, mail::Verdict::deferred);
        }
      }
    }
  }
}
TEST(Transaction, PlainCutEverywhere) { cut_everywhere(plain_script(), 2, {}); }
TEST(Transaction, PipelinedCutEverywhere) {
  cut_everywhere(pipelined_script(), 2, {.features = pipelining()});
}
TEST(Transaction, LmtpCutEverywhere) {
  cut_everywhere(lmtp_script(), 3, {Flavor::lmtp, pipelining()});
}

// Three pieces of content, two of them whole.
const std::string kLarge = [] {
  std::string text = "Subject: x\r\n\r\n";
  while (text.size() < 140000)
    text += ".line\r\n";
  return text;
}();
smtp::Features chunking(bool pipelined) {
  smtp::Features f;
  f.pipelining = pipelined;
  f.chunking = true;
  return f;
}
Script chunked_script() {
  return {expect("MAIL"),        expect("RCPT"),
          expect("RCPT"),        send("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n"),
          expect_chunk(),        expect_chunk(),
          expect_chunk("LAST"),  send("250 got it\r\n250 got it\r\n"),
          send("250 queued\r\n")};
}
Script one_by_one_script() {
  return {expect("MAIL"), send("250 ok\r\n"), expect("RCPT"),       send("250 ok\r\n"),
          expect("RCPT"), send("250 ok\r\n"), expect_chunk(),       send("250 ok\r\n"),
          expect_chunk(), send("250 ok\r\n"), expect_chunk("LAST"), send("250 queued\r\n")};
}

TEST(Transaction, ChunksPipelinedAndOneByOne) {
  for (const std::size_t piece : {777U, 1U << 20}) {
    Message message(kLarge, 2);
    Ran ran = run(chunked_script(), message, {.features = chunking(true)}, {.piece = piece});
    EXPECT_EQ(ran.problem, "");
    EXPECT_EQ(ran.decisions, (std::vector{Decision::delivered, Decision::refused}));
    EXPECT_FALSE(ran.trouble || ran.in_doubt || ran.needs_reset || ran.broken);
    EXPECT_EQ(ran.data, kLarge);
    ran = run(one_by_one_script(), message, {.features = chunking(false)}, {.piece = piece});
    EXPECT_EQ(ran.problem, "");
    EXPECT_EQ(ran.decisions, (std::vector{Decision::delivered, Decision::delivered}));
    EXPECT_EQ(ran.data, kLarge);
  }
}
TEST(Transaction, ChunkedCutEverywhere) {
  cut_everywhere(chunked_script(), 2, {.features = chunking(true)}, kLarge);
  cut_everywhere(one_by_one_script(), 2, {.features = chunking(false)}, kLarge);
}

TEST(Transaction, SmallMessagesAreOneChunk) {
  const Script script = {expect("MAIL"), expect("RCPT"), send("250 ok\r\n250 ok\r\n"),
                         expect_chunk("LAST"), send("250 ok\r\n")};
  for (const std::string& text : {kText, std::string(), std::string("no end")}) {
    Message message(text, 1);
    const Ran ran = run(script, message, {.features = chunking(true)});
    EXPECT_EQ(ran.problem, "");
    EXPECT_EQ(ran.decisions.at(0), Decision::delivered);
    EXPECT_EQ(ran.data, text == "no end" ? "no end\r\n" : text);
  }
}

TEST(Transaction, DataWhereLinesMustBeFoldedOrChunkingIsOff) {
  const Script script = {expect("MAIL"), expect("RCPT"),
                         expect("DATA"), send("250 ok\r\n250 ok\r\n354 go\r\n"),
                         expect_data(),  send("250 ok\r\n")};
  Message message("abcdefgh\r\n", 1);
  Ran ran = run(script, message, {.features = chunking(true), .line_limit = 6});
  EXPECT_EQ(ran.data, "abcdef\r\n gh\r\n");
  ran = run(script, message,
            {.features = chunking(true), .change = [](Options& o) { o.chunking = false; }});
  EXPECT_EQ(ran.data, "abcdefgh\r\n");
}

TEST(Transaction, LmtpAnswersTheLastChunkForEachRecipient) {
  Message message(kLarge, 3);
  const Ran ran = run({expect("MAIL"), expect("RCPT"), expect("RCPT"), expect("RCPT"),
                       send("250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n"), expect_chunk(),
                       send("250 ok\r\n"), expect_chunk(), send("250 ok\r\n"), expect_chunk("LAST"),
                       send("250 ok\r\n452 full\r\n")},
                      message, {Flavor::lmtp, chunking(true)});
  EXPECT_EQ(ran.decisions,
            (std::vector{Decision::delivered, Decision::refused, Decision::refused}));
  EXPECT_FALSE(ran.in_doubt || ran.trouble || ran.broken);
}

// A refused chunk fails the transaction, whatever the server says to the next ones.
TEST(Transaction, ARefusedChunkIsTheEnd) {
  for (const bool pipelined : {false, true}) {
    Message message(kLarge, 1);
    Script script = {expect("MAIL"),
                     expect("RCPT"),
                     send("250 ok\r\n250 ok\r\n"),
                     expect_chunk(),
                     send("552 5.3.4 too big\r\n"),
                     expect_chunk(),
                     expect_chunk("LAST"),
                     send("250 ok\r\n250 ok\r\n")};
    if (!pipelined)
      script = {expect("MAIL"),     send("250 ok\r\n"), expect("RCPT"),
                send("250 ok\r\n"), expect_chunk(),     send("552 5.3.4 too big\r\n")};
    const Ran ran = run(script, message, {.features = chunking(pipelined)});
    EXPECT_EQ(ran.problem, "");
    EXPECT_EQ(ran.decisions.at(0), Decision::refused);
    EXPECT_FALSE(ran.in_doubt);
    EXPECT_TRUE(ran.broken);
  }
}

TEST(Transaction, NobodyAcceptedAndNoChunk) {
  Message message(kText, 1);
  const Ran ran = run({expect("MAIL"), expect("RCPT"), send("250 ok\r\n550 no\r\n")}, message,
                      {.features = chunking(true)});
  EXPECT_EQ(ran.decisions.at(0), Decision::refused);
  EXPECT_EQ(ran.data, "");
  EXPECT_TRUE(ran.needs_reset);
  EXPECT_FALSE(ran.broken);
}

TEST(Transaction, XforwardThatIsRefusedDoesNoHarm) {
  const Script pipelined = {
      expect("XFORWARD A"), expect("XFORWARD B"),
      expect("MAIL"),       expect("RCPT"),
      expect("DATA"),       send("250 ok\r\n550 no\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
      expect_data(),        send("250 ok\r\n")};
  const Script plain = {expect("XFORWARD A"), send("250 ok\r\n"), expect("XFORWARD B"),
                        send("550 no\r\n"),   expect("MAIL"),     send("250 ok\r\n"),
                        expect("RCPT"),       send("250 ok\r\n"), expect("DATA"),
                        send("354 go\r\n"),   expect_data(),      send("250 ok\r\n")};
  const std::vector<std::string> lines = {"XFORWARD A\r\n", "XFORWARD B\r\n"};
  Message message(kText, 1);
  for (const bool together : {false, true}) {
    Setting setting;
    setting.features.pipelining = together;
    setting.xforward = lines;
    const Script& script = together ? pipelined : plain;
    const Ran ran = run(script, message, setting);
    EXPECT_EQ(ran.problem, "");
    EXPECT_EQ(ran.decisions.at(0), Decision::delivered);
    cut_everywhere(script, 1, setting);
  }
}

// smtp_pix_workarounds: the dot alone, and late.
TEST(Transaction, TheDotWaitsForOldMessages) {
  const Script script = {expect("MAIL"), expect("RCPT"),
                         expect("DATA"), send("250 ok\r\n250 ok\r\n354 go\r\n"),
                         expect_data(),  send("250 ok\r\n")};
  for (const bool old : {false, true}) {
    Message message(kText, 1);
    const auto delay = std::chrono::milliseconds(40);
    message.envelope.arrival = to_unix_micros(system_clock().wall()) -
                               (old ? 501'000'000 : 0); // smtp_pix_workaround_threshold_time: 500s
    const SteadyTime began = system_clock().steady();
    const Ran ran = run(script, message,
                        {.features = pipelining(),
                         .change = [&](Options& o) { o.pix_delay = delay; },
                         .delay_dot = true});
    EXPECT_EQ(ran.decisions.at(0), Decision::delivered);
    EXPECT_EQ(ran.data, kText);
    if (old) {
      EXPECT_GE(system_clock().steady() - began, delay);
    }
  }
}

// 552 in the middle of the content, and then the connection is gone: the reply counts.
TEST(Transaction, PartingWordsCount) {
  const Script script = {expect("MAIL"), expect("RCPT"), expect("DATA"),
                         send("250 ok\r\n250 ok\r\n354 go\r\n552 5.3.4 too big\r\n"), close_now()};
  Message message(kLarge, 1);
  const Ran ran = run(script, message, {.features = pipelining()}, {.cut = 4});
  EXPECT_EQ(ran.decisions.at(0), Decision::refused);
  EXPECT_FALSE(ran.in_doubt);
  EXPECT_TRUE(ran.broken);
}

struct Limit {
  std::string name;
  std::size_t piece;
  int seconds; // that each read and write takes
  bool per_request;
  std::size_t rate;
  std::optional<smtp::Step> step; // where it times out; none: it is delivered
};

// shows: smtp_per_request_deadline smtp_min_data_rate
// Time limits: 10 s each, against a server that is slow in its own way.
TEST(Transaction, TimeLimits) {
  const Script script = {expect("MAIL"), send("250 ok\r\n"), expect("RCPT"), send("250 ok\r\n"),
                         expect("DATA"), send("354 go\r\n"), expect_data(),  send("250 ok\r\n")};
  const std::vector<Limit> cases = {
      {"quick", 1000, 1, false, 500, {}},
      {"slow, but within each limit", 1000, 6, false, 500, {}},
      {"command and reply together", 1000, 6, true, 500, smtp::Step::mail},
      {"replies byte by byte", 1, 2, false, 500, smtp::Step::mail},
      {"content that trickles", 2000, 4, false, 500, {}},
      {"content that trickles below the rate", 2000, 4, true, 1000, smtp::Step::body},
      {"content that trickles above the rate", 4000, 4, true, 1000, {}},
  };
  for (const Limit& c : cases) {
    SCOPED_TRACE(c.name);
    test::ManualClock clock;
    Message message(kLarge, 1);
    const auto all = [&](Options& o) {
      o.timeouts.fill(std::chrono::seconds(10));
      o.per_request_deadline = c.per_request;
      o.min_data_rate = c.rate;
    };
    const Ran ran =
        run(script, message, {.change = all},
            {.piece = c.piece, .clock = &clock, .pace = std::chrono::seconds(c.seconds)});
    EXPECT_EQ(ran.trouble.has_value(), c.step.has_value());
    if (ran.trouble && c.step) {
      EXPECT_EQ(ran.trouble->cause, Cause::timeout);
      EXPECT_EQ(ran.trouble->step, *c.step);
    }
    EXPECT_EQ(ran.decisions.at(0) == Decision::delivered, !c.step.has_value());
  }
}

TEST(Transaction, RefusedMailStopsAPlainDialogue) {
  Message message(kText, 2);
  const Ran ran = run({expect("MAIL"), send("451 later\r\n")}, message, {});
  EXPECT_EQ(ran.decisions, (std::vector{Decision::refused, Decision::refused}));
  EXPECT_TRUE(ran.needs_reset);
  EXPECT_FALSE(ran.broken || ran.trouble);
}

TEST(Transaction, NobodyAcceptedAndDataAnyway) {
  Message message(kText, 1);
  const Ran ran = run({expect("MAIL"), expect("RCPT"), expect("DATA"),
                       send("250 ok\r\n550 no\r\n354 go\r\n"), expect_data(), send("554 none\r\n")},
                      message, {.features = pipelining()});
  EXPECT_EQ(ran.decisions, (std::vector{Decision::refused}));
  EXPECT_EQ(ran.data, "");
  EXPECT_FALSE(ran.in_doubt);
  EXPECT_TRUE(ran.needs_reset);
}

struct Hostile {
  std::string name;
  Script script;
  Decision decision;
  std::optional<Cause> cause;
  bool in_doubt;
};

TEST(Transaction, HostileServers) {
  const auto go = send("250 ok\r\n250 ok\r\n354 go\r\n");
  const std::vector<Hostile> cases = {
      {"garbage for the final reply",
       {expect("MAIL"), expect("RCPT"), expect("DATA"), go, expect_data(),
        send("what?\r\n250 ok\r\n")},
       Decision::accepted,
       Cause::protocol,
       true},
      {"stall after the dot",
       {expect("MAIL"), expect("RCPT"), expect("DATA"), go, expect_data(), stall()},
       Decision::accepted,
       Cause::timeout,
       true},
      {"stall at RCPT",
       {expect("MAIL"), send("250 ok\r\n"), stall()},
       Decision::open,
       Cause::timeout,
       false},
      {"more replies than commands",
       {expect("MAIL"), expect("RCPT"), expect("DATA"),
        send("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")},
       Decision::refused,
       std::nullopt,
       false},
      {"250 and then more",
       {expect("MAIL"), expect("RCPT"), expect("DATA"), go, expect_data(),
        send("250 ok\r\n452 no\r\n")},
       Decision::delivered,
       std::nullopt,
       false},
      {"endless reply",
       {expect("MAIL"), send("250-" + std::string(5 << 20, 'x') + "\r\n")},
       Decision::open,
       Cause::too_much,
       false},
      {"354 for the content",
       {expect("MAIL"), expect("RCPT"), expect("DATA"), go, expect_data(), send("354 more\r\n")},
       Decision::accepted,
       Cause::reply_odd,
       true},
  };
  for (const Hostile& c : cases) {
    SCOPED_TRACE(c.name);
    Message message(kText, 1);
    const Ran ran = run(c.script, message, {.features = pipelining()});
    EXPECT_EQ(ran.decisions.at(0), c.decision);
    EXPECT_EQ(ran.trouble.has_value(), c.cause.has_value());
    if (ran.trouble && c.cause) {
      EXPECT_EQ(ran.trouble->cause, *c.cause);
    }
    EXPECT_EQ(ran.in_doubt, c.in_doubt);
  }
}

TEST(Transaction, EarlyRepliesAreOutOfStep) {
  Message message(kText, 1);
  const Ran ran = run({expect("MAIL"), send("250 ok\r\n250 ok\r\n"), expect("RCPT")}, message, {});
  ASSERT_TRUE(ran.trouble);
  EXPECT_EQ(ran.trouble->cause, Cause::protocol);
  EXPECT_TRUE(ran.broken);
}

// shows: smtp_line_length_limit
TEST(Transaction, ContentIsStuffedFoldedAndEnded) {
  const Script script = {expect("MAIL"), expect("RCPT"),
                         expect("DATA"), send("250 ok\r\n250 ok\r\n354 go\r\n"),
                         expect_data(),  send("250 ok\r\n")};
  const auto sent = [&](std::string_view text, std::size_t limit) {
    Message message(text, 1);
    const Ran ran = run(script, message, {.features = pipelining(), .line_limit = limit});
    EXPECT_EQ(ran.decisions.at(0), Decision::delivered);
    return ran.data;
  };
  EXPECT_EQ(sent("a\r\n.b\r\n.\r\nc\r\n", 998), "a\r\n..b\r\n..\r\nc\r\n");
  EXPECT_EQ(sent("abcdef\r\n", 4), "abcd\r\n ef\r\n");
  EXPECT_EQ(sent("no end", 998), "no end\r\n");
  EXPECT_EQ(sent("", 998), "");
  std::string large;
  for (int i = 0; i < 20000; ++i)
    large += "line " + std::to_string(i) + "\r\n";
  EXPECT_EQ(sent(large, 998), large);
  large += ".\r\n";
  EXPECT_EQ(sent(large, 998), large.substr(0, large.size() - 3) + "..\r\n");
}

// The segment was given to new mail while it was read: nobody may get it.
TEST(Transaction, ChangedContentIsNeverEnded) {
  const Script script = {expect("MAIL"), expect("RCPT"),
                         expect("DATA"), send("250 ok\r\n250 ok\r\n354 go\r\n"),
                         expect_data(),  send("250 ok\r\n")};
  const std::vector<std::pair<std::string, off_t>> damages = {
      {"XXXXXXXX", 16}, {"Y", 0}, {"Z", -1}}; // tag, magic, last byte of the content
  for (const auto& [bytes, where] : damages) {
    Message message(kText, 1);
    const off_t at =
        where >= 0 ? where : static_cast<off_t>(message.content.offset + message.content.size) - 1;
    ASSERT_EQ(pwrite(message.changing.get(), bytes.data(), bytes.size(), at),
              static_cast<ssize_t>(bytes.size()));
    const Ran ran = run(script, message, {.features = pipelining()});
    EXPECT_EQ(ran.decisions.at(0), Decision::accepted);
    ASSERT_TRUE(ran.trouble);
    EXPECT_EQ(ran.trouble->cause, Cause::content_changed);
    EXPECT_FALSE(ran.in_doubt);
    EXPECT_TRUE(ran.broken);
  }
  Message cut(kText, 1);
  ASSERT_EQ(ftruncate(cut.changing.get(), static_cast<off_t>(cut.content.offset + 3)), 0);
  const Ran ran = run(script, cut, {.features = pipelining()});
  ASSERT_TRUE(ran.trouble);
  EXPECT_EQ(ran.trouble->cause, Cause::content_unreadable);
}

} // namespace
} // namespace postrider::smtpclient
