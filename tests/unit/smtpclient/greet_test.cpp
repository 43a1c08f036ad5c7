// SPDX-License-Identifier: MIT
// The opening of a dialogue against scripted servers, whole and byte by byte.
#include "smtpclient/greet.hpp"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/run_task.hpp"
#include "support/script.hpp"

namespace postrider::smtpclient {
namespace {

using test::close_now;
using test::expect;
using test::Script;
using test::ScriptStream;
using test::send;
using test::stall;

// What an administrator may have set.
struct Setting {
  Options options;
  Tables tables;
  Occasion occasion;
  Setting() {
    options.hello_name = options.my_name = "me.example";
    options.pix_workarounds = {"disable_esmtp", "delay_dotcrlf"};
    occasion.id = "4QTest";
    occasion.nexthop = "there.example";
    occasion.detect_loop = true;
  }
  void table(maps::MapList& list, const std::string& spec) {
    auto opened = maps::open_maps(spec, {});
    ASSERT_TRUE(opened);
    list = std::move(*opened);
    tables.reply_filter.take_empty_answers();
  }
};
using Change = std::function<void(Setting&)>;

struct Greeted {
  std::optional<Trouble> trouble;
  smtp::Features features;
  bool delay_dot = false;
  std::string problem, transcript;
};

Greeted greeted(const Script& script, const Change& change, std::size_t piece = 1000) {
  ev::Loop loop;
  Setting setting;
  if (change) change(setting);
  auto stream = std::make_unique<ScriptStream>(script, ScriptStream::Mode{.piece = piece});
  ScriptStream* server = stream.get();
  Session session(loop, std::move(stream), setting.options, setting.tables,
                  {"mx", "192.0.2.1", 25});
  Greeted out;
  out.trouble = test::run_task<std::optional<Trouble>>(
      loop, [&] { return greet(session, ev::Lent<const Occasion>(setting.occasion)); });
  out.features = session.features();
  out.delay_dot = session.delay_dot;
  out.problem = server->problem();
  if (session.transcript()) out.transcript = session.transcript()->text();
  return out;
}

struct Case {
  std::string name;
  Change change;
  Script script;
  std::optional<Cause> cause;
  smtp::Features features;
  bool delay_dot = false;
};

Script hello(const std::string& reply) {
  return {send("220 mx ESMTP\r\n"), expect("EHLO me.example"), send(reply)};
}
Script plain(const std::string& banner) {
  return {send(banner), expect("HELO me.example"), send("250 mx\r\n")};
}
smtp::Features esmtp(bool pipelining = false, bool dsn = false) {
  return {.esmtp = true, .pipelining = pipelining, .dsn = dsn};
}
const Change kLmtp = [](Setting& s) { s.options.flavor = Flavor::lmtp; };

// shows: smtp_helo_name smtp_always_send_ehlo smtp_never_send_ehlo smtp_skip_5xx_greeting
// shows: smtp_pix_workarounds smtp_pix_workaround_maps smtp_discard_ehlo_keywords
// shows: smtp_discard_ehlo_keyword_address_maps smtp_reply_filter
const std::string kEndless = [] {
  std::string lines;
  for (std::size_t i = 0; i <= smtp::ReplyParser::kMaxLines; ++i)
    lines += "220-x\r\n";
  return lines;
}();
const std::vector<Case> kCases = {
    {"ehlo", {}, hello("250-mx\r\n250 PIPELINING\r\n"), {}, esmtp(true)},
    {"any refusal of EHLO leads to HELO",
     {},
     {send("220 mx\r\n"), expect("EHLO"), send("450 later\r\n"), expect("HELO me.example"),
      send("250 mx\r\n")},
     {},
     {}},
    {"but 421", {}, hello("421 busy\r\n"), Cause::reply_421, {}},
    {"helo refused",
     {},
     {send("220 mx\r\n"), expect("EHLO"), send("502 what\r\n"), expect("HELO"), send("550 no\r\n")},
     Cause::reply_permanent,
     {}},
    {"never EHLO",
     [](Setting& s) { s.options.never_send_ehlo = true; },
     plain("220 mx ESMTP\r\n"),
     {},
     {}},
    {"EHLO on request",
     [](Setting& s) { s.options.always_send_ehlo = false; },
     hello("250-mx\r\n250 DSN\r\n"),
     {},
     esmtp(false, true)},
    {"no EHLO without request",
     [](Setting& s) { s.options.always_send_ehlo = false; },
     plain("220 mx SMTP ESMTPX\r\n"),
     {},
     {}},
    {"the word in lower case, on the second line",
     [](Setting& s) { s.options.always_send_ehlo = false; },
     {send("220-mx\r\n220 esmtp here\r\n"), expect("EHLO"), send("250 mx\r\n")},
     {},
     esmtp()},
    {"554 greeting passes", {}, {send("554 5.7.1 go away\r\n")}, Cause::reply_temporary, {}},
    {"554 greeting stays",
     [](Setting& s) { s.options.skip_5xx_greeting = false; },
     {send("554 5.7.1 go away\r\n")},
     Cause::reply_permanent,
     {}},
    {"421 greeting", {}, {send("421 busy\r\n")}, Cause::reply_421, {}},
    {"3xx greeting", {}, {send("354 go\r\n")}, Cause::reply_odd, {}},
    {"silence", {}, {stall()}, Cause::timeout, {}},
    {"hang up", {}, {close_now()}, Cause::closed, {}},
    {"other protocol", {}, {send("SSH-2.0-x\r\n")}, Cause::protocol, {}},
    {"ourselves", {}, hello("250 me.example hello\r\n"), Cause::loop, {}},
    {"ourselves behind a better host",
     [](Setting& s) { s.occasion.best_host = false; },
     hello("250 ME.example\r\n"),
     Cause::loop_elsewhere,
     {}},
    {"ourselves at another port",
     [](Setting& s) { s.occasion.detect_loop = false; },
     hello("250 me.example hello\r\n"),
     {},
     esmtp()},
    {"lmtp",
     kLmtp,
     {send("220 x\r\n"), expect("LHLO me.example"), send("250-x\r\n250 PIPELINING\r\n")},
     {},
     esmtp(true)},
    {"lmtp has no helo",
     kLmtp,
     {send("220 x\r\n"), expect("LHLO"), send("500 what\r\n")},
     Cause::reply_permanent,
     {}},
    {"pix", {}, plain("220 ******2***0**\r\n"), {}, {}, true},
    {"pix that says nothing at all", {}, plain("220\r\n"), {}, {}, true},
    {"pix with EHLO wanted",
     [](Setting& s) { s.options.pix_workarounds = {"delay_dotcrlf"}; },
     {send("220 ****\r\n"), expect("EHLO"), send("250 x\r\n")},
     {},
     esmtp(),
     true},
    {"pix by address",
     [](Setting& s) { s.table(s.tables.pix_workarounds, "inline:{192.0.2.1=disable_esmtp}"); },
     plain("220 ****\r\n"),
     {},
     {},
     false},
    {"pix by another address",
     [](Setting& s) { s.table(s.tables.pix_workarounds, "inline:{192.0.2.9=delay_dotcrlf}"); },
     plain("220 ****\r\n"),
     {},
     {},
     true},
    {"pix table fails",
     [](Setting& s) { s.table(s.tables.pix_workarounds, "texthash:/nonexistent"); },
     {send("220 ****\r\n")},
     Cause::local_data,
     {}},
    {"discarded",
     [](Setting& s) {
       s.options.discard_keywords = {"pipelining", "Silent-Discard"};
     },
     hello("250-mx\r\n250-PIPELINING\r\n250 DSN\r\n"),
     {},
     esmtp(false, true)},
    {"discarded by address",
     [](Setting& s) {
       s.options.discard_keywords = {"pipelining"};
       s.table(s.tables.discard_keywords, "inline:{{192.0.2.1=dsn, chunking}}");
     },
     hello("250-mx\r\n250-CHUNKING\r\n250-PIPELINING\r\n250 DSN\r\n"),
     {},
     esmtp(true)},
    {"discard table fails",
     [](Setting& s) { s.table(s.tables.discard_keywords, "texthash:/nonexistent"); },
     hello("250 mx\r\n"),
     Cause::local_data,
     {}},
    {"reply filter makes sense of garbage",
     [](Setting& s) {
       s.table(s.tables.reply_filter,
               "inline:{{hello you=220-filler}, {250-mx=250-mx}, {250 DSN=250 PIPELINING}}");
     },
     {send("hello you\r\n220 mx ESMTP\r\n"), expect("EHLO"), send("250-mx\r\n250 DSN\r\n")},
     {},
     esmtp(true)},
    {"reply filter leaves lines out",
     [](Setting& s) { s.table(s.tables.reply_filter, "regexp:{{/^...-(SIZE|me.example)/}}"); },
     {send("220-me.example\r\n220 mx ESMTP\r\n"), expect("EHLO"),
      send("250-mx\r\n250-SIZE 1\r\n250 PIPELINING\r\n")},
     {},
     esmtp(true)},
    {"reply filter leaves the last line out",
     [](Setting& s) { s.table(s.tables.reply_filter, "regexp:{{/^250 /}}"); },
     {send("220 mx ESMTP\r\n"), expect("EHLO"), send("250-mx\r\n250 PIPELINING\r\n"), stall()},
     Cause::timeout,
     {}},
    {"reply filter leaves all lines out",
     [](Setting& s) { s.table(s.tables.reply_filter, "regexp:{{/./}}"); },
     {send(kEndless), stall()},
     Cause::too_much,
     {}},
    {"reply filter decides",
     [](Setting& s) { s.table(s.tables.reply_filter, "inline:{{220 mx=521 5.3.2 no}}"); },
     {send("220 mx\r\n")},
     Cause::reply_temporary,
     {}},
    {"reply filter fails",
     [](Setting& s) { s.table(s.tables.reply_filter, "texthash:/nonexistent"); },
     {send("220 mx\r\n")},
     Cause::local_data,
     {}},
    {"endless greeting", {}, {send(kEndless), stall()}, Cause::too_much, {}},
    {"endless greeting and a reply filter",
     [](Setting& s) { s.table(s.tables.reply_filter, "inline:{a=b}"); },
     {send(kEndless), stall()},
     Cause::too_much,
     {}},
};

TEST(Greeting, TheOpeningOfADialogue) {
  for (const Case& c : kCases) {
    for (const std::size_t piece : {1U, 1000U}) {
      SCOPED_TRACE(c.name);
      const Greeted got = greeted(c.script, c.change, piece);
      EXPECT_EQ(got.problem, "");
      EXPECT_EQ(got.trouble.has_value(), c.cause.has_value());
      if (got.trouble && c.cause) {
        EXPECT_EQ(got.trouble->cause, *c.cause);
      }
      EXPECT_EQ(got.features, c.features);
      EXPECT_EQ(got.delay_dot, c.delay_dot);
    }
  }
}

TEST(Greeting, CutEverywhereIsNoSession) {
  for (const Case& c : kCases) {
    for (std::size_t cut = 0; cut < c.script.size(); ++cut) {
      if (!c.cause.has_value()) {
        Script part(c.script.begin(), c.script.begin() + static_cast<std::ptrdiff_t>(cut));
        part.push_back(close_now());
        const Greeted got = greeted(part, c.change);
        ASSERT_TRUE(got.trouble) << c.name << " cut at " << cut;
        EXPECT_EQ(got.trouble->cause, Cause::closed) << c.name << " cut at " << cut;
      }
    }
  }
}

TEST(Greeting, LoopsNameTheNextHop) {
  const Greeted got = greeted(hello("250 me.example\r\n"), {});
  ASSERT_TRUE(got.trouble);
  EXPECT_EQ(got.trouble->detail, "mail for there.example loops back to myself");
}

TEST(Greeting, ATranscriptIsKeptForThePostmaster) {
  EXPECT_EQ(greeted(hello("250 mx\r\n"), {}).transcript, "");
  const Greeted got = greeted(hello("250-mx\r\n250 a\x1b[31mb\r\n"), [](Setting& s) {
    s.options.notify_classes = {"protocol"};
    s.table(s.tables.reply_filter, "inline:{{220 mx ESMTP=220 you}}");
  });
  EXPECT_EQ(got.transcript, "In:  220 mx ESMTP\nReplaced-by: 220 you\nOut: EHLO me.example\n"
                            "In:  250-mx\nIn:  250 a?[31mb\n");
}

TEST(Transcripts, AreBoundedAndHoldNoCredentials) {
  Transcript t("mx[192.0.2.1]:25");
  t.keep();
  t.sent("AUTH PLAIN AGFiYwBkZWY=\r\nMAIL FROM:<a@b>\r\n");
  EXPECT_EQ(t.text(), "Out: AUTH PLAIN [...]\nOut: MAIL FROM:<a@b>\n");
  for (int i = 0; i < 1000; ++i)
    t.received("250 " + std::string(3000, 'x'));
  EXPECT_LT(t.text().size(), Transcript::kMostKept + 2000);
  EXPECT_TRUE(t.text().starts_with("("));
  t.clear();
  EXPECT_EQ(t.text(), "");
}

} // namespace
} // namespace postrider::smtpclient
