// SPDX-License-Identifier: MIT
#include "smtp/reply.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mail/status.hpp"
#include "smtp/ehlo.hpp"

namespace postrider::smtp {
namespace {

using namespace std::literals;

// Feeds in pieces and returns the replies; the Error's kind as text when there is one.
std::vector<std::string> replies(std::string_view in, std::size_t piece) {
  ReplyParser parser;
  std::vector<std::string> out;
  while (!in.empty()) {
    ByteView part = in.substr(0, piece);
    in.remove_prefix(part.size());
    while (!part.empty()) {
      const auto complete = parser.feed(part);
      if (!complete) {
        out.emplace_back(to_string(complete.error().kind()));
        return out;
      }
      if (!*complete) continue;
      const Reply reply = parser.take();
      out.push_back(std::to_string(reply.code) + "|" + reply.dsn + "|" + reply.joined("/"));
    }
  }
  return out;
}

struct Case {
  std::string_view in;
  std::vector<std::string> out;
};

TEST(ReplyParsing, IsTheSameInAnyPieces) {
  for (const Case& c : std::vector<Case>{
           {"250 ok\r\n"sv, {"250||250 ok"}},
           {"250\r\n"sv, {"250||250"}},
           {"250 ok\n"sv, {"250||250 ok"}},
           {"250 2.1.5 ok\r\n354 go\r\n"sv, {"250|2.1.5|250 2.1.5 ok", "354||354 go"}},
           {"550-5.1.1 a\r\n550 5.1.1 b\r\n"sv, {"550|5.1.1|550-5.1.1 a/550 5.1.1 b"}},
           {"550 5.1.1\r\n"sv, {"550|5.1.1|550 5.1.1"}},
           {"250-a\r\n550 b\r\n"sv, {"550||250-a/550 b"}},
           {"250-2.0.0 a\r\n550 b\r\n"sv, {"550||250-2.0.0 a/550 b"}},
           {"550 2.1.5 wrong class\r\n"sv, {"550||550 2.1.5 wrong class"}},
           {"550 5.1. x\r\n"sv, {"550||550 5.1. x"}},
           {"550 5.1.1x\r\n"sv, {"550||550 5.1.1x"}},
           {"550 5.1.1234\r\n"sv, {"550||550 5.1.1234"}},
           {"250 a\0b\x1b[1m\rc\r\n"sv, {"250||250 a?b?[1m?c"}},
           {"000 x\r\n"sv, {"protocol"}},
           {"099 x\r\n"sv, {"protocol"}},
           {"199 x\r\n"sv, {"protocol"}},
           {"600 x\r\n"sv, {"protocol"}},
           {"25\r\n"sv, {"protocol"}},
           {"25 x\r\n"sv, {"protocol"}},
           {"2500 x\r\n"sv, {"protocol"}},
           {"2x0 x\r\n"sv, {"protocol"}},
           {"\r\n"sv, {"protocol"}},
           {"\xd9\xa2\xd9\xa5\xd9\xa0 x\r\n"sv, {"protocol"}},
           {"250 ok\r\ngarbage\r\n250 ok\r\n"sv, {"250||250 ok", "protocol"}},
       }) {
    for (std::size_t piece = 1; piece <= c.in.size() + 1; ++piece)
      EXPECT_EQ(replies(c.in, piece), c.out) << c.in << " in pieces of " << piece;
  }
}

TEST(ReplyParsing, Limits) {
  const std::string longest = "250 " + std::string(ReplyParser::kMaxLine - 5, 'x');
  EXPECT_EQ(replies(longest + "\r\n", 100).size(), 1U);
  EXPECT_EQ(replies(std::string(8 << 20, 'x'), 4096), std::vector<std::string>{"limit"});
  std::string endless;
  for (int i = 0; i < 100000; ++i)
    endless += "250-more\r\n";
  EXPECT_EQ(replies(endless, 4096), std::vector<std::string>{"limit"});
  // What is kept of a long reply is bounded, the code still right.
  ReplyParser parser;
  std::string many;
  for (int i = 0; i < 40; ++i)
    many += "550-" + std::string(1000, 'y') + "\r\n";
  many += "550 5.7.1 end\r\n";
  ByteView in = many;
  const auto complete = parser.feed(in);
  ASSERT_TRUE(complete && *complete);
  EXPECT_LE(parser.reply().text.size(), ReplyParser::kMaxStored);
  EXPECT_EQ(parser.reply().dsn, "5.7.1");
}

TEST(ReplyParsing, LongLinesAreCut) {
  const std::string kept = "250-" + std::string(ReplyParser::kMaxLine - 4, 'x');
  for (const std::size_t more : {std::size_t{1}, std::size_t{100}, std::size_t{1} << 20})
    for (const std::size_t piece : {std::size_t{2047}, std::size_t{2048}, std::size_t{2049}, more})
      EXPECT_EQ(replies(kept + std::string(more, 'y') + "\r\n250 end\r\n", piece),
                std::vector<std::string>{"250||" + kept + "/250 end"});
}

TEST(ReplyParsing, KnowsWhetherSomethingWasCut) {
  const auto cut = [](const std::string& text) {
    ReplyParser parser;
    ByteView in = text;
    const auto complete = parser.feed(in);
    EXPECT_TRUE(complete && *complete);
    return parser.was_cut();
  };
  const std::string longest = "250 " + std::string(ReplyParser::kMaxLine - 4, 'x');
  EXPECT_FALSE(cut(longest + "\n"));
  EXPECT_TRUE(cut(longest + "x\n"));
  EXPECT_TRUE(cut("250-" + longest + "\n250 end\n"));
}

TEST(Status, DefaultAndGiven) {
  EXPECT_EQ((Reply{550, "", ""}).status(), "5.0.0");
  EXPECT_EQ((Reply{451, "", ""}).status(), "4.0.0");
  EXPECT_EQ((Reply{250, "2.6.0", ""}).status(), "2.6.0");
  EXPECT_TRUE(mail::is_status("5.123.456"));
  for (const auto bad : {"", "3.1.1", "5.1", "5..1", "5.1.", "5.1.1 ", "05.1.1", "5.1.1.1"})
    EXPECT_FALSE(mail::is_status(bad)) << bad;
  EXPECT_EQ(mail::with_class("5.7.1", '4'), "4.7.1");
}

TEST(Ehlo, ReadsFeatures) {
  const Reply reply{250, "",
                    "250-mx.example hello\n250-PIPELINING\n250-size 1000\n250-AUTH PLAIN LOGIN\n"
                    "250-8bitmime\n250-DSN\n250-XYZZY\n250-\n250 SMTPUTF8"};
  const Features f = parse_features(reply);
  EXPECT_TRUE(f.esmtp && f.pipelining && f.size && f.eight_bit_mime && f.dsn && f.smtputf8);
  EXPECT_EQ(f.size_limit, 1000U);
  EXPECT_EQ(f.auth, "PLAIN LOGIN");
  EXPECT_FALSE(f.starttls);
  EXPECT_EQ(first_word(reply), "mx.example");
  const Features less = parse_features(reply, {"pipelining", "SIZE"});
  EXPECT_FALSE(less.pipelining || less.size);
}

TEST(Ehlo, TakesSmtputf8ForEightBitMime) {
  const Features f = parse_features(Reply{250, "", "250-x\n250 smtputf8"}, {"8bitmime"});
  EXPECT_TRUE(f.smtputf8 && f.eight_bit_mime); // RFC 6531 section 3.1
}

TEST(Ehlo, SurvivesNonsense) {
  for (const auto text :
       {"250", "250 ", "250-\n", "250 x\n", "250 x\n250", "250 x\n250 SIZE 99999999999999999999999",
        "250 x\n250 SIZE -1", "250 x\n250 SIZE"}) {
    const Features f = parse_features(Reply{250, "", text});
    EXPECT_EQ(f.size_limit, 0U) << text;
  }
}

} // namespace
} // namespace postrider::smtp
