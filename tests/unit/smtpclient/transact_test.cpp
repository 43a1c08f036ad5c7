// SPDX-License-Identifier: MIT
// Sessions and transactions against scripted servers: whole, byte by byte, cut behind every step.
#include "smtpclient/transact.hpp"

#include <unistd.h>

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
using test::expect;
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
};

Ran run(const Script& script, Message& message, const Setting& setting,
        ScriptStream::Mode mode = {}) {
  ev::Loop loop;
  Options options;
  options.flavor = setting.flavor;
  options.line_length_limit = setting.line_limit;
  auto stream = std::make_unique<ScriptStream>(script, mode);
  ScriptStream* server = stream.get();
  Tables tables;
  Session session(loop, std::move(stream), options, tables, {"mx", "192.0.2.1", 25});
  session.set_features(setting.features);
  std::uint8_t mark = static_cast<std::uint8_t>(proto::SlotState::working);
  const auto in_doubt = static_cast<std::uint8_t>(proto::SlotState::in_doubt);
  server->on_step = [&](const ScriptStep& step) {
    // X1 as the server sees it.
    if (step.kind == ScriptStep::Kind::expect) {
      EXPECT_NE(mark, in_doubt) << step.text;
    }
    if (step.kind == ScriptStep::Kind::expect_data && !server->data().empty()) {
      EXPECT_EQ(mark, in_doubt);
    }
  };
  const smtp::Transaction what{&message.envelope, &message.envelope.recipients, &message.facts};
  const Rewriting rewriting;
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
void cut_everywhere(const Script& script, std::size_t recipients, const Setting& setting) {
  std::size_t dot = 0;
  while (script[dot].kind != ScriptStep::Kind::expect_data)
    ++dot;
  for (std::size_t cut = 0; cut < script.size(); ++cut) {
    for (const std::size_t piece : {1U, 1000U}) {
      SCOPED_TRACE("cut behind step " + std::to_string(cut));
      Message message(kText, recipients);
      const Ran ran = run(script, message, setting, {.piece = piece, .cut = cut});
      EXPECT_EQ(ran.problem, "");
      ASSERT_TRUE(ran.trouble);
      EXPECT_TRUE(ran.broken);
      const bool dot_may_be_read = cut > dot;
      // Before that step the script's stream takes no content any more, except when the cut is at
      // the data itself: then the write fails, and it counts as in doubt.
      if (cut < dot) {
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
        if (decision == Decision::accepted && dot_may_be_read) {
          EXPECT_EQ(row.verdict, mail::Verdict::in_doubt);
        }
        if (decision == Decision::open || (decision == Decision::accepted && cut < dot)) {
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
       {expect("MAIL"), send("250-" + std::string(100000, 'x') + "\r\n")},
       Decision::open,
       Cause::too_much,
       false},
      {"354 for the content",
       {expect("MAIL"), expect("RCPT"), expect("DATA"), go, expect_data(), send("354 more\r\n")},
       Decision::refused,
       std::nullopt,
       false},
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
    ASSERT_EQ(pwrite(message.file.get(), bytes.data(), bytes.size(), at),
              static_cast<ssize_t>(bytes.size()));
    const Ran ran = run(script, message, {.features = pipelining()});
    EXPECT_EQ(ran.decisions.at(0), Decision::accepted);
    ASSERT_TRUE(ran.trouble);
    EXPECT_EQ(ran.trouble->cause, Cause::content_changed);
    EXPECT_FALSE(ran.in_doubt);
    EXPECT_TRUE(ran.broken);
  }
  Message cut(kText, 1);
  ASSERT_EQ(ftruncate(cut.file.get(), static_cast<off_t>(cut.content.offset + 3)), 0);
  const Ran ran = run(script, cut, {.features = pipelining()});
  ASSERT_TRUE(ran.trouble);
  EXPECT_EQ(ran.trouble->cause, Cause::content_unreadable);
}

} // namespace
} // namespace postrider::smtpclient
