// SPDX-License-Identifier: MIT
#include <random>

#include "dialogue.hpp"

namespace postrider::smtpd {
namespace {

using namespace std::chrono_literals;
using test::turn_until;

class SmtpSession : public DialogueTest {};

TEST_F(SmtpSession, AcceptsAMessageAndSaysWhere) {
  begin();
  EXPECT_EQ(ask("EHLO client.example"),
            "250-mx.ours.example|250-PIPELINING|250-SIZE 100000|250-VRFY|250-ENHANCEDSTATUSCODES|"
            "250-8BITMIME|250-DSN|250-SMTPUTF8|250 CHUNKING");
  EXPECT_EQ(ask("MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2By"),
            "250 2.1.0 Ok");
  EXPECT_EQ(ask("RCPT TO:<u@ours.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+40x"),
            "250 2.1.5 Ok");
  EXPECT_EQ(ask("DATA"), "354 End data with <CR><LF>.<CR><LF>");
  send("Message-ID: <m@x>\r\nSubject: s\r\n\r\nline\r\n..dot\r\n.\r\n");
  const std::string said = reply();
  ASSERT_EQ(said.substr(0, 23), "250 2.0.0 Ok: queued as");
  wait_for_mail(1);
  const auto& mail = qmgr.mails().front();
  EXPECT_EQ(said.substr(24), mail.id.text());
  EXPECT_EQ(content_of(), "Message-ID: <m@x>\r\nSubject: s\r\n\r\nline\r\n.dot\r\n");
  const std::string received = mail.content.substr(0, mail.content.size() - content_of().size());
  EXPECT_TRUE(received.starts_with("Received: from client.example (unknown [192.0.2.7])\r\n"
                                   "\tby mx.ours.example (Postrider) with ESMTP id " +
                                   mail.id.text() + "\r\n\tfor <u@ours.example>; "))
      << received;
  const mail::Envelope& e = mail.envelope;
  EXPECT_EQ(e.sender, "a@b.example");
  EXPECT_EQ(e.envid, "x+y");
  EXPECT_EQ(e.ret, mail::Ret::hdrs);
  EXPECT_EQ(e.body, mail::Body::eight_bit_mime);
  EXPECT_EQ(e.recipients.at(0).notify, mail::notify_success | mail::notify_delay);
  EXPECT_EQ(e.recipients.at(0).orcpt, "rfc822;o@x");
  EXPECT_EQ(e.message_id, "<m@x>");
  EXPECT_EQ(e.helo, "client.example");
  EXPECT_EQ(e.client_address, "192.0.2.7");
  EXPECT_EQ(e.client_port, "4711");
  EXPECT_EQ(e.protocol, "ESMTP");
  EXPECT_FALSE(e.local_submission);
  EXPECT_TRUE(mail.facts.needs_dot_stuffing);
  EXPECT_EQ(mail.facts.hops, 1);
  EXPECT_EQ(ask("QUIT"), "221 2.0.0 Bye");
  EXPECT_EQ(reply(), "");
}

// Each row: what is sent, one line each, and the code of each reply.
struct Talk {
  std::string_view name;
  std::vector<std::string> lines;
  std::vector<std::string> codes;
};
class Talks : public DialogueTest, public testing::WithParamInterface<Talk> {};

TEST_P(Talks, AnswerWithTheseCodes) {
  begin();
  std::vector<std::string> codes;
  for (const std::string& line : GetParam().lines) {
    const std::string said = ask(line);
    codes.push_back(said.substr(0, said.find(' ', 4)));
  }
  EXPECT_EQ(codes, GetParam().codes);
}

const std::string kMail = "MAIL FROM:<a@b.example>";
const std::string kRcpt = "RCPT TO:<u@ours.example>";

INSTANTIATE_TEST_SUITE_P(
    Rfc5321, Talks,
    testing::ValuesIn<Talk>({
        {"rcpt_needs_mail",
         {"EHLO x", kRcpt},
         {"250-mx.ours.example|250-PIPELINING|250-SIZE", "503 5.5.1"}},
        {"data_needs_mail", {"HELO x", "DATA"}, {"250 mx.ours.example", "503 5.5.1"}},
        {"data_needs_rcpt", {kMail, "DATA"}, {"250 2.1.0", "554 5.5.1"}},
        {"nested_mail", {kMail, kMail}, {"250 2.1.0", "503 5.5.1"}},
        {"rset_ends_it",
         {kMail, kRcpt, "RSET", "DATA"},
         {"250 2.1.0", "250 2.1.5", "250 2.0.0", "503 5.5.1"}},
        {"malformed_chunk_ends_it",
         {kMail, kRcpt, "BDAT many", "DATA"},
         {"250 2.1.0", "250 2.1.5", "501 5.5.4", "503 5.5.1"}},
        {"helo_ends_it",
         {kMail, kRcpt, "HELO x", "DATA"},
         {"250 2.1.0", "250 2.1.5", "250 mx.ours.example", "503 5.5.1"}},
        {"relay_denied",
         {kMail, "RCPT TO:<u@far.example>", "DATA"},
         {"250 2.1.0", "554 5.7.1", "554 5.5.1"}},
        {"percent_hack",
         {kMail, "RCPT TO:<u%far.example@ours.example>"},
         {"250 2.1.0", "554 5.7.1"}},
        {"quoted_at",
         {kMail, "RCPT TO:<\"u@far.example\"@ours.example>"},
         {"250 2.1.0", "554 5.7.1"}},
        {"source_route_dropped",
         {kMail, "RCPT TO:<@x.example:u@ours.example>"},
         {"250 2.1.0", "250 2.1.5"}},
        {"trailing_dot", {kMail, "RCPT TO:<u@far.example.>"}, {"250 2.1.0", "554 5.7.1"}},
        {"semicolons", {"MAIL FROM:<;cat /etc/passwd;>"}, {"501 5.1.7"}},
        {"table_trouble", {kMail, "RCPT TO:<u@trouble.example>"}, {"250 2.1.0", "451 4.3.0"}},
        {"bare_postmaster", {kMail, "RCPT TO:<postmaster>"}, {"250 2.1.0", "250 2.1.5"}},
        {"null_sender", {"MAIL FROM:<>", kRcpt}, {"250 2.1.0", "250 2.1.5"}},
        {"null_recipient", {kMail, "RCPT TO:<>"}, {"250 2.1.0", "501 5.1.3"}},
        {"size_too_big", {"MAIL FROM:<a@b.example> SIZE=100001"}, {"552 5.3.4"}},
        {"size_overflow", {"MAIL FROM:<a@b.example> SIZE=18446744073709551616"}, {"501 5.5.4"}},
        {"size_negative", {"MAIL FROM:<a@b.example> SIZE=-1"}, {"501 5.5.4"}},
        {"binarymime", {"MAIL FROM:<a@b.example> BODY=BINARYMIME"}, {"555 5.5.4"}},
        {"envid_nul", {"MAIL FROM:<a@b.example> ENVID=a+00b"}, {"501 5.5.4"}},
        {"envid_newline", {"MAIL FROM:<a@b.example> ENVID=a+0Ab"}, {"501 5.5.4"}},
        {"envid_short", {"MAIL FROM:<a@b.example> ENVID=a+"}, {"501 5.5.4"}},
        {"orcpt_nul",
         {kMail, "RCPT TO:<u@ours.example> ORCPT=rfc822;a+00"},
         {"250 2.1.0", "501 5.5.4"}},
        {"notify_never_alone",
         {kMail, "RCPT TO:<u@ours.example> NOTIFY=NEVER,DELAY"},
         {"250 2.1.0", "501 5.5.4"}},
        {"auth_newline", {"MAIL FROM:<a@b.example> AUTH=x+0Ay"}, {"501 5.5.4"}},
        {"auth_not_offered", {"MAIL FROM:<a@b.example> AUTH=<>"}, {"503 5.5.1"}},
        {"utf8_without_smtputf8",
         {"MAIL FROM:<\xc3\xa4@b.example>", kMail, "RCPT TO:<\xc3\xa4@ours.example>", "DATA"},
         {"553 5.6.7", "250 2.1.0", "553 5.6.7", "554 5.5.1"}},
        {"utf8_with_smtputf8",
         {"MAIL FROM:<\xc3\xa4@b.example> SMTPUTF8", "RCPT TO:<\xc3\xb6@ours.example>"},
         {"250 2.1.0", "250 2.1.5"}},
        {"vrfy", {"VRFY u", "VRFY", "VRFY \xc3\xa4"}, {"252 2.0.0", "501 5.5.4", "553 5.6.7"}},
        {"not_here",
         {"EXPN list", "ETRN x", "STARTTLS", "AUTH PLAIN", "XCLIENT A=b", "LHLO x"},
         {"502 5.5.1", "502 5.5.1", "502 5.5.1", "503 5.5.1", "502 5.5.1", "502 5.5.1"}},
        {"unknown", {"FOO", "", "  "}, {"502 5.5.2", "500 5.5.2", "500 5.5.2"}},
        {"control_bytes", {"NOOP \x01", "MAIL FROM:<a\rb@c>"}, {"500 5.5.2", "500 5.5.2"}},
        {"no_arguments", {"DATA x", "RSET x", "QUIT x"}, {"501 5.5.4", "501 5.5.4", "501 5.5.4"}},
        {"helo_needs_a_name", {"HELO", "EHLO"}, {"501 5.5.4", "501 5.5.4"}},
        {"bdat_numbers",
         {"BDAT", "BDAT x", "BDAT -1", "BDAT +1", "BDAT 9223372036854775808", "BDAT 1 FIRST"},
         {"501 5.5.4", "501 5.5.4", "501 5.5.4", "501 5.5.4", "501 5.5.4", "501 5.5.4"}},
        {"bdat_zero_without_mail", {"BDAT 0", "BDAT 0 LAST"}, {"503 5.5.1", "503 5.5.1"}},
        {"bdat_error_then_data",
         {kMail, "BDAT 0 LAST", "DATA"},
         {"250 2.1.0", "554 5.5.1", "503 5.5.1"}},
        {"data_after_bdat",
         {kMail, kRcpt, "BDAT 0", "DATA", "DATA"},
         {"250 2.1.0", "250 2.1.5", "250 2.0.0", "503 5.5.1", "503 5.5.1"}},
        {"rcpt_after_bdat",
         {kMail, kRcpt, "BDAT 0", kRcpt},
         {"250 2.1.0", "250 2.1.5", "250 2.0.0", "503 5.5.1"}},
        {"bdat_last_twice",
         {kMail, kRcpt, "BDAT 0 LAST", "BDAT 0 LAST"},
         {"250 2.1.0", "250 2.1.5", "250 2.0.0", "503 5.5.1"}},
        {"help_and_noop",
         {"HELP", "HELP MAIL", "NOOP", "NOOP x"},
         {"214 2.0.0", "214 2.0.0", "250 2.0.0", "250 2.0.0"}},
        {"http", {"GET / HTTP/1.1"}, {"521 5.5.2"}},
        {"tls_hello", {"\x16\x03\x01"}, {"521 5.5.2"}},
    }),
    [](const auto& c) { return std::string(c.param.name); });

// Only CR LF . CR LF ends content, however the bytes are cut.
struct Ending {
  std::string_view name, bytes;
};
class Endings : public DialogueTest, public testing::WithParamInterface<Ending> {};

TEST_P(Endings, NoOtherBytesEndContent) {
  const std::string trick(GetParam().bytes);
  const std::string content = "Subject: s\r\n\r\none" + trick +
                              "MAIL FROM:<evil@x.example>\r\nRCPT TO:<u@ours.example>\r\nDATA\r\n";
  begin();
  const std::string whole = send_mail(content + "\r\n.\r\n");
  ASSERT_EQ(whole.substr(0, 3), "250");
  ASSERT_EQ(ask("EHLO x").substr(0, 3), "250");
  EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "250 2.1.0 Ok");
  EXPECT_EQ(ask("RCPT TO:<u@ours.example>"), "250 2.1.5 Ok");
  EXPECT_EQ(ask("DATA").substr(0, 3), "354");
  for (const char c : content + "\r\n.\r\n") {
    send(std::string_view(&c, 1));
    loop.turn(false);
  }
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(2);
  EXPECT_EQ(content_of(0), content_of(1));
  EXPECT_NE(content_of(0).find("evil@x.example"), std::string::npos);
  for (std::size_t i = 0; i < content_of(0).size(); ++i)
    EXPECT_TRUE(content_of(0)[i] != '\n' || content_of(0)[i - 1] == '\r');
}

INSTANTIATE_TEST_SUITE_P(Smuggling, Endings,
                         testing::ValuesIn<Ending>({
                             {"lf_lf", "\n.\n"},
                             {"cr_cr", "\r.\r"},
                             {"cr_lf", "\r.\n"},
                             {"lf_cr", "\n.\r"},
                             {"lf_crlf", "\n.\r\n"},
                             {"crlf_lf", "\r\n.\n"},
                             {"cr_crlf", "\r.\r\n"},
                             {"crlf_cr", "\r\n.\r"},
                             {"nul_before", std::string_view("\r\n\0.\r\n", 6)},
                             {"nul_behind", std::string_view("\r\n.\0\r\n", 6)},
                             {"crlf_crcrlf", "\r\n.\r\r\n"},
                             {"crcrlf", "\r\r\n.\r\r\n"},
                             {"two_dots", "\r\n..\r\n"},
                         }),
                         [](const auto& c) { return std::string(c.param.name); });

TEST_F(SmtpSession, BareNewlineCanBeRefused) {
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

TEST_F(SmtpSession, PipelinedGroupsAreAnsweredInOrder) {
  begin();
  ask("EHLO x");
  send("MAIL FROM:<a@b.example>\r\nRCPT TO:<far@far.example>\r\nRCPT "
       "TO:<u@ours.example>\r\nDATA\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_EQ(reply().substr(0, 3), "554");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_EQ(reply().substr(0, 3), "354");
  send("x: y\r\n\r\nz\r\n.\r\nMAIL FROM:<c@b.example>\r\nRSET\r\nQUIT\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_EQ(reply(), "250 2.1.0 Ok");
  EXPECT_EQ(reply(), "250 2.0.0 Ok");
  EXPECT_EQ(reply(), "221 2.0.0 Bye");
  wait_for_mail(1);
}

TEST_F(SmtpSession, TalkingOutOfTurnEndsTheSession) {
  begin();
  EXPECT_EQ(all_replies("EHLO x\r\nMAIL FROM:<a@b.example>\r\n").at(0).substr(0, 9), "503 5.5.0");
  begin();
  const auto codes =
      all_replies("MAIL FROM:<a@b.example>\r\nRCPT TO:<u@ours.example>\r\nDATA\r\nbody\r\n.\r\n");
  ASSERT_EQ(codes.size(), 3U);
  EXPECT_EQ(codes[2].substr(0, 9), "503 5.5.0");
  EXPECT_TRUE(qmgr.mails().empty());
  early = true;
  connect();
  EXPECT_EQ(reply().substr(0, 9), "554 5.5.0");
  EXPECT_EQ(reply(), "");
}

TEST_F(SmtpSession, ChunksMakeOneMessage) {
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

TEST_F(SmtpSession, RefusedChunksAreReadAndForgotten) {
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

TEST_F(SmtpSession, ManyTinyChunks) {
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

TEST_F(SmtpSession, SizeLimitCountsRealBytes) {
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

TEST_F(SmtpSession, EndlessContentIsCut) {
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

TEST_F(SmtpSession, TooManyHops) {
  config->hops = 3;
  begin();
  std::string loops;
  for (int i = 0; i < 4; ++i)
    loops += "Received: by x\r\n";
  EXPECT_EQ(send_mail(loops + "\r\nx\r\n.\r\n"), "554 5.4.0 Error: too many hops");
  EXPECT_EQ(send_mail(loops.substr(16) + "\r\nx\r\n.\r\n").substr(0, 3), "250");
}

TEST_F(SmtpSession, LargeMailStreamsIntoItsFile) {
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

TEST_F(SmtpSession, HeaderlessMailGetsAHeaderOfItsOwn) {
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

TEST_F(SmtpSession, MailboxLineDoesNotEndTheHeader) {
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

TEST_F(SmtpSession, EndlessCommandLine) {
  begin();
  send(std::string(10'000, 'A'));
  EXPECT_EQ(reply(), "500 5.5.2 Error: command line too long");
  EXPECT_EQ(reply(), "");
}

TEST_F(SmtpSession, ErrorLimitEndsTheSession) {
  config->hard_errors = 5;
  begin();
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(ask("FOO").substr(0, 3), "502");
  EXPECT_EQ(ask("FOO").substr(0, 3), "502");
  EXPECT_EQ(reply(), "421 4.7.0 mx.ours.example Error: too many errors");
  EXPECT_EQ(reply(), "");
}

TEST_F(SmtpSession, JunkCommandsBecomeErrors) {
  config->hard_errors = 3;
  config->junk_limit = 10;
  begin();
  int answered = 0;
  while (ask("NOOP") == "250 2.0.0 Ok" && answered < 50)
    ++answered;
  EXPECT_EQ(answered, 13);
  EXPECT_EQ(reply(), "");
}

TEST_F(SmtpSession, ErrorsAreSleptOn) {
  config->soft_errors = 1;
  config->error_sleep = 30ms;
  begin();
  const SteadyTime before = loop.now();
  send("NOOP\r\nFOO\r\nFOO\r\nNOOP\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_EQ(reply().substr(0, 3), "502");
  EXPECT_EQ(reply().substr(0, 3), "502");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_GE(loop.now() - before, 30ms);
}

TEST_F(SmtpSession, RecipientLimit) {
  config->recipients = 3;
  config->recipients_overshoot = 2;
  config->hard_errors = 2;
  begin();
  ask("MAIL FROM:<a@b.example>");
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(ask("RCPT TO:<u" + std::to_string(i) + "@ours.example>"), "250 2.1.5 Ok");
  EXPECT_EQ(ask("RCPT TO:<u0@ours.example>"), "452 4.5.3 Error: too many recipients");
  EXPECT_EQ(ask("RCPT TO:<u5@ours.example>"), "452 4.5.3 Error: too many recipients");
  EXPECT_EQ(ask("DATA").substr(0, 3), "354");
  send("x: y\r\n\r\n.\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails()[0].envelope.recipients.size(), 3U);
}

TEST_F(SmtpSession, RepeatedRecipientIsOne) {
  begin();
  ask("MAIL FROM:<a@b.example>");
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(ask("RCPT TO:<u@ours.example>"), "250 2.1.5 Ok");
  ask("DATA");
  send(".\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails()[0].envelope.recipients.size(), 1U);
}

TEST_F(SmtpSession, SilentClientTimesOut) {
  config->timeout = 30ms;
  begin();
  EXPECT_EQ(reply(), "421 4.4.2 mx.ours.example Error: timeout exceeded");
  EXPECT_EQ(reply(), "");
}

// A byte now and then does not buy time.
TEST_F(SmtpSession, DrippingClientTimesOut) {
  config->timeout = 1s; // a drip that comes late on a busy machine must not pass for silence
  begin();
  while (!over) {
    send("N");
    test::turn_until(
        loop, [&] { return over; }, 10ms);
  }
  EXPECT_EQ(reply(), "421 4.4.2 mx.ours.example Error: timeout exceeded");
}

TEST_F(SmtpSession, SlowContentTimesOut) {
  config->timeout = 60ms;
  config->data_rate = 1'000'000;
  begin();
  ask("MAIL FROM:<a@b.example>");
  ask("RCPT TO:<u@ours.example>");
  ask("DATA");
  while (!over) {
    send("x");
    test::turn_until(
        loop, [&] { return over; }, 5ms);
  }
  EXPECT_EQ(reply(), "421 4.4.2 mx.ours.example Error: timeout exceeded");
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(SmtpSession, WholeSessionLimit) {
  config->session_limit = 50ms;
  begin();
  while (!over) {
    send("NOOP\r\n");
    test::turn_until(
        loop, [&] { return over; }, 5ms);
  }
  EXPECT_TRUE(over);
}

// The client asks and never reads.
TEST_F(SmtpSession, ClientThatDoesNotReadIsCut) {
  config->timeout = 50ms;
  config->junk_limit = 1'000'000'000;
  begin();
  const std::string many = [] {
    std::string text;
    for (int i = 0; i < 2000; ++i)
      text += "HELP\r\n";
    return text;
  }();
  const SteadyTime give_up = loop.now() + 20s;
  while (!over && loop.now() < give_up) {
    (void)!::send(client.get(), many.data(), many.size(), MSG_NOSIGNAL);
    ev::Timer wake(
        loop, [](void*) {}, nullptr);
    wake.arm(loop.after(1ms));
    loop.turn(true);
  }
  EXPECT_TRUE(over);
}

// A connection that ends anywhere before the final dot leaves nothing.
TEST_F(SmtpSession, CutAnywhereLeavesNothing) {
  start_queue();
  const std::string talk = "EHLO x\r\n";
  const std::string rest = "MAIL FROM:<a@b.example>\r\nRCPT TO:<u@ours.example>\r\nDATA\r\n";
  const std::string body = "Subject: s\r\n\r\nbody\r\n.\r";
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    begin();
    ask("EHLO x");
    send(rest);
    for (int i = 0; i < 3; ++i)
      reply();
    send(body.substr(0, cut));
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_TRUE(turn_until(loop, [&] { return over; }));
    came.clear();
  }
  const std::string commands = talk + rest;
  for (std::size_t cut = 0; cut <= commands.size(); ++cut) {
    connect();
    send(commands.substr(0, cut));
    client.reset();
    EXPECT_TRUE(turn_until(loop, [&] { return over; }));
    came.clear();
  }
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(SmtpSession, QueueTroubleIsTemporary) {
  begin();
  qmgr.say_state(false, "disk is full");
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->may_accept().ok(); }));
  EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "452 4.3.1 Insufficient system storage");
  qmgr.say_state(true, "");
  ASSERT_TRUE(turn_until(loop, [&] { return submitter->may_accept().ok(); }));
  fs.fail_syncs = EIO;
  EXPECT_EQ(send_mail("x: y\r\n\r\n.\r\n"), "451 4.3.0 Error: queue file write error");
  fs.fail_syncs = 0;
  EXPECT_EQ(send_mail("x: y\r\n\r\n.\r\n").substr(0, 3), "250");
  qmgr.refuse_files = true;
  EXPECT_EQ(send_mail("x: y\r\n\r\n" + std::string(90'000, 'x') + "\r\n.\r\n"),
            "452 4.3.1 Insufficient system storage");
  qmgr.die();
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->may_accept().ok(); }));
  EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "451 4.3.0 Error: the queue is not available");
}

TEST_F(SmtpSession, RestartOfTheQueueManagerIsWaitedOut) {
  config->queue_patience = 20s;
  begin();
  qmgr.die();
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->connected(); }));
  send("MAIL FROM:<a@b.example>\r\n");
  for (int i = 0; i < 10; ++i)
    loop.turn(false);
  qmgr.live_again();
  EXPECT_EQ(reply(), "250 2.1.0 Ok");
  ask("RCPT TO:<u@ours.example>");
  ask("DATA");
  qmgr.die();
  ASSERT_TRUE(turn_until(loop, [&] { return !submitter->connected(); }));
  send("x: y\r\n\r\n.\r\n");
  for (int i = 0; i < 10; ++i)
    loop.turn(false);
  qmgr.live_again();
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
}

// The reply waits for the sync, whatever else goes on.
TEST_F(SmtpSession, NoReplyBeforeTheSync) {
  begin();
  fs.hold_syncs = true;
  ask("MAIL FROM:<a@b.example>");
  ask("RCPT TO:<u@ours.example>");
  ask("DATA");
  send("x: y\r\n\r\n.\r\n");
  ASSERT_TRUE(turn_until(loop, [&] { return fs.syncs == 1; }));
  for (int i = 0; i < 100; ++i)
    loop.turn(false);
  char byte;
  EXPECT_EQ(::recv(client.get(), &byte, 1, MSG_PEEK), -1);
  fs.hold_syncs = false;
  EXPECT_EQ(reply().substr(0, 3), "250");
}

// The verified name is what is written down; the other one is for restrictions to look at.
TEST_F(SmtpSession, AClientGoesByItsVerifiedName) {
  dns::ClientName known;
  known.name = known.reverse_name = "Mx.Client.example";
  dns::ClientName forged;
  forged.reverse_name = "mx.ours.example";
  forged.status = dns::NameStatus::forged;
  forged.reverse_status = dns::NameStatus::ok;
  set_name(peer, known);
  begin();
  ask("EHLO liar.example");
  send_mail("x: y\r\n\r\n.\r\n");
  ask("QUIT");
  EXPECT_EQ(reply(), "");
  set_name(peer, forged);
  begin();
  send_mail("x: y\r\n\r\n.\r\n");
  wait_for_mail(2);
  const auto& mails = qmgr.mails();
  EXPECT_TRUE(mails[0].content.starts_with(
      "Received: from liar.example (Mx.Client.example [192.0.2.7])\r\n"));
  EXPECT_EQ(mails[0].envelope.client_name, "Mx.Client.example");
  EXPECT_TRUE(mails[1].content.starts_with("Received: from unknown (unknown [192.0.2.7])\r\n"));
  EXPECT_EQ(mails[1].envelope.client_name, "unknown");
}

TEST_F(SmtpSession, LocalSubmissionIsTrustedAndCompleted) {
  peer = make_local_peer(1234);
  begin();
  ask("EHLO x");
  EXPECT_EQ(ask("MAIL FROM:<alice>"), "250 2.1.0 Ok");
  EXPECT_EQ(ask("RCPT TO:<u@far.example>"), "250 2.1.5 Ok");
  EXPECT_EQ(ask("RCPT TO:<bob>"), "250 2.1.5 Ok");
  ask("DATA");
  send("Subject: s\r\n\r\nx\r\n.\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
  const auto& mail = qmgr.mails()[0];
  EXPECT_EQ(mail.envelope.sender, "alice@ours.example");
  EXPECT_EQ(mail.envelope.recipients[1].address, "bob@ours.example");
  EXPECT_TRUE(mail.envelope.local_submission);
  EXPECT_EQ(mail.envelope.submitter_uid, 1234U);
  EXPECT_EQ(mail.envelope.message_id, "<" + mail.id.text() + "@mx.ours.example>");
  EXPECT_NE(mail.content.find("from userid 1234)"), std::string::npos);
  for (const char* header : {"\r\nDate: ", "\r\nFrom: alice@ours.example\r\n", "\r\nMessage-ID: <"})
    EXPECT_NE(mail.content.find(header), std::string::npos) << header;
  EXPECT_EQ(send_mail("Date: d\r\nFrom: f\r\nMessage-ID: <i>\r\n\r\nx\r\n.\r\n").substr(0, 3),
            "250");
  wait_for_mail(2);
  EXPECT_EQ(content_of(1), "Date: d\r\nFrom: f\r\nMessage-ID: <i>\r\n\r\nx\r\n");
}

TEST_F(SmtpSession, SoftBounceAndHiddenKeywords) {
  config->soft_bounce = true;
  config->hidden_keywords = {"DSN", "SMTPUTF8", "CHUNKING"};
  config->disable_vrfy = true;
  begin();
  EXPECT_EQ(
      ask("EHLO x"),
      "250-mx.ours.example|250-PIPELINING|250-SIZE 100000|250-ENHANCEDSTATUSCODES|250 8BITMIME");
  EXPECT_EQ(ask("VRFY x").substr(0, 3), "502");
  EXPECT_EQ(ask("MAIL FROM:<a@b.example> RET=FULL").substr(0, 3), "555");
  EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "250 2.1.0 Ok");
  EXPECT_EQ(ask("RCPT TO:<u@far.example>"), "454 4.7.1 <u@far.example>: Relay access denied");
}

TEST_F(SmtpSession, DrainingEndsSessionsBetweenMessages) {
  begin();
  ask("EHLO x");
  EXPECT_EQ(ask("MAIL FROM:<a@b.example>"), "250 2.1.0 Ok");
  shared->draining = true;
  EXPECT_EQ(ask("RCPT TO:<u@ours.example>"), "250 2.1.5 Ok");
  ask("DATA");
  send("x: y\r\n\r\n.\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_EQ(reply(), "421 4.3.2 mx.ours.example Service is closing");
  EXPECT_EQ(reply(), "");
}

// Random sequences of commands. The model says which replies are legal; nothing else happens.
TEST_F(SmtpSession, RandomCommandsKeepToTheRules) {
  config->hard_errors = 1'000'000;
  config->soft_errors = 1'000'000;
  config->junk_limit = 1'000'000;
  config->message_size = 0;
  start_queue();
  std::mt19937 random(20261121);
  std::size_t accepted = 0;
  for (int round = 0; round < 1500; ++round) {
    connect();
    ASSERT_EQ(reply().substr(0, 3), "220");
    bool mail = false, chunking = false;
    int recipients = 0;
    const int length = 1 + static_cast<int>(random() % 10);
    for (int step = 0; step < length && !over; ++step) {
      std::string said;
      bool fits = true;
      // Most begin as a message does, or they would hardly ever get to one.
      const unsigned choice = step == 0 && random() % 2 == 0   ? 2
                              : step == 1 && random() % 2 == 0 ? 3
                                                               : random() % 14;
      switch (choice) {
      case 0:
        said = ask("EHLO x");
        fits = said.starts_with("250-");
        mail = chunking = false;
        recipients = 0;
        break;
      case 1:
        said = ask("HELO x");
        fits = said.starts_with("250 ");
        mail = chunking = false;
        recipients = 0;
        break;
      case 2:
        said = ask(kMail);
        fits = said.starts_with(mail ? "503" : "250");
        if (!mail) recipients = 0;
        mail = true;
        break;
      case 3:
      case 4:
        said = ask(kRcpt);
        fits = said.starts_with(mail && !chunking ? "250" : "503");
        if (fits && said[0] == '2') ++recipients;
        break;
      case 5:
        said = ask("RCPT TO:<u@far.example>");
        fits = said.starts_with(mail && !chunking ? "554" : "503");
        break;
      case 6:
      case 7:
        said = ask("DATA");
        if (chunking) {
          fits = said.starts_with("503");
          mail = chunking = false;
          recipients = 0;
        } else if (mail && recipients > 0) {
          fits = said.starts_with("354");
          send("a: b\r\n\r\nMAIL FROM:<x@y>\r\n.\r\n");
          fits = fits && reply().starts_with("250");
          ++accepted;
          mail = false;
          recipients = 0;
        } else {
          fits = said.starts_with(mail ? "554" : "503");
        }
        break;
      case 8:
        said = ask("BDAT 6\r\nRSET"); // the line end that ask() adds ends the chunk
        fits = said.starts_with(mail ? recipients > 0 ? "250" : "554" : "503");
        chunking = fits && said[0] == '2';
        if (!chunking) {
          mail = false;
          recipients = 0;
        }
        break;
      case 9:
        said = ask("BDAT 6 LAST\r\nQUIT");
        fits = said.starts_with(mail ? recipients > 0 ? "250" : "554" : "503");
        if (fits && said[0] == '2') ++accepted;
        mail = chunking = false;
        recipients = 0;
        break;
      case 10:
        said = ask("RSET");
        fits = said.starts_with("250");
        mail = chunking = false;
        recipients = 0;
        break;
      case 11:
        said = ask("NOOP");
        fits = said.starts_with("250");
        break;
      case 12:
        said = ask("FOO");
        fits = said.starts_with("502");
        break;
      case 13:
        said = ask("BDAT x");
        fits = said.starts_with("501");
        mail = chunking = false;
        recipients = 0;
        break;
      default: break;
      }
      ASSERT_TRUE(fits) << "round " << round << ": " << said;
    }
    client.reset();
    ASSERT_TRUE(turn_until(loop, [&] { return over; }));
    came.clear();
  }
  wait_for_mail(accepted);
  EXPECT_GT(accepted, 100U);
}

} // namespace
} // namespace postrider::smtpd
