// SPDX-License-Identifier: MIT
// Mail filters in a session: verdicts become replies, what filters leave of a message is stored.
#include "dialogue.hpp"
#include "unit/milter/fake_filter.hpp"

namespace postrider::smtpd {
namespace {

using milter::answer_packet;
using milter::strings;

class FiltersTest : public DialogueTest {
 protected:
  FiltersTest() {
    auto dialer = std::make_unique<milter::FakeFilter>(loop);
    fake = dialer.get();
    shared->dialer = std::move(dialer);
    milter::FilterOptions options;
    options.name = "inet:filter:1";
    set->filters.push_back(options);
    set->macros[static_cast<std::size_t>(milter::Stage::connect)] = {"j", "client_addr", "_"};
    set->macros[static_cast<std::size_t>(milter::Stage::mail)] = {"mail_addr", "i"};
    set->macros[static_cast<std::size_t>(milter::Stage::rcpt)] = {"rcpt_addr", "rcpt_host",
                                                                  "rcpt_mailer"};
    set->macros[static_cast<std::size_t>(milter::Stage::end_of_data)] = {"i"};
    config->filters = std::make_shared<FilterChoice>(set);
  }
  ~FiltersTest() override { group.tear_down(); }
  bool heard(std::string_view what) const {
    for (const std::string& one : fake->heard)
      if (one == what) return true;
    return false;
  }

