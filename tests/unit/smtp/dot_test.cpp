// SPDX-License-Identifier: MIT
#include "smtp/dot.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace postrider::smtp {
namespace {

struct Case {
  std::string_view name, in, content, rest;
  bool ends;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

struct Decoded {
  std::string content, rest;
  bool ended = false;
  std::uint64_t stray = 0;
  mail::ContentFacts facts;
};

Decoded decode(std::string_view in, std::size_t piece, BareNewline mode = BareNewline::normalize) {
  DataDecoder decoder(mode);
  Decoded result;
  while (!in.empty()) {
    const std::string_view part = in.substr(0, piece);
    const auto fed = decoder.feed(part, result.content);
    in.remove_prefix(fed.consumed);
    if (fed.ended) {
      result.ended = true;
      break;
    }
    EXPECT_EQ(fed.consumed, part.size());
  }
  result.rest = in;
  result.stray = decoder.stray();
  result.facts = decoder.facts();
  return result;
}

using namespace std::literals;
class DataDecoding : public testing::TestWithParam<Case> {};

TEST_P(DataDecoding, GivesTheSameHoweverItIsCut) {
  const Case& c = GetParam();
  for (std::size_t piece = 1; piece <= c.in.size() + 1; ++piece) {
    const Decoded got = decode(c.in, piece);
    EXPECT_EQ(got.content, c.content) << "pieces of " << piece;
    EXPECT_EQ(got.ended, c.ends) << "pieces of " << piece;
    EXPECT_EQ(got.rest, c.rest) << "pieces of " << piece;
  }
}

const std::vector<Case> kCases = {
    {"Plain", "a\r\nb\r\n.\r\nQUIT\r\n"sv, "a\r\nb\r\n"sv, "QUIT\r\n"sv, true},
    {"Empty", ".\r\n"sv, ""sv, ""sv, true},
    {"EmptyLines", "\r\n\r\n.\r\n"sv, "\r\n\r\n"sv, ""sv, true},
    {"DotsRemoved", "..\r\n.a\r\n...b\r\n.\r\n"sv, ".\r\na\r\n..b\r\n"sv, ""sv, true},
    {"DotInLine", "a.\r\nb..\r\n.\r\n"sv, "a.\r\nb..\r\n"sv, ""sv, true},
    {"LongEnoughForWords", "0123456789abcdefghijklmnop\r\n0123456789\r\n.\r\n"sv,
     "0123456789abcdefghijklmnop\r\n0123456789\r\n"sv, ""sv, true},
    {"LfDotLf", "a\n.\nQUIT\r\n"sv, "a\r\n\r\nQUIT\r\n"sv, ""sv, false},
    {"LfDotCrLf", "a\n.\r\nb\r\n"sv, "a\r\n\r\nb\r\n"sv, ""sv, false},
    {"CrLfDotLf", "a\r\n.\nb\r\n"sv, "a\r\n\r\nb\r\n"sv, ""sv, false},
    {"CrDotCr", "a\r.\rb\r\n"sv, "a . b\r\n"sv, ""sv, false},
    {"CrDotLf", "a\r.\nb\r\n"sv, "a .\r\nb\r\n"sv, ""sv, false},
    {"LfDotCr", "a\n.\rb\r\n"sv, "a\r\n b\r\n"sv, ""sv, false},
    {"CrDotCrLf", "a\r.\r\nb\r\n"sv, "a .\r\nb\r\n"sv, ""sv, false},
    {"CrLfDotCr", "a\r\n.\rb\r\n"sv, "a\r\n b\r\n"sv, ""sv, false},
    {"NulBeforeDot", "a\r\n\0.\r\nb\r\n"sv, "a\r\n .\r\nb\r\n"sv, ""sv, false},
    {"NulBehindDot", "a\r\n.\0\r\nb\r\n"sv, "a\r\n \r\nb\r\n"sv, ""sv, false},
    {"CrLfDotCrCrLf", "a\r\n.\r\r\nb\r\n"sv, "a\r\n \r\nb\r\n"sv, ""sv, false},
    {"CrCrLfDotCrCrLf", "a\r\r\n.\r\r\nb\r\n"sv, "a \r\n \r\nb\r\n"sv, ""sv, false},
    {"CrCrLfDotCrLf", "a\r\r\n.\r\nNEXT"sv, "a \r\n"sv, "NEXT"sv, true},
    {"CrLfCrDot", "a\r\n\r.\r\nb\r\n"sv, "a\r\n .\r\nb\r\n"sv, ""sv, false},
    {"BareLfAfterTwoDots", "a\n..\nb\r\n.\r\n"sv, "a\r\n.\r\nb\r\n"sv, ""sv, true},
    {"NulInside", "a\0b\r\n.\r\n"sv, "a b\r\n"sv, ""sv, true},
};
INSTANTIATE_TEST_SUITE_P(Rfc5321Section452, DataDecoding, testing::ValuesIn(kCases),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(DataDecodingModes, RejectNamesStrayLineEnds) {
  for (const auto& [in, rejected] : std::vector<std::pair<std::string_view, bool>>{
           {"a\nb\r\n.\r\n", true}, {"a\rb\r\n.\r\n", true}, {"a\r\n.\r\n", false}}) {
    DataDecoder decoder(BareNewline::reject);
    std::string out;
    EXPECT_TRUE(decoder.feed(in, out).ended);
    EXPECT_EQ(decoder.rejected(), rejected) << in;
  }
  EXPECT_EQ(decode("a\nb\rc\r\n.\r\n", 100, BareNewline::no).content, "a\r\nb c\r\n");
}

TEST(DataDecodingChunks, KeepsDotsAndEndsOnlyWhenTold) {
  DataDecoder decoder(BareNewline::normalize, Framing::chunk);
  std::string out;
  const std::string in = ".a\r\n.\r\nb\nc\r";
  EXPECT_EQ(decoder.feed(in, out).consumed, in.size());
  EXPECT_EQ(out, ".a\r\n.\r\nb\r\nc");
  decoder.finish(out);
  EXPECT_EQ(out, ".a\r\n.\r\nb\r\nc ");
  EXPECT_TRUE(decoder.facts().needs_dot_stuffing);
  EXPECT_FALSE(decoder.facts().ends_with_newline);
}

TEST(DataDecodingFacts, AreThoseOfTheContent) {
  const std::string wire =
      "Received: one\r\n\tmore\r\nreceived : two\r\nSubject: \xc3\xa9\r\nMessage-Id:\r\n <1@x>\r\n"
      "\r\nReceived: not a header\r\n..dot\r\n" +
      std::string(2000, 'x') + "\r\n.\r\n";
  for (const std::size_t piece : {1U, 7U, 100000U}) {
    DataDecoder decoder;
    std::string out;
    std::string_view rest = wire;
    while (!decoder.ended())
      rest.remove_prefix(decoder.feed(rest.substr(0, piece), out).consumed);
    const auto& facts = decoder.facts();
    EXPECT_EQ(facts.size, out.size());
    EXPECT_EQ(facts.hops, 2);
    EXPECT_EQ(facts.longest_line, 2000U);
    EXPECT_TRUE(facts.has_8bit && facts.utf8_headers && facts.needs_dot_stuffing);
    EXPECT_TRUE(facts.ends_with_newline);
    EXPECT_EQ(facts.header_size, out.find("\r\n\r\n") + 4);
    EXPECT_EQ(decoder.scanner().message_id(), "<1@x>");
    EXPECT_FALSE(decoder.scanner().has_from());
  }
}

TEST(DotStuffing, DoublesAtEveryLineStartHoweverItIsCut) {
  for (const auto& [in, out] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"a\r\n", "a\r\n"},
           {".\r\n", "..\r\n"},
           {"a\r\n.b\r\n..\r\n", "a\r\n..b\r\n...\r\n"},
           {"a.\r\n", "a.\r\n"},
           {"", ""},
           {"\r\n.", "\r\n.."}}) {
    for (std::size_t piece = 1; piece <= in.size() + 1; ++piece) {
      std::string got;
      bool at_line_start = true;
      for (std::size_t at = 0; at < in.size(); at += piece)
        append_stuffed(got, in.substr(at, piece), at_line_start);
      EXPECT_EQ(got, out) << in << " in pieces of " << piece;
    }
  }
}

TEST(LineFolding, BreaksLongLinesAndStuffs) {
  for (const auto& [in, out] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"abcde\r\n", "abcde\r\n"},
           {"abcdef\r\n", "abcde\r\n f\r\n"},
           {".bcdefghijk\r\n", "..bcde\r\n fghi\r\n jk\r\n"},
           {"\r\n\r\n", "\r\n\r\n"}}) {
    for (std::size_t piece = 1; piece <= in.size() + 1; ++piece) {
      LineFolder folder(5);
      std::string got;
      for (std::size_t at = 0; at < in.size(); at += piece)
        folder.append(got, in.substr(at, piece));
      EXPECT_EQ(got, out) << in << " in pieces of " << piece;
    }
  }
}

