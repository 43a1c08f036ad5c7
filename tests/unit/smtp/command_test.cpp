// SPDX-License-Identifier: MIT
#include "smtp/command.hpp"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "smtp/xtext.hpp"

namespace postrider::smtp {
namespace {

using namespace std::literals;

TEST(CommandLine, SplitsVerbAndArguments) {
  EXPECT_EQ(parse_command("mail FROM:<a@b>").verb, Verb::mail);
  EXPECT_EQ(parse_command("RCPT TO:<a@b>  ").arguments, "TO:<a@b>");
  EXPECT_EQ(parse_command("QUIT").verb, Verb::quit);
  EXPECT_EQ(parse_command("QUITE").verb, Verb::unknown);
  EXPECT_EQ(parse_command("").verb, Verb::unknown);
  for (const auto line : {"NOOP \0"sv, "NOOP\rQUIT"sv, "NOOP\nQUIT"sv, "NOOP \x1b[1m"sv})
    EXPECT_EQ(parse_command(line).verb, Verb::unknown);
}

TEST(MailCommand, ReadsEveryParameter) {
  MailCommand c;
  ASSERT_FALSE(parse_mail("from:<A@b.example> SIZE=12 body=8bitmime RET=HDRS ENVID=q+2B1 "
                          "AUTH=<> SMTPUTF8",
                          c));
  EXPECT_EQ(c.sender, "A@b.example");
  EXPECT_EQ(c.size, 12U);
  EXPECT_EQ(c.body, mail::Body::eight_bit_mime);
  EXPECT_EQ(c.ret, mail::Ret::hdrs);
  EXPECT_EQ(c.envid, "q+1");
  EXPECT_EQ(c.auth, "");
  EXPECT_TRUE(c.smtputf8);
  ASSERT_FALSE(parse_mail("FROM: <>", c));
  EXPECT_EQ(c.sender, "");
  EXPECT_FALSE(c.smtputf8);
}

struct Refused {
  std::string_view arguments;
  int code;
  std::string_view dsn;
};

TEST(MailCommand, RefusesWhatIsMalformed) {
  for (const Refused& r : std::vector<Refused>{
           {"", 501, "5.5.4"},
           {"FROM", 501, "5.5.4"},
           {"FROM:", 501, "5.5.4"},
           {"TO:<a@b>", 501, "5.5.4"},
           {"FROM:<a@b", 501, "5.1.7"},
           {"FROM:<a@b>x", 501, "5.1.7"},
           {"FROM:<a b@c>", 501, "5.1.7"},
           {"FROM:<a@b> SIZE=", 501, "5.5.4"},
           {"FROM:<a@b> SIZE=-1", 501, "5.5.4"},
           {"FROM:<a@b> SIZE=18446744073709551616", 501, "5.5.4"},
           {"FROM:<a@b> BODY=BINARYMIME", 555, "5.5.4"},
           {"FROM:<a@b> RET=SOME", 501, "5.5.4"},
           {"FROM:<a@b> RET=FULL RET=HDRS", 501, "5.5.4"},
           {"FROM:<a@b> ENVID=", 501, "5.5.4"},
           {"FROM:<a@b> ENVID=+", 501, "5.5.4"},
           {"FROM:<a@b> ENVID=a+0", 501, "5.5.4"},
           {"FROM:<a@b> ENVID=a+GG", 501, "5.5.4"},
           {"FROM:<a@b> ENVID=a+00b", 501, "5.5.4"},
           {"FROM:<a@b> ENVID=a+0Ab", 501, "5.5.4"},
           {"FROM:<a@b> AUTH=x+0D+0Ay", 501, "5.5.4"},
           {"FROM:<a@b> SMTPUTF8=1", 501, "5.5.4"},
           {"FROM:<a@b> WHAT=1", 555, "5.5.4"},
           {"FROM:<\xc3\xa9@b>", 553, "5.6.7"},
           {"FROM:<\xc3@b> SMTPUTF8", 501, "5.1.7"},
       }) {
    MailCommand c;
    const auto refusal = parse_mail(r.arguments, c);
    ASSERT_TRUE(refusal) << r.arguments;
    EXPECT_EQ(refusal->code, r.code) << r.arguments;
    EXPECT_EQ(refusal->dsn, r.dsn) << r.arguments;
  }
}

TEST(RcptCommand, ReadsNotifyAndOrcpt) {
  RcptCommand c;
  ASSERT_FALSE(parse_rcpt("TO:<a@b> NOTIFY=SUCCESS,delay ORCPT=RFC822;a+2Bx@b", mail::Utf8::no, c));
  EXPECT_EQ(c.recipient.address, "a@b");
  EXPECT_EQ(c.recipient.notify, mail::notify_success | mail::notify_delay);
  EXPECT_EQ(c.recipient.orcpt, "rfc822;a+x@b");
  ASSERT_FALSE(parse_rcpt("TO:<\xc3\xa9@b>", mail::Utf8::yes, c));
}

TEST(RcptCommand, RefusesWhatIsMalformed) {
  for (const Refused& r : std::vector<Refused>{
           {"TO:<>", 501, "5.1.3"},
           {"TO:<a@b> NOTIFY=", 501, "5.5.4"},
           {"TO:<a@b> NOTIFY=NEVER,SUCCESS", 501, "5.5.4"},
           {"TO:<a@b> NOTIFY=SUCCESS,", 501, "5.5.4"},
           {"TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY", 501, "5.5.4"},
           {"TO:<a@b> ORCPT=a@b", 501, "5.5.4"},
           {"TO:<a@b> ORCPT=rfc822;", 501, "5.5.4"},
           {"TO:<a@b> ORCPT=rfc822;a+00", 501, "5.5.4"},
           {"TO:<a@b> ORCPT=r/c;a", 501, "5.5.4"},
           {"TO:<a@b> SIZE=1", 555, "5.5.4"},
           {"TO:<\xc3\xa9@b>", 553, "5.6.7"},
       }) {
    RcptCommand c;
    const auto refusal = parse_rcpt(r.arguments, mail::Utf8::no, c);
    ASSERT_TRUE(refusal) << r.arguments;
    EXPECT_EQ(refusal->code, r.code) << r.arguments;
    EXPECT_EQ(refusal->dsn, r.dsn) << r.arguments;
  }
}

TEST(BdatCommand, AcceptsAndRefuses) {
  BdatCommand c;
  ASSERT_FALSE(parse_bdat("0", c));
  EXPECT_FALSE(c.last);
  ASSERT_FALSE(parse_bdat("42 last", c));
  EXPECT_EQ(c.size, 42U);
  EXPECT_TRUE(c.last);
  for (const auto bad : {"", "-1", "+1", "9223372036854775808", "99999999999999999999", "1 FIRST",
                         "1 LAST x", "LAST", "1x"})
    EXPECT_TRUE(parse_bdat(bad, c)) << bad;
}

TEST(Xtext, RoundTripsAndRefusesControls) {
  EXPECT_EQ(to_xtext("a+b=c d"), "a+2Bb+3Dc+20d");
  EXPECT_EQ(from_xtext("a+2Bb+3Dc+20d"), "a+b=c d");
  for (const auto bad : {"+", "+0", "+GG", "a+2b", "+00", "+0A", "+7F", "a=b", "\t"})
    EXPECT_EQ(from_xtext(bad), std::nullopt) << bad;
}

// RFC 3461 section 4, from the left; and what it may not stand for.
std::optional<std::string> expected_text(std::string_view xtext) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  while (!xtext.empty()) {
    unsigned byte = static_cast<unsigned char>(xtext.front());
    const bool encoded = byte == '+';
    if (byte <= ' ' || byte > '~' || byte == '=') return std::nullopt;
    if (encoded) {
      if (xtext.size() < 3) return std::nullopt;
      const std::size_t high = kHex.find(xtext[1]), low = kHex.find(xtext[2]);
      if (high == kHex.npos || low == kHex.npos) return std::nullopt;
      byte = static_cast<unsigned>(16 * high + low);
      if (byte < ' ' || byte == 0x7f) return std::nullopt;
    }
    out.push_back(static_cast<char>(byte));
    xtext.remove_prefix(encoded ? 3 : 1);
  }
  return out;
}

// All that can be said with a few bytes, in memory of just that size: a byte too far is seen.
TEST(Xtext, EveryShortTextIsReadAsTheStandardSays) {
  constexpr std::string_view kBytes("+02AGa=\0\n ~", 11);
  std::size_t good = 0;
  std::vector<char> text;
  const std::function<void()> extend = [&] {
    const std::vector<char> exact(text.begin(), text.end());
    const std::string_view xtext(exact.data(), exact.size());
    const auto wanted = expected_text(xtext);
    ASSERT_EQ(from_xtext(xtext), wanted) << testing::PrintToString(xtext);
    good += wanted ? 1 : 0;
    if (text.size() == 4) return;
    for (const char c : kBytes) {
      text.push_back(c);
      extend();
      text.pop_back();
    }
  };
  extend();
  EXPECT_GT(good, 1000U);
}

} // namespace
} // namespace postrider::smtp
