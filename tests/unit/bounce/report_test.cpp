// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/ascii.hpp"
#include "mail/header.hpp"
#include "queue/id.hpp"

namespace postrider::bounce {
namespace {

using proto::ReportKind;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kOriginal =
    "Received: from a by b\r\nFrom: ann@example.com\r\nSubject: hello\r\n"
    "Message-ID: <one@example.com>\r\n\r\nDear Bob,\r\n.hello\r\n";

proto::Report sample(ReportKind kind = ReportKind::failed) {
  proto::Report report;
  report.kind = kind;
  report.id = queue::Id::make(1790000000000, 7).number();
  report.send_to = "ann@example.com";
  report.envelope.sender = "ann@example.com";
  report.envelope.arrival = 1790000000000000;
  report.envelope.message_id = "<one@example.com>";
  mail::Recipient bob;
  bob.address = "bob@example.org";
  report.envelope.recipients = {bob};
  report.recipient_indices = {3};
  mail::Outcome outcome;
  outcome.verdict = mail::Verdict::bounced;
  outcome.dsn = "5.1.1";
  outcome.text = "host mx.example.org[192.0.2.7] said: 550 5.1.1 No such user (in reply to RCPT TO "
                 "command)";
  outcome.reply = "550 5.1.1 No such user";
  outcome.host = "mx.example.org";
  outcome.at = 1790000001000000;
  report.outcomes = {outcome};
  mail::ContentScanner scanner;
  scanner.feed(kOriginal);
  report.facts = scanner.facts();
  return report;
}

Letterhead letterhead() {
  Letterhead head;
  head.hostname = "relay.example.net";
  head.origin = "example.net";
  return head;
}

Circumstances circumstances(Audience audience = Audience::sender) {
  Circumstances c;
  c.audience = audience;
  c.now = from_unix_micros(1790000002000000);
  c.token = "0123456789abcdef0123456789abcdef";
  return c;
}

Composed composed(const proto::Report& report, std::string_view original = kOriginal,
                  Audience audience = Audience::sender) {
  return compose(report, original, letterhead(), circumstances(audience));
}

// What a strict MIME reader sees: header and parts by the declared boundary.
struct Parsed {
  std::string header;
  std::vector<std::string> parts; // with their headers
  bool closed = false;
};

Parsed parsed(const std::string& content) {
  Parsed out;
  const std::size_t end = content.find("\r\n\r\n");
  EXPECT_NE(end, std::string::npos);
  out.header = content.substr(0, end + 2);
  const std::size_t at = out.header.find("boundary=\"") + 10;
  const std::string boundary = "--" + out.header.substr(at, out.header.find('"', at) - at);
  std::size_t line = end + 4;
  std::string* part = nullptr;
  while (line < content.size()) {
    std::size_t next = content.find("\r\n", line);
    EXPECT_NE(next, std::string::npos) << "a line without CRLF";
    if (next == std::string::npos) break;
    const std::string text = content.substr(line, next - line);
    if (text == boundary + "--") {
      out.closed = true;
      part = nullptr;
    } else if (text == boundary) {
      EXPECT_FALSE(out.closed);
      part = &out.parts.emplace_back();
    } else if (part != nullptr) {
      *part += text + "\r\n";
    }
    line = next + 2;
  }
  return out;
}

// Names at the start of lines: what a reader takes for fields.
std::vector<std::string> field_names(const std::string& part) {
  std::vector<std::string> out;
  for (std::size_t line = 0; line < part.size(); line = part.find('\n', line) + 1) {
    if (part[line] == ' ' || part[line] == '\t' || part[line] == '\r') continue;
    out.push_back(part.substr(line, part.find_first_of(":\r", line) - line));
  }
  return out;
}

std::size_t longest_line(const std::string& content) {
  std::size_t longest = 0;
  for (std::size_t line = 0; line < content.size();) {
    const std::size_t next = content.find("\r\n", line);
    longest = std::max(longest, next - line);
    line = next + 2;
  }
  return longest;
}

TEST(Report, FailureHasThePartsOfRfc3464) {
  const Composed out = composed(sample());
  const Parsed mime = parsed(out.content);
  EXPECT_TRUE(mime.closed);
  EXPECT_THAT(field_names(mime.header),
              testing::ElementsAre("Date", "From", "Subject", "To", "Auto-Submitted", "Message-ID",
                                   "MIME-Version", "Content-Type"));
  EXPECT_THAT(mime.header, HasSubstr("From: Mail Delivery System <MAILER-DAEMON@example.net>\r\n"));
  EXPECT_THAT(mime.header, HasSubstr("Subject: Undelivered Mail Returned to Sender\r\n"));
  EXPECT_THAT(mime.header, HasSubstr("To: ann@example.com\r\n"));
  EXPECT_THAT(mime.header, HasSubstr("Auto-Submitted: auto-replied\r\n"));
  EXPECT_THAT(mime.header, HasSubstr("multipart/report; report-type=delivery-status;"));
  ASSERT_EQ(mime.parts.size(), 3U);
  EXPECT_THAT(mime.parts[0], HasSubstr("Content-Type: text/plain; charset=us-ascii\r\n"));
  EXPECT_THAT(mime.parts[0], HasSubstr("<bob@example.org>:"));
  EXPECT_THAT(mime.parts[0], HasSubstr("The address does not exist there."));
  EXPECT_THAT(mime.parts[0], HasSubstr("No such user"));
  EXPECT_THAT(mime.parts[1], HasSubstr("Content-Type: message/delivery-status\r\n"));
  EXPECT_THAT(mime.parts[1], HasSubstr("Reporting-MTA: dns; relay.example.net\r\n"));
  EXPECT_THAT(mime.parts[1], HasSubstr("\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\n"
                                       "Action: failed\r\nStatus: 5.1.1\r\n"
                                       "Remote-MTA: dns; mx.example.org\r\n"
                                       "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"));
  EXPECT_THAT(mime.parts[2], HasSubstr("Content-Type: message/rfc822\r\n"));
  EXPECT_THAT(mime.parts[2], HasSubstr("\r\n\r\nReceived: from a by b\r\n"));
  EXPECT_THAT(mime.parts[2], HasSubstr("Dear Bob,\r\n.hello\r\n"));
}

TEST(Report, EnvelopeNamesWhatItReports) {
  const Composed out = composed(sample());
  EXPECT_EQ(out.envelope.sender, "");
  ASSERT_EQ(out.envelope.recipients.size(), 1U);
  EXPECT_EQ(out.envelope.recipients[0].address, "ann@example.com");
  EXPECT_EQ(out.envelope.report_for, queue::Id(sample().id).text());
  EXPECT_THAT(out.envelope.reported, testing::ElementsAre(3U));
  EXPECT_EQ(out.envelope.report_kind, "failed");
  EXPECT_TRUE(mail::check_clean(out.envelope).ok());
  EXPECT_EQ(out.facts.size, out.content.size());
  EXPECT_GT(out.facts.header_size, 0U);
  EXPECT_THAT(out.content, HasSubstr("Message-ID: " + out.envelope.message_id + "\r\n"));
}

struct KindCase {
  std::string_view name;
  ReportKind kind;
  std::string_view subject, action, status, last_type;
};
class Kinds : public testing::TestWithParam<KindCase> {};
TEST_P(Kinds, HaveTheirWords) {
  const KindCase& p = GetParam();
  proto::Report report = sample(p.kind);
  report.outcomes[0].dsn = "4.4.1";
  report.expires = 1790400000000000;
  report.next_try = 1790000300000000;
  const Composed out = composed(report);
  const Parsed mime = parsed(out.content);
  ASSERT_EQ(mime.parts.size(), 3U);
  EXPECT_THAT(mime.header, HasSubstr("Subject: " + std::string(p.subject) + "\r\n"));
  EXPECT_THAT(mime.parts[1], HasSubstr("Action: " + std::string(p.action) + "\r\n"));
  EXPECT_THAT(mime.parts[1], HasSubstr("Status: " + std::string(p.status) + "\r\n"));
  EXPECT_THAT(mime.parts[2], HasSubstr("Content-Type: " + std::string(p.last_type) + "\r\n"));
  EXPECT_EQ(mime.parts[1].find("Will-Retry-Until: ") != std::string::npos,
            p.kind == ReportKind::delayed);
  EXPECT_EQ(mime.parts[0].find("Next attempt: ") != std::string::npos,
            p.kind == ReportKind::delayed);
  EXPECT_EQ(mime.parts[0].find("Given up after: ") != std::string::npos,
            p.kind == ReportKind::delayed);
  EXPECT_EQ(out.envelope.report_kind, kind_name(p.kind));
}
INSTANTIATE_TEST_SUITE_P(Rfc3464, Kinds,
                         testing::ValuesIn<KindCase>({
                             {"Failed", ReportKind::failed, "Undelivered Mail Returned to Sender",
                              "failed", "5.4.1", "message/rfc822"},
                             {"Delayed", ReportKind::delayed, "Delayed Mail (still being retried)",
                              "delayed", "4.4.1", "text/rfc822-headers"},
                             {"Success", ReportKind::success, "Successful Mail Delivery Report",
                              "relayed", "2.4.1", "text/rfc822-headers"},
                         }),
                         [](const auto& c) { return std::string(c.param.name); });

TEST(Report, FinalDeliveryIsDelivered) {
  proto::Report report = sample(ReportKind::success);
  report.final_delivery = true;
  EXPECT_THAT(composed(report).content, HasSubstr("\r\nAction: delivered\r\n"));
}

TEST(Report, RetHdrsAndSizeLimitReturnTheHeaderOnly) {
  proto::Report report = sample();
  report.envelope.ret = mail::Ret::hdrs;
  EXPECT_EQ(wanted_of_original(report, letterhead(), Audience::sender), report.facts.header_size);
  std::string content = composed(report).content;
  EXPECT_THAT(content, HasSubstr("Content-Type: text/rfc822-headers\r\n"));
  EXPECT_THAT(content, HasSubstr("Subject: hello\r\n"));
  EXPECT_THAT(content, Not(HasSubstr("Dear Bob")));

  report.envelope.ret = mail::Ret::full;
  report.facts.size = 50001;
  EXPECT_EQ(wanted_of_original(report, letterhead(), Audience::sender), report.facts.header_size);
  content = composed(report).content;
  EXPECT_THAT(content, Not(HasSubstr("Dear Bob")));
}

TEST(Report, HugeHeaderIsCutAtALineEnd) {
  proto::Report report = sample();
  std::string original;
  while (original.size() < 120000)
    original += "X-Filler: " + std::string(60, 'x') + "\r\n";
  original += "\r\nbody\r\n";
  mail::ContentScanner scanner;
  scanner.feed(original);
  report.facts = scanner.facts();
  const std::uint64_t wanted = wanted_of_original(report, letterhead(), Audience::sender);
  EXPECT_EQ(wanted, 50000U);
  const Parsed mime = parsed(composed(report, original.substr(0, wanted)).content);
  ASSERT_EQ(mime.parts.size(), 3U);
  EXPECT_TRUE(mime.closed);
  EXPECT_LE(mime.parts[2].size(), 50200U);
  EXPECT_THAT(mime.parts[2], testing::EndsWith(std::string(60, 'x') + "\r\n\r\n"));
}

struct HostileCase {
  std::string_view name;
  std::string text;
};
class Hostile : public testing::TestWithParam<HostileCase> {};
// Whatever the peer said, both parts have the same fields and the same number of parts.
TEST_P(Hostile, TextAddsNoHeaderAndNoRecord) {
  proto::Report plain = sample();
  proto::Report report = sample();
  report.outcomes[0].reply = GetParam().text;
  report.outcomes[0].text = "host said: " + GetParam().text;
  report.outcomes[0].host = GetParam().text;
  report.envelope.envid = "id";
  plain.envelope.envid = "id";
  const Composed out = composed(report);
  const Parsed mime = parsed(out.content);
  const Parsed expected = parsed(composed(plain).content);
  ASSERT_EQ(mime.parts.size(), 3U);
  EXPECT_TRUE(mime.closed);
  EXPECT_EQ(field_names(mime.header), field_names(expected.header));
  EXPECT_EQ(field_names(mime.parts[1]), field_names(expected.parts[1]));
  EXPECT_EQ(mime.parts[2], expected.parts[2]);
  // Exactly one empty line divides the message fields from the recipient's.
  const std::string status = mime.parts[1].substr(mime.parts[1].find("\r\n\r\n") + 4);
  EXPECT_EQ(status.find("\r\n\r\n"), status.find("\r\n\r\nFinal-Recipient:"));
  EXPECT_LE(longest_line(out.content), 998U);
  for (const char c : out.content)
    ASSERT_TRUE(c == '\r' || c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f))
        << "byte " << static_cast<int>(static_cast<unsigned char>(c));
}
INSTANTIATE_TEST_SUITE_P(ReplyTexts, Hostile,
                         testing::ValuesIn<HostileCase>({
                             {"LineBreaks",
                              "550 no\r\nFinal-Recipient: rfc822; eve@x\r\nAction: delivered"},
                             {"BareNewline", "550 no\n\nFinal-Recipient: rfc822; eve@x"},
                             {"BareReturn", "550 no\r\r\rAction: delivered"},
                             {"Nul", std::string("550 a\0b\0\r\n\0Subject: x", 22)},
                             {"Escape", "550 \x1b[2J\x1b]0;owned\x07 \x7f"},
                             {"EightBit", "550 \xff\xfe caf\xe9 \x80\x85"},
                             {"Utf8", "550 caf\xc3\xa9 \xc2\x85 \xe2\x80\xa8 line"},
                             {"Boundary", "550 --=_0123456789abcdef0123456789abcdef"},
                             {"BoundaryAlone", "\r\n--=_0123456789abcdef0123456789abcdef--\r\n"},
                             {"HugeWord", std::string(70000, 'x')},
                             {"HugeWords",
                              [] {
                                std::string s;
                                for (int i = 0; i < 9000; ++i)
                                  s += "word ";
                                return s;
                              }()},
                             {"OnlyBlanks", " \t \r\n "},
                         }),
                         [](const auto& c) { return std::string(c.param.name); });

TEST(Report, BoundaryInTheOriginalIsAvoided) {
  proto::Report report = sample();
  const std::string original = "Subject: x\r\n\r\n--=_0123456789abcdef0123456789abcdef--\r\n"
                               "--=_0123456789abcdef0123456789abcdef_0\r\n";
  report.facts.size = original.size();
  report.facts.header_size = 14;
  const Parsed mime = parsed(composed(report, original).content);
  EXPECT_TRUE(mime.closed);
  ASSERT_EQ(mime.parts.size(), 3U);
  EXPECT_THAT(mime.parts[2], HasSubstr("--=_0123456789abcdef0123456789abcdef--\r\n"));
}

TEST(Report, EightBitOriginalIsDeclared) {
  proto::Report report = sample();
  const std::string original = "Subject: x\r\n\r\ncaf\xe9\r\n";
  report.facts.size = original.size();
  report.facts.header_size = 14;
  const Composed out = composed(report, original);
  EXPECT_EQ(out.envelope.body, mail::Body::eight_bit_mime);
  EXPECT_TRUE(out.facts.has_8bit);
  const Parsed mime = parsed(out.content);
  EXPECT_THAT(mime.header, HasSubstr("Content-Transfer-Encoding: 8bit\r\n"));
  EXPECT_THAT(mime.parts[2], HasSubstr("Content-Transfer-Encoding: 8bit\r\n"));
  EXPECT_THAT(mime.parts[1], Not(HasSubstr("Content-Transfer-Encoding")));
}

TEST(Report, OriginalWithoutFinalNewlineKeepsTheBoundaryApart) {
  proto::Report report = sample();
  const std::string original = "Subject: x\r\n\r\nno end";
  report.facts.size = original.size();
  report.facts.header_size = 14;
  const Parsed mime = parsed(composed(report, original).content);
  EXPECT_TRUE(mime.closed);
  EXPECT_THAT(mime.parts[2], testing::EndsWith("\r\n\r\nSubject: x\r\n\r\nno end\r\n"));
}

TEST(Report, DsnFieldsComeBackDecoded) {
  proto::Report report = sample();
  report.envelope.envid = "QQ+314159 \x01";
  report.envelope.recipients[0].orcpt = "rfc822;Bob+list@example.org";
  const std::string content = composed(report).content;
  EXPECT_THAT(content, HasSubstr("\r\nOriginal-Envelope-Id: QQ+314159 ?\r\n"));
  EXPECT_THAT(content, HasSubstr("\r\nOriginal-Recipient: rfc822;Bob+list@example.org\r\n"));
}

TEST(Report, MalformedOrcptIsLeftOut) {
  for (const char* orcpt : {"nosemicolon", ";x", "rfc822;", "rf\tc;x@y", "a b;x@y"}) {
    proto::Report report = sample();
    report.envelope.recipients[0].orcpt = orcpt;
    EXPECT_THAT(composed(report).content, Not(HasSubstr("Original-Recipient"))) << orcpt;
  }
}

TEST(Report, SmtpUtf8UsesTheFormsOfRfc6533) {
  proto::Report report = sample();
  report.envelope.smtputf8 = true;
  report.facts.utf8_headers = true;
  report.envelope.recipients[0].address = "b\xc3\xb6rk@example.org";
  report.envelope.recipients[0].orcpt = "utf-8;b\xc3\xb6rk@example.org";
  report.outcomes[0].reply = "550 kein b\xc3\xb6rk hier \xff";
  const Composed out = composed(report);
  const Parsed mime = parsed(out.content);
  EXPECT_TRUE(out.envelope.smtputf8);
  EXPECT_THAT(mime.header, HasSubstr("report-type=global-delivery-status;"));
  ASSERT_EQ(mime.parts.size(), 3U);
  EXPECT_THAT(mime.parts[1], HasSubstr("Content-Type: message/global-delivery-status\r\n"));
  EXPECT_THAT(mime.parts[1], HasSubstr("Original-Recipient: utf-8;b\xc3\xb6rk@example.org\r\n"));
  EXPECT_THAT(mime.parts[1], HasSubstr("Final-Recipient: utf-8; b\xc3\xb6rk@example.org\r\n"));
  EXPECT_THAT(mime.parts[1], HasSubstr("smtp; 550 kein b\xc3\xb6rk hier ?\r\n"));
  EXPECT_THAT(mime.parts[2], HasSubstr("Content-Type: message/global\r\n"));
}

TEST(Report, SmtpUtf8WithPlainAddressesStaysOrdinary) {
  proto::Report report = sample();
  report.envelope.smtputf8 = true;
  const Composed out = composed(report);
  EXPECT_FALSE(out.envelope.smtputf8);
  EXPECT_THAT(out.content, HasSubstr("report-type=delivery-status;"));
}

TEST(Report, NonAsciiAddressWithoutSmtpUtf8IsEncoded) {
  proto::Report report = sample();
  report.envelope.recipients[0].address = "b\xc3\xb6rk@example.org";
  const Composed out = composed(report);
  EXPECT_THAT(out.content, HasSubstr("Final-Recipient: utf-8; b\\x{F6}rk@example.org\r\n"));
  EXPECT_TRUE(is_ascii(out.content));
}

TEST(Report, DoubleBounceGoesToThePostmasterWithItsOwnSender) {
  proto::Report report = sample();
  report.envelope.sender = "";
  report.send_to = "postmaster@example.net";
  const Composed out = composed(report, kOriginal, Audience::double_bounce);
  EXPECT_EQ(out.envelope.sender, "double-bounce@relay.example.net");
  EXPECT_EQ(out.envelope.report_kind, "failed");
  EXPECT_THAT(out.content, HasSubstr("Subject: Postmaster Copy: Undelivered Mail\r\n"));
  EXPECT_THAT(out.content, Not(HasSubstr("X-Postrider-Sender")));
}

TEST(Report, PostmasterCopyReportsNobody) {
  const Composed out = composed(sample(), kOriginal, Audience::postmaster_copy);
  EXPECT_EQ(out.envelope.report_for, "");
  EXPECT_TRUE(out.envelope.reported.empty());
  EXPECT_THAT(out.content, Not(HasSubstr("Dear Bob")));
}

TEST(Report, ThreadingTakesOnlyAPlainMessageId) {
  Letterhead head = letterhead();
  head.threaded = true;
  proto::Report report = sample();
  EXPECT_THAT(compose(report, kOriginal, head, circumstances()).content,
              HasSubstr("References: <one@example.com>\r\n"));
  for (const char* id : {"", "<>", "no", "<a b>", "<a>\r\nX: <y>", "<a\x80>"}) {
    report.envelope.message_id = id;
    EXPECT_THAT(compose(report, kOriginal, head, circumstances()).content,
                Not(HasSubstr("References:")))
        << id;
  }
}

TEST(Report, ManyRecipientsEachHaveARecord) {
  proto::Report report = sample();
  const mail::Outcome outcome = report.outcomes[0];
  for (std::uint32_t i = 0; i < 200; ++i) {
    mail::Recipient one;
    one.address = "user" + std::to_string(i) + "@example.org";
    report.envelope.recipients.push_back(one);
    report.recipient_indices.push_back(100 + i);
    report.outcomes.push_back(outcome);
  }
  const Parsed mime = parsed(composed(report).content);
  std::size_t count = 0;
  for (const std::string& name : field_names(mime.parts[1]))
    count += name == "Final-Recipient";
  EXPECT_EQ(count, 201U);
}

TEST(Report, SenselessRequestsAreNamed) {
  EXPECT_EQ(problem_with(sample()), "");
  proto::Report report = sample();
  report.outcomes.clear();
  EXPECT_THAT(problem_with(report), HasSubstr("nobody"));
  report = sample();
  report.recipient_indices.push_back(4);
  EXPECT_THAT(problem_with(report), HasSubstr("differ"));
  report = sample();
  report.send_to = "";
  EXPECT_THAT(problem_with(report), HasSubstr("nobody to send"));
  report = sample();
  report.send_to = "a@b\r\nBcc: c@d";
  EXPECT_THAT(problem_with(report), HasSubstr("line break"));
  report = sample();
  report.envelope.recipients[0].address = "a\nb";
  EXPECT_NE(problem_with(report), "");
}

TEST(Report, TemporaryRefusalsAreNotExplainedAway) {
  proto::Report report = sample(ReportKind::delayed);
  report.outcomes[0].dsn = "4.7.1";
  EXPECT_THAT(composed(report).content, Not(HasSubstr("not welcome")));
  report.outcomes[0].dsn = "4.2.2";
  EXPECT_THAT(composed(report).content, HasSubstr("The mailbox is full."));
}

TEST(Report, LogPhrasesAreThoseOfPostfix) {
  EXPECT_EQ(log_phrase(ReportKind::failed, Audience::sender), "sender non-delivery notification");
  EXPECT_EQ(log_phrase(ReportKind::delayed, Audience::sender), "sender delay notification");
  EXPECT_EQ(log_phrase(ReportKind::success, Audience::sender),
            "sender delivery status notification");
  EXPECT_EQ(log_phrase(ReportKind::failed, Audience::double_bounce),
            "postmaster non-delivery notification");
}

} // namespace
} // namespace postrider::bounce
