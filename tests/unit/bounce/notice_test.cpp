// SPDX-License-Identifier: MIT
// shows: error_notice_recipient notify_classes double_bounce_sender
#include "notice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/ascii.hpp"
#include "queue/id.hpp"

namespace postrider::bounce {
namespace {

using testing::HasSubstr;
using testing::Not;

class Notice : public testing::Test {
 protected:
  Notice() {
    head.hostname = "relay.example.net";
    head.origin = "example.net";
    notice.id = queue::Id::make(1790000000000, 1).number();
    notice.notice_class = "protocol";
    notice.peer = "mx.example[192.0.2.1]:25";
    notice.transcript = "Unexpected response from mx.example[192.0.2.1]:25.\n"
                        "Transcript of session follows.\n\n"
                        "Out: MAIL FROM:<a@b>\nIn:  503 5.5.1 what?\n";
    now.now = from_unix_micros(1790000000000000);
    now.token = "0123456789abcdef0123456789abcdef";
  }
  Composed made() { return compose(notice, "postmaster@example.net", head, now); }

  Letterhead head;
  proto::Notice notice;
  Circumstances now;
};

TEST_F(Notice, GoesToThePostmasterFromTheDoubleBounceAddress) {
  const Composed mail = made();
  EXPECT_EQ(mail.envelope.sender, "double-bounce@relay.example.net");
  ASSERT_EQ(mail.envelope.recipients.size(), 1U);
  EXPECT_EQ(mail.envelope.recipients[0].address, "postmaster@example.net");
  EXPECT_THAT(mail.content, HasSubstr("\r\nTo: postmaster@example.net (Postmaster)\r\n"));
  EXPECT_THAT(mail.content, HasSubstr("\r\nSubject: Postrider SMTP client: errors from "
                                      "mx.example[192.0.2.1]:25\r\n"));
  EXPECT_THAT(mail.content, HasSubstr("\r\nAuto-Submitted: auto-generated\r\n"));
  EXPECT_TRUE(mail.envelope.report_for.empty());
  EXPECT_EQ(mail.facts.size, mail.content.size());
}

TEST_F(Notice, HasTheTranscriptWithABlankBeforeEachLine) {
  EXPECT_THAT(made().content,
              HasSubstr("\r\n Transcript of session follows.\r\n\r\n Out: MAIL FROM:<a@b>\r\n"
                        " In:  503 5.5.1 what?\r\n"));
}

TEST_F(Notice, NothingThatAPeerSaidIsAHeaderOrALineOfItsOwn) {
  notice.peer = "evil\r\nBcc: all@example.net";
  notice.transcript = "In:  250-a\rb\x1b[2J\n.\nFrom: x\n" + std::string(5000, 'y') + "\n";
  const std::string content = made().content;
  EXPECT_THAT(content, Not(HasSubstr("\nBcc:")));
  EXPECT_THAT(content, Not(HasSubstr("\n.")));
  EXPECT_THAT(content, Not(HasSubstr("\nFrom: x")));
  EXPECT_EQ(content.find('\x1b'), std::string::npos);
  for (const std::string_view line : split(content, "\n")) {
    ASSERT_TRUE(line.empty() || line.back() == '\r');
    EXPECT_LE(line.size(), 999U);
  }
}

TEST_F(Notice, IsBounded) {
  notice.transcript.clear();
  for (int i = 0; i < 100'000; ++i)
    notice.transcript += "x\n";
  EXPECT_LT(made().content.size(), 20'000U);
}

} // namespace
} // namespace postrider::bounce
