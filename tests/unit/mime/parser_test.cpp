// SPDX-License-Identifier: MIT
#include "mime/parser.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mime/seven_bit.hpp"

namespace postrider::mime {
namespace {

// Writes down what it is told: one line of text per event.
class Recorder final : public Sink {
 public:
  void header(const Header& h, const Entity&) override {
    const char* where[] = {"MAIN", "PART", "NEST"};
    log += where[static_cast<int>(h.where)];
    put(h.text, h.ends);
  }
  void more(const Line& line) override { log += "MORE", put(line.text, line.ends); }
  void header_end(Where, const Entity&, HeaderEnd how) override {
    const char* ends[] = {"END empty\n", "END other\n", "END content\n"};
    log += ends[static_cast<int>(how)];
  }
  void body(const Line& line, const Entity& entity) override {
    log += line.begins ? "BODY" : "ON  ";
    if (entity.domain != Domain::seven_bit) log += "8";
    put(line.text, line.ends);
  }
  std::string log;

 private:
  void put(std::string_view text, bool ends) {
    log += "|";
    for (const char c : text)
      log += c == '\n' ? '~' : c;
    log += ends ? "\n" : "...\n";
  }
};

// Everything that was put in, as content.
class Writer final : public Sink {
 public:
  void header(const Header& h, const Entity&) override {
    for (const char c : h.text)
      out += c == '\n' ? "\r\n" : std::string(1, c);
    if (h.ends) out += "\r\n";
  }
  void more(const Line& line) override { put(line); }
  void header_end(Where, const Entity&, HeaderEnd) override {}
  void body(const Line& line, const Entity&) override { put(line); }
  std::string out;