  milter::FakeFilter* fake;
  std::shared_ptr<milter::FilterSet> set = std::make_shared<milter::FilterSet>();
};

TEST_F(FiltersTest, HearOfEverything) {
  begin();
  ask("EHLO c.example");
  EXPECT_EQ(send_mail("Subject: x\r\n\r\nbody\r\n.\r\n").substr(0, 24), "250 2.0.0 Ok: queued as ");
  wait_for_mail(1);
  EXPECT_EQ(content_of(), "Subject: x\r\n\r\nbody\r\n");
  EXPECT_TRUE(heard("D Cj|mx.ours.example|{client_addr}|192.0.2.7|_|unknown [192.0.2.7]"));
  EXPECT_TRUE(heard("C [192.0.2.7]"));
  EXPECT_TRUE(heard("H c.example"));
  EXPECT_TRUE(heard("D M{mail_addr}|a@b.example"));
  EXPECT_TRUE(heard("M <a@b.example>"));
  EXPECT_TRUE(heard("D R{rcpt_addr}|u@ours.example"));
  EXPECT_TRUE(heard("L Subject|x"));
  EXPECT_EQ(fake->body, "body\r\n");
  // The id that filters hear is the one under which the message is kept.
  EXPECT_TRUE(heard("D Ei|" + qmgr.mails().front().id.text()));
}

TEST_F(FiltersTest, ChangeWhatIsStored) {
  fake->answers['E'] = answer_packet('i', milter::indexed(0, "Top", "1")) +
                       answer_packet('i', milter::indexed(2, "Mid", "2")) +
                       answer_packet('h', strings({"End", "caf\xc3\xa9"})) +
                       answer_packet('b', "new\r\n.dot\r\n") +
                       answer_packet('+', strings({"<more@ours.example>"})) +
                       answer_packet('-', strings({"<u@ours.example>"})) +
                       answer_packet('e', strings({"<other@b.example>"})) + answer_packet('c');
  begin();
  ask("EHLO c.example");
  EXPECT_EQ(send_mail("Subject: x\r\n\r\nbody\r\n.\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  const auto& mail = qmgr.mails().front();
  EXPECT_TRUE(mail.content.starts_with("Top: 1\r\nReceived: "));
  EXPECT_TRUE(mail.content.ends_with(
      "\r\nMid: 2\r\nSubject: x\r\nEnd: caf\xc3\xa9\r\n\r\nnew\r\n.dot\r\n"));
  EXPECT_EQ(mail.envelope.sender, "other@b.example");
  ASSERT_EQ(mail.envelope.recipients.size(), 1u);
  EXPECT_EQ(mail.envelope.recipients.front().address, "more@ours.example");
  EXPECT_EQ(mail.facts.size, mail.content.size());
  EXPECT_TRUE(mail.facts.has_8bit && mail.facts.utf8_headers && mail.facts.needs_dot_stuffing);
  EXPECT_EQ(mail.facts.header_size, mail.content.find("\r\n\r\n") + 4);
  EXPECT_EQ(mail.facts.hops, 1u);
}

// Larger than what stays in memory, on both sides.
TEST_F(FiltersTest, LargeMailPasses) {
  config->message_size = 2'000'000;
  std::string body;
  while (body.size() < 900'000)
    body.append(70, static_cast<char>('a' + body.size() % 26)).append("\r\n");
  begin();
  ask("EHLO c.example");
  EXPECT_EQ(send_mail("Subject: x\r\n\r\n" + body + ".\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(content_of(), "Subject: x\r\n\r\n" + body);
  EXPECT_EQ(fake->body, body);
}

struct StageCase {
  const char* name;
  char command;
  std::string answer;
  std::vector<std::string> replies; // to EHLO, MAIL, RCPT, DATA, the content
};
class FilterStageTest : public FiltersTest, public testing::WithParamInterface<StageCase> {};
TEST_P(FilterStageTest, VerdictBecomesTheReply) {
  fake->answers[GetParam().command] = GetParam().answer;
  begin();
  const std::vector<std::string> said{"EHLO c.example\r\n", kMail + "\r\n", kRcpt + "\r\n",
                                      "DATA\r\n", "Subject: x\r\n\r\nbody\r\n.\r\n"};
  for (std::size_t i = 0; i < GetParam().replies.size(); ++i) {
    send(said[i]);
    const std::string& expected = GetParam().replies[i];
    EXPECT_EQ(reply().substr(0, expected.size()), expected) << said[i];
  }
}
INSTANTIATE_TEST_SUITE_P(
    Stages, FilterStageTest,
    testing::ValuesIn<StageCase>({
        {"Helo", 'H', answer_packet('r'), {"250-", "550 5.7.1 Command rejected"}},
        {"Mail",
         'M',
         answer_packet('t'),
         {"250-", "451 4.7.1 Service unavailable - try again later", "503 5.5.1"}},
        {"Rcpt",
         'R',
         answer_packet('y', strings({"550 5.7.9 not you"})),
         {"250-", "250 ", "550 5.7.9 not you", "554 5.5.1 Error: no valid recipients"}},
        {"Data", 'T', answer_packet('r'), {"250-", "250 ", "250 ", "550 5.7.1 Command rejected"}},
        {"Header", 'L', answer_packet('r'), {"250-", "250 ", "250 ", "354 ", "550 5.7.1 Command"}},
        {"EndOfData",
         'E',
         answer_packet('y', strings({"550-5.7.9 one\r\n550 5.7.9 two"})),
         {"250-", "250 ", "250 ", "354 ", "550-5.7.9 one|550 5.7.9 two"}},
        {"Shutdown", 'M', answer_packet('4'), {"250-", "421 4.7.0 Server closing connection", ""}},
        {"Discard",
         'E',
         answer_packet('d'),
         {"250-", "250 ", "250 ", "354 ", "250 2.0.0 Ok: queued as "}},
        {"DiscardEarly",
         'M',
         answer_packet('d'),
         {"250-", "250 ", "250 ", "354 ", "250 2.0.0 Ok: queued as "}},
        {"Nonsense", 'E', answer_packet('!'), {"250-", "250 ", "250 ", "354 ", "451 4.7.1"}},
    }),
    [](const auto& one) { return std::string(one.param.name); });

TEST_F(FiltersTest, DiscardedMailIsNotKept) {
  fake->answers['T'] = answer_packet('d');
  begin();
  ask("EHLO c.example");
  EXPECT_EQ(send_mail("Subject: x\r\n\r\nbody\r\n.\r\n").substr(0, 23), "250 2.0.0 Ok: queued as");
  fake->answers.clear();
  EXPECT_EQ(send_mail("Subject: second\r\n\r\nbody\r\n.\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(content_of(), "Subject: second\r\n\r\nbody\r\n");
}

TEST_F(FiltersTest, HeldMailSaysSo) {
  fake->answers['E'] = answer_packet('q', strings({"why"})) + answer_packet('c');
  begin();
  ask("EHLO c.example");
  EXPECT_EQ(send_mail("Subject: x\r\n\r\nbody\r\n.\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails().front().envelope.hold, "milter triggers HOLD action");
}

TEST_F(FiltersTest, RefusedConnectionIsRefusedThroughout) {
  fake->answers['C'] = answer_packet('r');
  if (!submitter->connected()) start_queue();
  connect();
  EXPECT_EQ(reply(), "554 mx.ours.example ESMTP not accepting connections");
  EXPECT_EQ(ask("EHLO c.example").substr(0, 4), "250-");
  EXPECT_EQ(ask(kMail), "550 5.7.1 Command rejected");
  EXPECT_EQ(ask("QUIT").substr(0, 3), "221");
}

TEST_F(FiltersTest, RefusedRecipientLeavesTheOthers) {
  begin();
  ask("EHLO c.example");
  ask(kMail);
  ask(kRcpt);
  fake->answers['R'] = answer_packet('r');
  EXPECT_EQ(ask("RCPT TO:<v@ours.example>").substr(0, 3), "550");
  fake->answers.clear();
  EXPECT_EQ(ask("DATA").substr(0, 3), "354");
  send("Subject: x\r\n\r\nbody\r\n.\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails().front().envelope.recipients.size(), 1u);
}

TEST_F(FiltersTest, HearWhyWeRefuseARecipient) {
  fake->steps = milter::rejected_rcpt;
  begin();
  ask("EHLO c.example");
  ask(kMail);
  EXPECT_EQ(ask("RCPT TO:<x@elsewhere.example>").substr(0, 3), "554");
  EXPECT_TRUE(heard("D R{rcpt_addr}|<x@elsewhere.example>: Relay access denied|{rcpt_host}|5.7.1|"
                    "{rcpt_mailer}|error"));
}

TEST_F(FiltersTest, HearOfTheEndOfATransaction) {
  begin();
  ask("EHLO c.example");
  ask(kMail);
  ask("RSET");
  ask("HUH"); // waits for the filter, RSET does not
  EXPECT_TRUE(heard("A"));
  EXPECT_TRUE(heard("U HUH"));
}

TEST_F(FiltersTest, WatchBdatAsWell) {
  begin();
  ask("EHLO c.example");
  ask(kMail);
  ask(kRcpt);
  fake->answers['T'] = answer_packet('r');
  send("BDAT 6\r\nA: b\r\n");
  EXPECT_EQ(reply().substr(0, 3), "550");
  fake->answers.clear();
  ask(kMail);
  ask(kRcpt);
  send("BDAT 6\r\nA: b\r\nBDAT 4 LAST\r\n\r\nx\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(content_of(), "A: b\r\n\r\nx\r\n");
}

// The header that we complete is complete before filters see it.
TEST_F(FiltersTest, LocalMailIsCompletedFirst) {
  peer = make_local_peer(1000);
  config->local = true;
  begin();
  ask("EHLO localhost");
  EXPECT_EQ(send_mail("Subject: x\r\n\r\nbody\r\n.\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_TRUE(heard("C localhost"));
  EXPECT_TRUE(heard("H localhost"));
  EXPECT_TRUE(heard("L From|a@b.example"));
  EXPECT_NE(qmgr.mails().front().content.find("\r\nFrom: a@b.example\r\n"), std::string::npos);
}

TEST_F(FiltersTest, DeadFilterIsTheDefaultAction) {
  fake->refuses = true;
  set->filters.front().default_action = milter::DefaultAction::accept;
  begin();
  ask("EHLO c.example");
  EXPECT_EQ(send_mail("Subject: x\r\n\r\nbody\r\n.\r\n").substr(0, 3), "250");
  ask("QUIT");
  ASSERT_TRUE(test::turn_until(loop, [&] { return over; }));
  set->filters.front().default_action = milter::DefaultAction::tempfail;
  begin();
  ask("EHLO c.example");
  EXPECT_EQ(ask(kMail).substr(0, 3), "451");
}

} // namespace
} // namespace postrider::smtpd
