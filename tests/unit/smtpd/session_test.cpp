// SPDX-License-Identifier: MIT
#include "dialogue.hpp"

namespace postrider::smtpd {
namespace {

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
        {"auth_not_offered", {"MAIL FROM:<a@b.example> AUTH=<>"}, {"503 5.5.4"}},
        {"utf8_without_smtputf8",
         {"MAIL FROM:<\xc3\xa4@b.example>", kMail, "RCPT TO:<\xc3\xa4@ours.example>", "DATA"},
         {"553 5.6.7", "250 2.1.0", "553 5.6.7", "554 5.5.1"}},
        {"utf8_with_smtputf8",
         {"MAIL FROM:<\xc3\xa4@b.example> SMTPUTF8", "RCPT TO:<\xc3\xb6@ours.example>"},
         {"250 2.1.0", "250 2.1.5"}},
        {"vrfy", {"VRFY u", "VRFY", "VRFY \xc3\xa4"}, {"252 2.0.0", "501 5.5.4", "553 5.6.7"}},
        {"not_here",
         {"EXPN list", "ETRN x", "STARTTLS", "AUTH PLAIN", "XCLIENT A=b", "LHLO x"},
         {"502 5.5.1", "502 5.5.1", "502 5.5.1", "503 5.5.1", "550 5.7.0", "502 5.5.1"}},
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

TEST_F(SmtpSession, EndlessCommandLine) {
  begin();
  send(std::string(10'000, 'A'));
  EXPECT_EQ(reply(), "500 5.5.2 Error: command line too long");
  EXPECT_EQ(reply(), "");
}

// However it is cut into pieces.
TEST_F(SmtpSession, TheLongestCommandLineIsNotTooLong) {
  config->line_length = 100;
  const std::string line = "NOOP " + std::string(95, 'x') + "\r";
  for (std::size_t cut = 98; cut <= line.size(); ++cut) {
    begin();
    send(line.substr(0, cut));
    for (int turn = 0; turn < 10; ++turn)
      loop.turn(false);
    EXPECT_EQ(ask(line.substr(cut) + "\nQUIT"), "250 2.0.0 Ok") << cut;
    EXPECT_EQ(reply(), "221 2.0.0 Bye");
  }
  begin();
  EXPECT_EQ(ask(line + "x"), "500 5.5.2 Error: command line too long");
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

} // namespace
} // namespace postrider::smtpd