 private:
  void put(const Line& line) {
    out += line.text;
    if (line.ends) out += "\r\n";
  }
};

std::string crlf(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c == '\n' ? "\r\n" : std::string(1, c);
  return out;
}

std::string events(std::string_view content, const Limits& limits = {},
                   Parser::Depth depth = Parser::Depth::parts, std::size_t step = 1 << 20) {
  Recorder recorder;
  Parser parser(limits, depth, recorder);
  for (std::size_t i = 0; i < content.size(); i += step)
    parser.feed(content.substr(i, step));
  parser.finish();
  return recorder.log;
}

std::string to_seven_bit(std::string_view content, std::size_t step = 1 << 20) {
  Writer writer;
  SevenBit seven(writer);
  Parser parser({}, Parser::Depth::encodable, seven);
  for (std::size_t i = 0; i < content.size(); i += step)
    parser.feed(content.substr(i, step));
  parser.finish();
  return writer.out;
}

constexpr std::string_view kMixed = "Subject: one\n two\nContent-Type: multipart/mixed;\n"
                                    " boundary=\"b\"\n\npreamble\n--b\nContent-Type: text/plain\n"
                                    "Content-Transfer-Encoding: 8bit\n\ncaf\xc3\xa9\n--b\n"
                                    "Content-Type: message/rfc822\n\nSubject: inner\n\nin\n"
                                    "--bogus\n--b-- trailing\nepilogue\n";

TEST(ParserTest, TakesAMessageApart) {
  EXPECT_EQ(events(crlf(kMixed)), "MAIN|Subject: one~ two\n"
                                  "MAIN|Content-Type: multipart/mixed;~ boundary=\"b\"\n"
                                  "END empty\nBODY|\nBODY|preamble\nBODY|--b\n"
                                  "PART|Content-Type: text/plain\n"
                                  "PART|Content-Transfer-Encoding: 8bit\n"
                                  "END empty\nBODY8|\nBODY8|caf\xc3\xa9\nBODY|--b\n"
                                  "PART|Content-Type: message/rfc822\n"
                                  "END empty\nBODY|\nNEST|Subject: inner\n"
                                  "END empty\nBODY|\nBODY|in\n"
                                  // The boundary "b" is a prefix of this one, and so it counts.
                                  "BODY|--bogus\nEND other\nBODY|--b-- trailing\nBODY|epilogue\n");
}

TEST(ParserTest, HeadersOnlyWhenAskedFor) {
  EXPECT_EQ(events("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nA: b\r\n", {},
                   Parser::Depth::header_only),
            "MAIN|Content-Type: multipart/mixed; boundary=b\nEND empty\nBODY|\nBODY|--b\n"
            "BODY|A: b\n");
}

TEST(ParserTest, WhatEndsAHeader) {
  EXPECT_EQ(events("A: b\r\nnone\r\nC: d\r\n"), "MAIN|A: b\nEND other\nBODY|none\nBODY|C: d\n");
  EXPECT_EQ(events("A: b\r\n \r\nC: d\r\n"), "MAIN|A: b~ \nMAIN|C: d\nEND content\n");
  EXPECT_EQ(events(" A: b\r\n"), "END other\nBODY| A: b\n");
  EXPECT_EQ(events("A : b\r\n"), "MAIN|A : b\nEND content\n");
  EXPECT_EQ(events("\xc3\xa9: b\r\n"), "END other\nBODY|\xc3\xa9: b\n");
  EXPECT_EQ(events(": b\r\n"), "END other\nBODY|: b\n");
  EXPECT_EQ(events(""), "END content\n");
  EXPECT_EQ(events("A: b"), "MAIN|A: b\nEND content\n");
  EXPECT_EQ(events("A: b\r\n\r\nx"), "MAIN|A: b\nEND empty\nBODY|\nBODY|x\n");
}

TEST(ParserTest, LongLinesComeInPieces) {
  const Limits small{.line = 80};
  const std::string x(80, 'x');
  EXPECT_EQ(events("\r\n" + x + "\r\n", small), "END empty\nBODY|\nBODY|" + x + "\n");
  EXPECT_EQ(events("\r\n" + x + "y\r\n", small), "END empty\nBODY|\nBODY|" + x + "...\nON  |y\n");
  EXPECT_EQ(events("\r\n" + x + x + "y", small),
            "END empty\nBODY|\nBODY|" + x + "...\nON  |" + x + "...\nON  |y\n");
}

TEST(ParserTest, LongHeadersAreGivenOutEarly) {
  const Limits small{.header = 10, .line = 80};
  EXPECT_EQ(events("A: 3456789\r\n more\r\n and\r\nB: x\r\n", small),
            "MAIN|A: 3456789\nMORE| more\nMORE| and\nMAIN|B: x\nEND content\n");
  EXPECT_EQ(events("A: 345678\r\n more\r\n and\r\n", small),
            "MAIN|A: 345678~ more\nMORE| and\nEND content\n");
  const std::string x(77, 'x');
  EXPECT_EQ(events("A: " + x + "yz\r\n", small), "MAIN|A: " + x + "...\nMORE|yz\nEND content\n");
}

// shows: mime_boundary_length_limit
TEST(ParserTest, OnlyTheFrontOfALongBoundaryCounts) {
  const std::string text = "Content-Type: multipart/mixed; boundary=abcdefgh\r\n\r\n--abcdXYZ\r\n"
                           "A: b\r\n\r\nx\r\n";
  Limits four;
  four.boundary = 4;
  EXPECT_THAT(events(text), testing::HasSubstr("BODY|--abcdXYZ\nBODY|A: b\n")); // another text
  EXPECT_THAT(events(text, four), testing::HasSubstr("BODY|--abcdXYZ\nPART|A: b\n"));
}

// shows: mime_nesting_limit
TEST(ParserTest, NestingIsCapped) {
  const auto nested = [](int levels) {
    std::string text = "Content-Type: multipart/mixed; boundary=b0\r\n\r\n";
    for (int i = 1; i < levels; ++i)
      text += "--b" + std::to_string(i - 1) + "\r\nContent-Type: multipart/mixed; boundary=b" +
              std::to_string(i) + "\r\n\r\n";
    return text;
  };
  const auto too_deep = [&](int levels) {
    Recorder recorder;
    Parser parser({.nesting = 3}, Parser::Depth::parts, recorder);
    parser.feed(nested(levels));
    parser.finish();
    return parser.too_deep();
  };
  EXPECT_FALSE(too_deep(5)); // as Postfix counts
  EXPECT_TRUE(too_deep(6));
  EXPECT_TRUE(too_deep(10000));
}

TEST(ParserTest, AnUnterminatedPartEndsWithTheOneAround) {
  EXPECT_EQ(events("Content-Type: multipart/mixed; boundary=out\r\n\r\n--out\r\n"
                   "Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n\r\nx\r\n"
                   "--out--\r\n--inner\r\n"),
            "MAIN|Content-Type: multipart/mixed; boundary=out\nEND empty\nBODY|\nBODY|--out\n"
            "PART|Content-Type: multipart/mixed; boundary=inner\nEND empty\nBODY|\nBODY|--inner\n"
            "END empty\nBODY|\nBODY|x\nBODY|--out--\nBODY|--inner\n");
}

TEST(ParserTest, AnInternationalizedMessageHasAHeaderUnlessItIsEncoded) {
  const std::string text = "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                           "A: b\r\n";
  EXPECT_THAT(events(text), testing::EndsWith("BODY|\nNEST|A: b\nEND content\n"));
  EXPECT_THAT(events(text, {}, Parser::Depth::encodable),
              testing::EndsWith("BODY8|\nBODY8|A: b\n"));
}

TEST(ParserTest, PartsOfADigestAreMessages) {
  EXPECT_EQ(
      events("Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: x\r\n\r\n"),
      "MAIN|Content-Type: multipart/digest; boundary=d\nEND empty\nBODY|\nBODY|--d\n"
      "END empty\nBODY|\nNEST|Subject: x\nEND empty\nBODY|\n");
}

TEST(ParserTest, ALongBoundaryIsComparedAsFarAsItIsKept) {
  const std::string boundary(5000, 'b');
  EXPECT_EQ(events("Content-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n--" +
                       std::string(30, 'b') + "\r\nA: b\r\n",
                   {.boundary = 20}),
            "MAIN|Content-Type: multipart/mixed; boundary=" + boundary +
                "\nEND empty\nBODY|\nBODY|--" + std::string(30, 'b') +
                "\nPART|A: b\nEND content\n");
}

TEST(ParserTest, WhatComesInGoesOutHoweverItIsCut) {
  std::string content = crlf(kMixed) + std::string(5000, 'x') + "\r\n" + crlf(kMixed);
  content =
      "Long: " + std::string(300000, 'h') + "\r\n " + std::string(100, 'i') + "\r\n" + content;
  for (const std::size_t step : {1U, 2U, 7U, 2049U, 65536U, 1U << 20}) {
    Writer writer;
    Parser parser({}, Parser::Depth::parts, writer);
    for (std::size_t i = 0; i < content.size(); i += step)
      parser.feed(ByteView(content).substr(i, step));
    parser.finish();
    EXPECT_TRUE(writer.out == content) << step;
    EXPECT_EQ(events(content, {}, Parser::Depth::parts, step), events(content)) << step;
  }
}

TEST(ParserTest, HostileContentIsBoundedAndLinear) {
  const std::string many = [] {
    std::string text;
    for (int i = 0; i < 100000; ++i)
      text += "X-Header: " + std::to_string(i) + "\r\n";
    return text + "\r\nbody\r\n";
  }();
  const std::string boundaries = [] {
    std::string text = "Content-Type: multipart/mixed";
    for (int i = 0; i < 5000; ++i)
      text += "; boundary=x" + std::to_string(i);
    text += "\r\n\r\n";
    for (int i = 0; i < 100000; ++i)
      text += "--y\r\n";
    return text;
  }();
  const std::string comments =
      "Content-Type: " + std::string(1 << 20, '(') + "multipart/mixed; boundary=b\r\n\r\n";
  const std::string huge_boundary = "Content-Type: multipart/mixed; boundary=\"" +
                                    std::string(1 << 20, 'b') + "\"\r\n\r\n--" +
                                    std::string(1 << 20, 'b') + "\r\n\r\n";
  for (const std::string& content : {many, boundaries, comments, huge_boundary}) {
    Writer writer;
    SevenBit seven(writer);
    Parser parser({}, Parser::Depth::encodable, seven);
    parser.feed(content);
    parser.finish();
    EXPECT_TRUE(writer.out == content) << content.substr(0, 40);
  }
}

struct SevenCase {
  std::string_view name, in, out;
};
void PrintTo(const SevenCase& c, std::ostream* out) { *out << c.name; }
class SevenBitTest : public testing::TestWithParam<SevenCase> {};

TEST_P(SevenBitTest, Converts) {
  const std::string in = crlf(GetParam().in);
  EXPECT_EQ(to_seven_bit(in), crlf(GetParam().out));
  EXPECT_EQ(to_seven_bit(in, 1), crlf(GetParam().out));
}

// Each pair is what Postfix 3.7 sends for it.
const SevenCase kSeven[] = {
    {"unlabelled", "Subject: x\n\nna\xc3\xafve =\n", "Subject: x\n\nna\xc3\xafve =\n"},
    {"text", "Content-Transfer-Encoding: 8bit\nSubject: \xc3\xa9\n\ncaf\xc3\xa9 =\n",
     "Subject: \xc3\xa9\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9 =3D\n"},
    {"binary",
     "Content-Type: application/octet-stream\nContent-Transfer-Encoding: BINARY\n\n\xc3\xa9\n",
     "Content-Type: application/octet-stream\nContent-Transfer-Encoding: quoted-printable\n\n"
     "=C3=A9\n"},
    {"message",
     "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: in\n"
     "Content-Transfer-Encoding: 8bit\n\n\xc3\xa9\n",
     "Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: in\n"
     "Content-Transfer-Encoding: quoted-printable\n\n=C3=A9\n"},
    {"global_message",
     "Content-Type: message/global\nContent-Transfer-Encoding: 8bit\n\nSubject: \xc3\xa9\n"
     "Content-Transfer-Encoding: 8bit\n\n\xc3\xa9\n",
     "Content-Type: message/global\nContent-Transfer-Encoding: quoted-printable\n\n"
     "Subject: =C3=A9\nContent-Transfer-Encoding: 8bit\n\n=C3=A9\n"},
    {"global_message_that_is_no_8bit",
     "Content-Type: message/global\nContent-Transfer-Encoding: quoted-printable\n\n"
     "Content-Transfer-Encoding: 8bit\n\n\xc3\xa9\n",
     "Content-Type: message/global\nContent-Transfer-Encoding: quoted-printable\n\n"
     "Content-Transfer-Encoding: quoted-printable\n\n=C3=A9\n"},
    {"multipart",
     "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\npre \xc3\xa9\n"
     "--b\nContent-Transfer-Encoding: 8bit\n\n\xc3\xa9\n--b--\n\xc3\xa9\n",
     "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\npre \xc3\xa9\n"
     "--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9\n--b--\n\xc3\xa9\n"},
    {"part_of_seven_bit_multipart",
     "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\n"
     "--b\nContent-Transfer-Encoding: 8bit\n\n\xc3\xa9\n",
     "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\n"
     "--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9\n"},
    {"encoded_already", "Content-Transfer-Encoding: quoted-printable\n\n\xc3\xa9 =3D\n",
     "Content-Transfer-Encoding: quoted-printable\n\n\xc3\xa9 =3D\n"},
    {"unknown_encoding", "Content-Transfer-Encoding: x-uu\n\n\xc3\xa9\n",
     "Content-Transfer-Encoding: x-uu\n\n\xc3\xa9\n"},
    {"comment_before_encoding", "Content-Transfer-Encoding: (c) 8bit; foo\n\n\xc3\xa9\n",
     "Content-Transfer-Encoding: quoted-printable\n\n=C3=A9\n"},
    {"the_last_encoding_counts",
     "Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: 7bit\n\n\xc3\xa9\n",
     "Content-Transfer-Encoding: 7bit\n\n\xc3\xa9\n"},
    {"the_last_encoding_counts_2",
     "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: 8bit\n\n\xc3\xa9\n",
     "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9\n"},
    {"no_empty_line", "Content-Transfer-Encoding: 8bit\nnot a header \xc3\xa9\n",
     "Content-Transfer-Encoding: quoted-printable\n\nnot a header =C3=A9\n"},
    {"header_alone", "Content-Transfer-Encoding: 8bit\n",
     "Content-Transfer-Encoding: quoted-printable\n"},
    {"line_ends",
     "Content-Transfer-Encoding: 8bit\n\n\xc3\xa9 \n\t\nabc \n.\nFrom me\n\x01\x7f\n\n",
     "Content-Transfer-Encoding: quoted-printable\n\n=C3=A9=20\n=09\nabc=20\n.\nFrom me\n"
     "=01=7F\n\n"},
    {"soft_breaks",
     "Content-Transfer-Encoding: 8bit\n\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx \n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx \n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\xc3\xa9\n",
     "Content-Transfer-Encoding: quoted-printable\n\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=20\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n=20\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\nx\n"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy=C3=\n=A9\n"},
};
INSTANTIATE_TEST_SUITE_P(Rfc6152, SevenBitTest, testing::ValuesIn(kSeven),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(SevenBitTest, NoLineIsLongerThanRfc2045Allows) {
  std::string body;
  for (int i = 0; i < 100000; ++i)
    body.push_back(static_cast<char>(i * 7 % 251 == 10 ? 'n' : i * 7 % 251));
  body.erase(
      std::remove_if(body.begin(), body.end(), [](char c) { return c == '\r' || c == '\n'; }),
      body.end());
  const std::string out = to_seven_bit("Content-Transfer-Encoding: 8bit\r\n\r\n" + body);
  std::size_t from = out.find("\r\n\r\n") + 4;
  while (from < out.size()) {
    const std::size_t end = out.find("\r\n", from);
    ASSERT_LE(end - from, 76U);
    from = end + 2;
  }
}

struct TypeCase {
  std::string_view name, in;
  Type type;
  std::vector<std::string> boundaries;
};
void PrintTo(const TypeCase& c, std::ostream* out) { *out << c.name; }
class ContentTypeTest : public testing::TestWithParam<TypeCase> {};
TEST_P(ContentTypeTest, IsUnderstood) {
  const ContentType type = parse_content_type(GetParam().in);
  EXPECT_EQ(type.type, GetParam().type);
  EXPECT_EQ(type.boundaries, GetParam().boundaries);
}
const TypeCase kTypes[] = {
    {"text", " text/plain; boundary=x", Type::text, {}},
    {"other", " image/png", Type::other, {}},
    {"nothing", "", Type::other, {}},
    {"multipart", " MULTIPART/mixed; BOUNDARY=abc", Type::multipart, {"abc"}},
    {"quoted", " multipart/mixed; boundary=\"a b\\\"c;\"", Type::multipart, {"a b\"c;"}},
    {"folded_quote", " multipart/mixed; boundary=\"a \n b\"", Type::multipart, {"a b"}},
    {"comments",
     " (x) multipart (y) / (z) mixed ; (;) boundary (=) = (q) b",
     Type::multipart,
     {"b"}},
    {"behind_others", " multipart/mixed; charset=\"x;y\"; a=b; boundary=c", Type::multipart, {"c"}},
    {"several", " multipart/mixed; boundary=a; boundary=b", Type::multipart, {"a", "b"}},
    {"no_subtype", " multipart; boundary=a", Type::multipart, {"a"}},
    {"no_value", " multipart/mixed; boundary=; boundary=b", Type::multipart, {"b"}},
    {"empty", " multipart/mixed; boundary=\"\"", Type::multipart, {""}},
    {"unterminated", " multipart/mixed; boundary=\"abc", Type::multipart, {"abc"}},
    {"rfc2231", " multipart/mixed; boundary*0=a; boundary*1=b", Type::multipart, {}},
};
INSTANTIATE_TEST_SUITE_P(Rfc2045Section5, ContentTypeTest, testing::ValuesIn(kTypes),
                         [](const auto& row) { return std::string(row.param.name); });

} // namespace
} // namespace postrider::mime