TEST(LineFolding, WhatCannotBeSentIsCleaned) {
  for (const auto& [in, out] : std::vector<std::pair<std::string, std::string_view>>{
           {"a\rb\r\n", "a b\r\n"},
           {"a\r\r\n", "a \r\n"},
           {"a\n.\r\nMAIL\r\n", "a\r\n..\r\nMAIL\r\n"},
           {"a\r\n.\nb\r\n", "a\r\n..\r\nb\r\n"},
           {"a\r.\r\n", "a .\r\n"},
           {"\r.\r\n", " .\r\n"},
           {std::string("a\0b\r\n", 5), "a b\r\n"},
           {std::string("\0.\n", 3), " .\r\n"},
           {"123456789\r\n", "123456789\r\n"}}) {
    for (std::size_t piece = 1; piece <= in.size() + 1; ++piece) {
      LineFolder folder(0);
      std::string got;
      for (std::size_t at = 0; at < in.size(); at += piece)
        folder.append(got, ByteView(in).substr(at, piece));
      EXPECT_EQ(got, out) << in << " in pieces of " << piece;
    }
  }
}

TEST(LineFolding, ChunksKeepTheirDots) {
  LineFolder folder(5, Framing::chunk);
  std::string got;
  folder.append(got, ".bcdef\r\n.\r\n");
  EXPECT_EQ(got, ".bcde\r\n f\r\n.\r\n");
  EXPECT_TRUE(folder.folded());
}

TEST(DotStuffing, RoundTrips) {
  const std::string content = "..a\r\n.\r\n\r\nb.\r\n.c\r\n";
  std::string wire;
  bool at_line_start = true;
  append_stuffed(wire, content, at_line_start);
  EXPECT_EQ(decode(wire + ".\r\n", 3).content, content);
}

} // namespace
} // namespace postrider::smtp
