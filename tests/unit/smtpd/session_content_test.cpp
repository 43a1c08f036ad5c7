// SPDX-License-Identifier: MIT
#include "dialogue.hpp"
#include "endings.hpp"

namespace postrider::smtpd {
namespace {

using test::turn_until;

class SmtpContent : public DialogueTest {};

// Only CR LF . CR LF ends content, however the bytes are cut.
class Endings : public DialogueTest, public testing::WithParamInterface<test::Ending> {
 protected:
  // Sends in two pieces, so that they are read apart.
  void send_cut(const std::string& all, std::size_t cut) {
    send(std::string_view(all).substr(0, cut));
    for (int i = 0; i < 3; ++i)
      loop.turn(false);
    send(std::string_view(all).substr(cut));
  }
  void say_envelope() {
    EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "250 2.1.0 Ok");
    EXPECT_EQ(ask("RCPT TO:<u@ours.example>"), "250 2.1.5 Ok");
  }
  // All that was queued is one and the same message, with the rest of it behind the trick.
  void check_mails(std::size_t count) {
    wait_for_mail(count);
    for (std::size_t i = 0; i < count; ++i)
      EXPECT_EQ(content_of(i), content_of(0));
    const std::string content = content_of(0);
    EXPECT_NE(content.find("evil@x.example"), std::string::npos);
    EXPECT_TRUE(content.ends_with("\r\nDATA\r\nbehind\r\n"));
    EXPECT_EQ(content.find('\0'), std::string::npos);
    for (std::size_t i = 0; i < content.size(); ++i) {
      EXPECT_TRUE(content[i] != '\n' || content[i - 1] == '\r');
      EXPECT_TRUE(content[i] != '\r' || content[i + 1] == '\n');
    }
  }
  const std::string front = "Subject: s\r\n\r\none";
  const std::string text = front + GetParam().bytes +
                           "MAIL FROM:<evil@x.example>\r\nRCPT TO:<u@ours.example>\r\nDATA\r\n"
                           "behind\r\n";
};

TEST_P(Endings, NoOtherBytesEndContent) {
  begin();
  std::size_t count = 0;
  const std::size_t last = front.size() + GetParam().bytes.size() + 2;
  for (std::size_t cut = front.size() - 2; cut <= last; ++cut, ++count) {
    say_envelope();
    EXPECT_EQ(ask("DATA").substr(0, 3), "354");
    send_cut(text + ".\r\nNOOP\r\n", cut);
    EXPECT_EQ(reply().substr(0, 3), "250");
    EXPECT_EQ(reply(), "250 2.0.0 Ok");
  }
  say_envelope();
  EXPECT_EQ(ask("DATA").substr(0, 3), "354");
  for (const char c : text + ".\r\n") {
    send(std::string_view(&c, 1));
    loop.turn(false);
  }
  EXPECT_EQ(reply().substr(0, 3), "250");
  check_mails(count + 1);
}

// In a chunk it is octets, also where it lies across two chunks.
TEST_P(Endings, NoBytesAtAllEndAChunk) {
  begin();
  std::size_t count = 0;
  const std::size_t last = front.size() + GetParam().bytes.size() + 2;
  for (std::size_t cut = front.size() - 2; cut <= last; ++cut, ++count) {
    say_envelope();
    send("BDAT " + std::to_string(cut) + "\r\n" + text.substr(0, cut));
    EXPECT_EQ(reply(), "250 2.0.0 Ok: " + std::to_string(cut) + " bytes");
    send_cut("BDAT " + std::to_string(text.size() - cut) + " LAST\r\n" + text.substr(cut) +
                 "NOOP\r\n",
             20);
    EXPECT_EQ(reply().substr(0, 23), "250 2.0.0 Ok: queued as");
    EXPECT_EQ(reply(), "250 2.0.0 Ok");
  }
  check_mails(count);
}

INSTANTIATE_TEST_SUITE_P(Smuggling, Endings, testing::ValuesIn(test::kFalseEndings),
                         [](const auto& c) { return c.param.name; });

// The dots of a client go, its others stay, wherever a piece of the stream ends: two lines have
// nine bytes, so that pieces of 2^n bytes end at each place of them.
TEST_F(SmtpContent, DotsAreRemovedAtEveryBoundary) {
  config->message_size = 0;
  begin();
  std::string wire, content;
  for (int i = 0; i < 200'000; ++i) {
    wire += i % 2 == 0 ? "..\r\n" : "...\r\n";
    content += i % 2 == 0 ? ".\r\n" : "..\r\n";
  }
  EXPECT_EQ(send_mail("\r\n" + wire + ".\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_TRUE(content_of() == "\r\n" + content); // no diff of 700 KB
}

TEST_F(SmtpContent, BareNewlineCanBeRefused) {
  config->bare_newline = smtp::BareNewline::reject;
  begin();
  EXPECT_EQ(send_mail("Subject: s\n\r\nx\r\n.\r\n"), "550 5.5.2 Error: bare <LF> received");
  EXPECT_EQ(reply(), "");
  EXPECT_TRUE(qmgr.mails().empty());
  begin();
  send("NOOP\n");
  EXPECT_EQ(reply().substr(0, 9), "550 5.5.2");
  EXPECT_EQ(reply(), "");
}

TEST_F(SmtpContent, ChunksMakeOneMessage) {
  begin();
  ask("EHLO x");
  send("MAIL FROM:<a@b.example>\r\nRCPT TO:<u@ours.example>\r\nBDAT 14\r\nSubject: s\r\n\r\nBDAT "
       "6\r\n.\r\n.\r\n"
       "BDAT 3 LAST\r\n..x");
  EXPECT_EQ(reply(), "250 2.1.0 Ok");
  EXPECT_EQ(reply(), "250 2.1.5 Ok");
  EXPECT_EQ(reply(), "250 2.0.0 Ok: 14 bytes");
  EXPECT_EQ(reply(), "250 2.0.0 Ok: 6 bytes");
  EXPECT_EQ(reply().substr(0, 23), "250 2.0.0 Ok: queued as");
  wait_for_mail(1);
  EXPECT_EQ(content_of(), "Subject: s\r\n\r\n.\r\n.\r\n..x");
  EXPECT_FALSE(qmgr.mails()[0].facts.ends_with_newline);
}

TEST_F(SmtpContent, RefusedChunksAreReadAndForgotten) {
  begin();
  send("BDAT 10\r\nRSET\r\nQUITBDAT 4 LAST\r\nDATA"); // without MAIL
  EXPECT_EQ(reply().substr(0, 9), "503 5.5.1");
  EXPECT_EQ(reply().substr(0, 9), "503 5.5.1");
  send("MAIL FROM:<a@b.example>\r\nRCPT TO:<u@ours.example>\r\nBDAT 90000\r\n" +
       std::string(90'000, 'x'));
  EXPECT_EQ(reply(), "250 2.1.0 Ok");
  EXPECT_EQ(reply(), "250 2.1.5 Ok");
  EXPECT_EQ(reply(), "250 2.0.0 Ok: 90000 bytes");
  send("BDAT 20000 LAST\r\n" + std::string(20'000, 'x') + "NOOP\r\n");
  EXPECT_EQ(reply(), "552 5.3.4 Error: message file too big");
  EXPECT_EQ(reply(), "250 2.0.0 Ok");
  EXPECT_EQ(ask("BDAT 4000000000000"), "552 5.3.4 Error: message file too big");
  EXPECT_EQ(reply(), "");
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(SmtpContent, ManyTinyChunks) {
  begin();
  send("MAIL FROM:<a@b.example>\r\nRCPT TO:<u@ours.example>\r\n");
  reply();
  reply();
  for (int i = 0; i < 20'000; ++i) {
    send("BDAT 1\r\nx");
    for (int k = 0; i % 500 == 499 && k < 500; ++k)
      ASSERT_EQ(reply(), "250 2.0.0 Ok: 1 bytes");
  }
  EXPECT_EQ(ask("BDAT 0 LAST").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails()[0].content.substr(qmgr.mails()[0].content.size() - 20'000),
            std::string(20'000, 'x'));
}

TEST_F(SmtpContent, SizeLimitCountsRealBytes) {
  begin();
  ask("EHLO x");
  EXPECT_EQ(ask("MAIL FROM:<a@b.example> SIZE=10"), "250 2.1.0 Ok");
  ask("RCPT TO:<u@ours.example>");
  ask("DATA");
  std::string big = "Subject: s\r\n\r\n";
  while (big.size() <= 100'000)
    big += "0123456789\r\n";
  send(big + ".\r\n");
  EXPECT_EQ(reply(), "552 5.3.4 Error: message file too big");
  EXPECT_EQ(send_mail("small: x\r\n\r\n\r\n.\r\n").substr(0, 3), "250"); // the session goes on
  wait_for_mail(1);
  EXPECT_EQ(qmgr.files_open(), 0);
}

TEST_F(SmtpContent, EndlessContentIsCut) {
  begin();
  ask("MAIL FROM:<a@b.example>");
  ask("RCPT TO:<u@ours.example>");
  ask("DATA");
  const std::string piece(1U << 20, 'x');
  for (int i = 0; i < 24 && !over; ++i) {
    send(piece + "\r\n");
    loop.turn(false);
  }
  EXPECT_EQ(reply(), "552 5.3.4 Error: message file too big");
  client.reset();
  EXPECT_TRUE(turn_until(loop, [&] { return over; }));
}

TEST_F(SmtpContent, TooManyHops) {
  config->hops = 3;
  begin();
  std::string loops;
  for (int i = 0; i < 4; ++i)
    loops += "Received: by x\r\n";
  EXPECT_EQ(send_mail(loops + "\r\nx\r\n.\r\n"), "554 5.4.0 Error: too many hops");
  EXPECT_EQ(send_mail(loops.substr(16) + "\r\nx\r\n.\r\n").substr(0, 3), "250");
}

TEST_F(SmtpContent, LargeMailStreamsIntoItsFile) {
  config->message_size = 0;
  begin();
  std::string content = "Message-ID: <big@x>\r\n\r\n";
  while (content.size() < 900'000)
    content += "0123456789012345678901234567890123456789\r\n";
  EXPECT_EQ(send_mail(content + ".\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_TRUE(qmgr.mails()[0].in_file);
  EXPECT_EQ(content_of(), content);
  EXPECT_EQ(qmgr.mails()[0].envelope.message_id, "<big@x>");
}

TEST_F(SmtpContent, HeaderlessMailGetsAHeaderOfItsOwn) {
  begin();
  const std::string bodies[] = {"no header here\r\n", "\r\nbody\r\n", "", " folded: x\r\n",
                                "Subject: s\r\n"};
  for (const std::string& body : bodies)
    EXPECT_EQ(send_mail(body + ".\r\n").substr(0, 3), "250");
  wait_for_mail(5);
  EXPECT_EQ(content_of(0), "\r\nno header here\r\n");
  EXPECT_EQ(content_of(1), "\r\nbody\r\n");
  EXPECT_EQ(content_of(2), "");
  EXPECT_EQ(content_of(3), "\r\n folded: x\r\n");
  EXPECT_EQ(content_of(4), "Subject: s\r\n");
}

TEST_F(SmtpContent, MailboxLineDoesNotEndTheHeader) {
  begin();
  const std::string header = "Message-ID: <kept@x>\r\n\r\nbody\r\n";
  const std::string lines[] = {"From someone Mon Mar  2 10:00:00 2026\r\n",
                               ">From someone Mon Mar  2 10:00:00 2026\r\n"};
  for (const std::string& line : lines)
    EXPECT_EQ(send_mail(line + header + ".\r\n").substr(0, 3), "250");
  wait_for_mail(2);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(content_of(i), "X-Mailbox-Line: " + lines[i] + header);
    EXPECT_EQ(qmgr.mails()[i].envelope.message_id, "<kept@x>");
  }
}

} // namespace
} // namespace postrider::smtpd
