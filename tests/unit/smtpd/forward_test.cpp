// SPDX-License-Identifier: MIT
// What the client hears when the next server says, or does not say, anything at any step; which
// server is asked; whose mail is queued instead.
#include "endings.hpp"
#include "forwarding.hpp"
#include "support/run_task.hpp"

#include <gmock/gmock.h>

namespace postrider::smtpd {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<std::string> codes(const std::vector<std::string>& replies) {
  std::vector<std::string> out;
  for (const std::string& one : replies)
    out.push_back(one.substr(0, 3));
  return out;
}

class ForwardTest : public ForwardingTest {};

TEST_F(ForwardTest, PassesEachCommandOnAndItsReplyBack) {
  set_targets(next_smtp());
  next.then(kHello + says("MAIL FROM:<a@b.example>", "250 2.1.0 fine") +
            says("RCPT TO:<u@ours.example>", "250-2.1.5 good\r\n250 2.1.5 fellow") +
            says("DATA", "354 go") + ends("250 2.0.0 taken as 17"));
  begin_forwarding();
  EXPECT_THAT(say_mail(),
              ElementsAre("250 2.1.0 fine", "250-2.1.5 good|250 2.1.5 fellow",
                          "354 End data with <CR><LF>.<CR><LF>", "250 2.0.0 taken as 17"));
  ASSERT_EQ(next.messages().size(), 1U);
  EXPECT_THAT(next.messages()[0], StartsWith("Received: from client.example"));
  EXPECT_THAT(next.messages()[0], HasSubstr("Subject: x\r\n\r\nHello\r\n"));
  EXPECT_EQ(next.problem(), "");
  EXPECT_TRUE(qmgr.mails().empty()); // no copy
}

TEST_F(ForwardTest, AsksNobodyBeforeTheContentWhenToldSo) {
  setup.rules.after_content = true;
  set_targets(next_smtp());
  next.then(kHello + kOne);
  begin_forwarding();
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
  EXPECT_EQ(ask(kRcpt), "250 2.1.5 Ok");
  EXPECT_EQ(ask("DATA").substr(0, 3), "354");
  EXPECT_EQ(next.connections(), 0U);
  send_text("Subject: x\r\n\r\nHello\r\n.\r\n");
  EXPECT_EQ(reply(), "250 2.0.0 taken as 17");
  EXPECT_THAT(next.lines()[1], HasSubstr(" SIZE="));
  EXPECT_EQ(next.problem(), "");
}

// --- the envelope in one group (RFC 2920) -------------------------------------------------------

// All of these commands come before any of them is answered.
Script all_at_once(const std::vector<std::pair<std::string, std::string>>& exchange) {
  Script script;
  std::string replies;
  for (const auto& [command, answer] : exchange) {
    script.push_back(expect(command));
    replies += answer + "\r\n";
  }
  script.push_back(sends(replies));
  return script;
}
const Script kHelloInGroups = {sends("220 next ESMTP\r\n"), expect("EHLO"),
                               sends("250-next\r\n250 PIPELINING\r\n")};

class InOneGroup : public ForwardingTest {
 protected:
  InOneGroup() { setup.rules.after_content = true; }
  std::vector<std::string> say_two() { return say_mail({"u@ours.example", "v@ours.example"}); }
};

TEST_F(InOneGroup, GoesTheEnvelope) {
  set_targets(next_smtp());
  next.then(
      kHelloInGroups +
      all_at_once({{"MAIL", "250 ok"}, {"RCPT TO:<u@", "250 ok"}, {"RCPT TO:<v@", "250 ok"}}) +
      says("DATA", "354 go") + ends("250 2.0.0 taken as 17"));
  begin_forwarding();
  EXPECT_EQ(say_two().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.problem(), "");
}

// And DATA with it would end in a message for some of them.
TEST_F(InOneGroup, NobodyGetsWhatOneIsRefused) {
  set_targets(next_smtp());
  next.then(kHelloInGroups +
            all_at_once(
                {{"MAIL", "250 ok"}, {"RCPT TO:<u@", "250 ok"}, {"RCPT TO:<v@", "550 5.1.1 no"}}) +
            says("RSET", "250 ok") + all_at_once({{"MAIL", "250 ok"}, {"RCPT TO:<u@", "250 ok"}}) +
            says("DATA", "354 go") + ends("250 2.0.0 taken as 18"));
  begin_forwarding();
  EXPECT_EQ(say_two().back(), "550 5.1.1 no");
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 18");
  EXPECT_EQ(next.messages().size(), 1U);
  EXPECT_EQ(next.problem(), "");
}

// Its answers to RCPT come all the same, and are not taken for those of the next message.
TEST_F(InOneGroup, ARefusedSenderLeavesTheConnectionInStep) {
  set_targets(next_smtp());
  next.then(kHelloInGroups +
            all_at_once(
                {{"MAIL", "550 5.7.1 not you"}, {"RCPT", "503 no MAIL"}, {"RCPT", "503 no MAIL"}}) +
            says("RSET", "250 ok") + all_at_once({{"MAIL", "250 ok"}, {"RCPT TO:<u@", "250 ok"}}) +
            says("DATA", "354 go") + ends("250 2.0.0 taken as 18"));
  begin_forwarding();
  EXPECT_EQ(say_two().back(), "550 5.7.1 not you");
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 18");
  EXPECT_EQ(next.connections(), 1U);
  EXPECT_EQ(next.problem(), "");
}

TEST_F(InOneGroup, AConnectionThatBreaksInItIsTemporary) {
  set_targets(next_smtp());
  next.then(kHelloInGroups + Script{expect("MAIL"), expect("RCPT"), expect("RCPT"),
                                    sends("250 ok\r\n250 ok\r\n"), close_now()});
  begin_forwarding();
  EXPECT_EQ(say_two().back().substr(0, 3), "451");
  next.then(kHelloInGroups + all_at_once({{"MAIL", "250 ok"}, {"RCPT", "250 ok"}}) +
            says("DATA", "354 go") + ends("250 2.0.0 taken as 19"));
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 19");
}

// --- every reply at every step -----------------------------------------------------------------

struct Saying {
  std::string name, text; // empty: the connection is closed
  std::string heard;      // by our client
};
const std::vector<Saying> kSayings = {
    {"Bye", "421 4.3.2 bye", "451"},
    {"Later", "450 4.2.0 later", "450"},
    {"Full", "452 4.3.1 full", "452"},
    {"Never", "550 5.1.1 never", "550"},
    {"Odd", "399 what", "451"},
    {"Lost", "", "451"},
    {"NoReply", "this is no reply", "451"},
    {"ManyLines", "550-5.7.1 one\r\n550 5.7.1 two", "550"},
};
const std::vector<std::string> kSteps = {"MAIL", "RCPT", "DATA", "dot"};

struct EveryCase {
  Saying saying;
  std::string step;
  bool after_content;
};
std::vector<EveryCase> every_case() {
  std::vector<EveryCase> cases;
  for (const Saying& saying : kSayings)
    for (const std::string& step : kSteps)
      for (const bool late : {false, true})
        cases.push_back({saying, step, late});
  return cases;
}

class EveryReply : public ForwardingTest, public testing::WithParamInterface<EveryCase> {};

TEST_P(EveryReply, IsHeardByTheClient) {
  const EveryCase& c = GetParam();
  setup.rules.after_content = c.after_content;
  set_targets(next_smtp());
  const auto at_step = [&c](const std::string& step, const test::ScriptStep& heard,
                            const std::string& yes) -> Script {
    if (step != c.step) return {heard, sends(yes + "\r\n")};
    if (c.saying.text.empty()) return {heard, close_now()};
    return {heard, sends(c.saying.text + "\r\n")};
  };
  Script script = kHello;
  for (const std::string& step : kSteps) {
    const std::string yes = step == "DATA" ? "354 go" : "250 2.0.0 ok";
    script = script + at_step(step, step == "dot" ? expect_data() : expect(step), yes);
    if (step == c.step) break;
  }
  next.then(script + Script{close_now()});
  begin_forwarding();
  const std::vector<std::string> replies = say_mail();
  EXPECT_EQ(replies.back().substr(0, 3), c.saying.heard) << replies.back();
  const std::size_t number =
      static_cast<std::size_t>(std::find(kSteps.begin(), kSteps.end(), c.step) - kSteps.begin());
  EXPECT_EQ(replies.size(), c.after_content ? 4U : number + 1);
  if (c.saying.name == "ManyLines") {
    EXPECT_EQ(replies.back(), "550-5.7.1 one|550 5.7.1 two");
  }
  EXPECT_TRUE(qmgr.mails().empty());
  // The client's session goes on, and so does mail.
  EXPECT_EQ(ask("RSET"), "250 2.0.0 Ok");
  next.then(kHello + kOne);
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
}
INSTANTIATE_TEST_SUITE_P(Steps, EveryReply, testing::ValuesIn(every_case()), [](const auto& row) {
  return row.param.saying.name + "To" + row.param.step +
         (row.param.after_content ? "AfterContent" : "");
});

struct OpeningCase {
  std::string name;
  Script script; // empty: nobody listens
};
class Opening : public ForwardingTest, public testing::WithParamInterface<OpeningCase> {};
TEST_P(Opening, ThatFailsIsTemporary) {
  set_targets(next_smtp());
  if (GetParam().script.empty())
    set_targets("tcp://127.0.0.1:1");
  else
    next.then(GetParam().script);
  begin_forwarding();
  EXPECT_THAT(codes(say_mail()), ElementsAre("451"));
}
INSTANTIATE_TEST_SUITE_P(Ways, Opening,
                         testing::ValuesIn<OpeningCase>({
                             {"Refused", {}},
                             {"Closed", {close_now()}},
                             {"NotWanted", {sends("554 go away\r\n")}},
                             {"NotNow", {sends("421 busy\r\n")}},
                             {"NoHello",
                              {sends("220 x\r\n"), expect("EHLO"), sends("550 no\r\n"),
                               expect("HELO"), sends("550 no\r\n")}},
                             {"ClosedAtHello", {sends("220 x\r\n"), expect("EHLO"), close_now()}},
                         }),
                         [](const auto& row) { return row.param.name; });

TEST_F(ForwardTest, AServerThatSaysNothingIsWaitedForAsLongAsItsStepMayTake) {
  setup.options[0].timeouts[static_cast<std::size_t>(smtp::Step::mail)] =
      std::chrono::milliseconds(30);
  set_targets(next_smtp());
  next.then(kHello + Script{expect("MAIL"), stall()});
  begin_forwarding();
  EXPECT_THAT(say_mail().back(), StartsWith("451 4.4.2"));
}

TEST_F(ForwardTest, ContentThatTheClientDoesNotEndIsNotEndedThere) {
  set_targets(next_smtp());
  next.then(kHello + kEnvelope + Script{expect_data()});
  begin_forwarding();
  EXPECT_EQ(ask(kMail).substr(0, 3), "250");
  EXPECT_EQ(ask(kRcpt).substr(0, 3), "250");
  EXPECT_EQ(ask("DATA").substr(0, 3), "354");
  send_text("Subject: x\r\n\r\n" + std::string(200'000, 'x') + "\r\n");
  client = Fd();
  EXPECT_TRUE(test::turn_until(loop, [this] { return !next.problem().empty(); }));
  EXPECT_TRUE(next.messages().empty());
}

TEST_F(ForwardTest, AMessageThatIsTooBigIsNotEndedThere) {
  set_targets(next_smtp());
  next.then(kHello + kEnvelope + Script{expect_data()});
  begin_forwarding();
  const std::string line = std::string(998, 'x') + "\r\n";
  std::string content = "Subject: x\r\n\r\n";
  while (content.size() < 150'000) // of 100,000
    content += line;
  EXPECT_THAT(say_mail({"u@ours.example"}, content).back(), StartsWith("552 5.3.4"));
  EXPECT_TRUE(test::turn_until(loop, [this] { return !next.problem().empty(); }));
  EXPECT_TRUE(next.messages().empty());
}

TEST_F(ForwardTest, ARefusalInTheMiddleOfTheContentIsHeardAtItsEnd) {
  config->message_size = 0;
  set_targets(next_smtp());
  next.then(kHello + kEnvelope + Script{sends("552 5.3.4 too much\r\n"), expect_data()});
  begin_forwarding();
  EXPECT_EQ(say_mail().back(), "552 5.3.4 too much");
}

// --- smuggling ---------------------------------------------------------------------------------

class EndOfData : public ForwardingTest,
                  public testing::WithParamInterface<std::tuple<test::Ending, bool, bool>> {};
TEST_P(EndOfData, IsTheDotBetweenLineEndsAndNothingElse) {
  const auto& [ending, after_content, chunked] = GetParam();
  setup.rules.after_content = after_content;
  set_targets(next_smtp());
  next.then(kHello + kOne);
  begin_forwarding();
  const std::string content = "Subject: x\r\n\r\nbefore" + ending.bytes +
                              "MAIL FROM:<evil@x.example>\r\nRCPT TO:<you@ours.example>\r\n"
                              "DATA\r\nbehind\r\n";
  EXPECT_EQ(ask(kMail).substr(0, 3), "250");
  EXPECT_EQ(ask(kRcpt).substr(0, 3), "250");
  if (chunked) {
    send_text("BDAT " + std::to_string(content.size()) + " LAST\r\n" + content);
  } else {
    EXPECT_EQ(ask("DATA").substr(0, 3), "354");
    send_text(content + ".\r\n");
  }
  EXPECT_EQ(reply(), "250 2.0.0 taken as 17");
  ASSERT_EQ(next.messages().size(), 1U);
  EXPECT_THAT(next.messages()[0], HasSubstr("behind\r\n"));
  EXPECT_THAT(next.messages()[0], HasSubstr("MAIL FROM:<evil@x.example>"));
  const std::string& sent = next.messages()[0];
  EXPECT_EQ(sent.find('\0'), std::string::npos);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    EXPECT_TRUE(sent[i] != '\n' || sent[i - 1] == '\r');
    EXPECT_TRUE(sent[i] != '\r' || sent[i + 1] == '\n');
  }
  EXPECT_EQ(next.lines().size(), 4U); // EHLO MAIL RCPT DATA
}
INSTANTIATE_TEST_SUITE_P(Smuggling, EndOfData,
                         testing::Combine(testing::ValuesIn(test::kFalseEndings), testing::Bool(),
                                          testing::Bool()),
                         [](const auto& row) {
                           return std::get<0>(row.param).name +
                                  (std::get<1>(row.param) ? "AfterContent" : "") +
                                  (std::get<2>(row.param) ? "Chunked" : "");
                         });

TEST_F(ForwardTest, ADotAloneInAChunkIsContent) {
  set_targets(next_smtp());
  next.then(kHello + kOne);
  begin_forwarding();
  const std::string content = "Subject: x\r\n\r\na\r\n.\r\nb";
  EXPECT_EQ(ask(kMail).substr(0, 3), "250");
  EXPECT_EQ(ask(kRcpt).substr(0, 3), "250");
  send_text("BDAT " + std::to_string(content.size()) + " LAST\r\n" + content);
  EXPECT_EQ(reply(), "250 2.0.0 taken as 17");
  EXPECT_THAT(next.messages().at(0), testing::EndsWith("a\r\n..\r\nb\r\n"));
}

// --- which server ------------------------------------------------------------------------------

TEST_F(ForwardTest, TargetsAreTriedInOrderAndDeadOnesLast) {
  set_targets(next_smtp() + ", " + other_smtp());
  next.then({close_now()});
  other.then(kHello + kOne);
  other.then(kHello + kOne);
  begin_forwarding();
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.connections(), 1U);
  EXPECT_EQ(other.connections(), 2U);
}

TEST_F(ForwardTest, ADeadServerIsTriedWhenTheOthersAreDeadToo) {
  set_targets(next_smtp() + ", " + other_smtp());
  next.then({close_now()});
  other.then({close_now()});
  begin_forwarding();
  EXPECT_THAT(codes(say_mail()), ElementsAre("451"));
  next.then(kHello + kOne);
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
}

TEST_F(ForwardTest, AnIdleConnectionIsUsedAgainAndADeadOneIsNoLoss) {
  set_targets(next_smtp());
  next.then(kHello + kOne + kOne);
  begin_forwarding();
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.connections(), 1U);
  EXPECT_TRUE(test::turn_until(loop, [this] { return next.finished() == 1; })); // it hangs up
  next.then(kHello + kOne);
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.connections(), 2U);
}

TEST_F(ForwardTest, ATransactionThatWasLeftIsUndoneBeforeTheNext) {
  set_targets(next_smtp());
  next.then(kHello + says("MAIL", "250 ok") + says("RSET", "250 ok") + kOne);
  begin_forwarding();
  EXPECT_EQ(ask(kMail).substr(0, 3), "250");
  EXPECT_EQ(ask("RSET"), "250 2.0.0 Ok");
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.problem(), "");
}

// shows: smtpd_forward_connection_limit
TEST_F(ForwardTest, MailWaitsForAConnectionAndThenForNothing) {
  setup.rules.connections = 1;
  setup.options[0].timeouts[static_cast<std::size_t>(smtp::Step::connect)] =
      std::chrono::milliseconds(30);
  set_targets(next_smtp());
  next.then(kHello + says("MAIL", "250 ok"));
  begin_forwarding();
  EXPECT_EQ(ask(kMail).substr(0, 3), "250");
  Fd first = std::move(client);
  connect();
  EXPECT_EQ(reply().substr(0, 3), "220");
  EXPECT_EQ(ask("EHLO second.example").substr(0, 3), "250");
  EXPECT_THAT(ask(kMail), StartsWith("451 4.3.0"));
  EXPECT_EQ(next.connections(), 1U);
}

// --- routes ------------------------------------------------------------------------------------

TEST_F(ForwardTest, ATableSaysWhoseMailGoesWhere) {
  set_targets("tcp://127.0.0.1:1");
  set_maps("inline:{ours.example=" + other_smtp() + ", u@ours.example=" + next_smtp() + "}");
  next.then(kHello + kOne);
  other.then(kHello + kOne);
  begin_forwarding();
  EXPECT_EQ(say_mail({"u@ours.example"}).back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(say_mail({"v@ours.example"}).back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.messages().size(), 1U);
  EXPECT_EQ(other.messages().size(), 1U);
}

TEST_F(ForwardTest, TheSenderMayChoose) {
  setup.rules.by_sender = true;
  set_maps("inline:{b.example=" + next_smtp() + "}");
  next.then(kHello + kOne);
  begin_forwarding();
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
}

TEST_F(ForwardTest, WhatATableSendsToTheQueueIsQueued) {
  set_targets(next_smtp());
  set_maps("inline:{ours.example=queue}");
  begin_forwarding();
  EXPECT_THAT(say_mail().back(), StartsWith("250 2.0.0 Ok: queued as"));
  wait_for_mail(1);
  EXPECT_EQ(next.connections(), 0U);
}

TEST_F(ForwardTest, ATableThatMakesNoSenseIsTemporary) {
  set_maps("inline:{ours.example=nonsense}");
  begin_forwarding();
  EXPECT_THAT(codes(say_mail()), ElementsAre("250", "451"));
}

// shows: smtpd_forward_split
TEST_F(ForwardTest, RecipientsOfAnotherServerAreDeferred) {
  set_maps("inline:{u@ours.example=" + next_smtp() + ", v@ours.example=" + other_smtp() + "}");
  next.then(kHello + kOne);
  begin_forwarding();
  EXPECT_THAT(codes(say_mail({"u@ours.example", "v@ours.example"})),
              ElementsAre("250", "250", "451", "354", "250"));
  EXPECT_EQ(other.connections(), 0U);
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(ForwardTest, RecipientsOfAnotherServerAreQueued) {
  setup.rules.queues_rest = true;
  set_maps("inline:{u@ours.example=" + next_smtp() + ", v@ours.example=" + other_smtp() + "}");
  next.then(kHello + kOne);
  begin_forwarding();
  const auto replies = say_mail({"u@ours.example", "v@ours.example"});
  EXPECT_THAT(codes(replies), ElementsAre("250", "250", "250", "354", "250"));
  EXPECT_THAT(replies.back(), HasSubstr("queued as"));
  wait_for_mail(1);
  ASSERT_EQ(qmgr.mails().at(0).envelope.recipients.size(), 1U);
  EXPECT_EQ(qmgr.mails().at(0).envelope.recipients[0].address, "v@ours.example");
  EXPECT_THAT(qmgr.mails().at(0).content, HasSubstr("Subject: x\r\n\r\nHello\r\n"));
}

TEST_F(ForwardTest, NothingIsQueuedOfWhatTheNextServerRefuses) {
  setup.rules.queues_rest = true;
  set_maps("inline:{u@ours.example=" + next_smtp() + ", v@ours.example=queue}");
  next.then(kHello + kEnvelope + ends("554 5.7.1 spam"));
  begin_forwarding();
  EXPECT_EQ(say_mail({"u@ours.example", "v@ours.example"}).back(), "554 5.7.1 spam");
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(ForwardTest, WhenTheQueueFailsBehindTheNextServerTheClientSendsAgain) {
  setup.rules.queues_rest = true;
  set_maps("inline:{u@ours.example=" + next_smtp() + ", v@ours.example=queue}");
  next.then(kHello + kOne);
  begin_forwarding();
  fs.fail_syncs = EIO;
  EXPECT_THAT(say_mail({"u@ours.example", "v@ours.example"}).back(), StartsWith("451 4.3.0"));
}

// --- answers that differ -----------------------------------------------------------------------

TEST_F(ForwardTest, OverLmtpAMessageGoesToOneRecipientAtATime) {
  set_targets(next_lmtp());
  next.then(kLmtpHello + kOne);
  begin_forwarding();
  EXPECT_THAT(codes(say_mail({"u@ours.example", "v@ours.example"})),
              ElementsAre("250", "250", "452", "354", "250"));
}

TEST_F(ForwardTest, OverLmtpTheQueueTakesWhoWasRefusedWhileOthersWereNot) {
  setup.rules.queues_rest = true;
  set_targets(next_lmtp());
  next.then(kLmtpHello + says("MAIL", "250 ok") + says("RCPT", "250 ok") + says("RCPT", "250 ok") +
            says("DATA", "354 go") + ends("250 2.0.0 kept\r\n452 4.2.2 full"));
  begin_forwarding();
  EXPECT_THAT(say_mail({"u@ours.example", "v@ours.example"}).back(),
              StartsWith("250 2.0.0 Ok: passed on for 1, queued as"));
  wait_for_mail(1);
  ASSERT_EQ(qmgr.mails().at(0).envelope.recipients.size(), 1U);
  EXPECT_EQ(qmgr.mails().at(0).envelope.recipients[0].address, "v@ours.example");
}

TEST_F(ForwardTest, OverLmtpWithAllRefusedNobodyIsQueued) {
  setup.rules.queues_rest = true;
  set_targets(next_lmtp());
  next.then(kLmtpHello + says("MAIL", "250 ok") + says("RCPT", "250 ok") + says("RCPT", "250 ok") +
            says("DATA", "354 go") + ends("550 5.2.1 off\r\n452 4.2.2 full"));
  begin_forwarding();
  EXPECT_EQ(say_mail({"u@ours.example", "v@ours.example"}).back(), "452 4.2.2 full");
  EXPECT_TRUE(qmgr.mails().empty());
}

TEST_F(ForwardTest, AfterTheContentItIsAllOrNobody) {
  setup.rules.after_content = true;
  set_targets(next_smtp());
  next.then(kHello + says("MAIL", "250 ok") + says("RCPT", "250 ok") +
            says("RCPT", "550 5.1.1 no such user") + says("RSET", "250 ok"));
  begin_forwarding();
  EXPECT_EQ(say_mail({"u@ours.example", "v@ours.example"}).back(), "550 5.1.1 no such user");
  EXPECT_TRUE(next.messages().empty());
}

// shows: smtpd_forward_one_recipient
TEST_F(ForwardTest, EachRecipientMayHaveAMessageOfItsOwn) {
  setup.rules.after_content = true;
  setup.rules.queues_rest = true;
  setup.rules.one_recipient = true;
  set_targets(next_smtp());
  next.then(kHello + kOne + kOne);
  begin_forwarding();
  EXPECT_EQ(say_mail({"u@ours.example", "v@ours.example"}).back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.messages().size(), 2U);
}

TEST_F(ForwardTest, OneRecipientAtATimeIsAskedForWhereNothingIsQueued) {
  setup.rules.one_recipient = true;
  set_targets(next_smtp());
  next.then(kHello + kOne);
  begin_forwarding();
  EXPECT_THAT(codes(say_mail({"u@ours.example", "v@ours.example"})),
              ElementsAre("250", "250", "452", "354", "250"));
}

// --- what the next server does not offer -------------------------------------------------------

TEST_F(ForwardTest, SuccessReportsAreNotPromised) {
  set_targets(next_smtp());
  begin_forwarding();
  EXPECT_THAT(ask("EHLO client.example"), testing::Not(HasSubstr("DSN")));
}

TEST_F(ForwardTest, SmtpUtf8IsRefusedWhereItEnds) {
  set_targets(next_smtp());
  next.then(kHello + Script{expect("QUIT")});
  begin_forwarding();
  EXPECT_THAT(ask("MAIL FROM:<\xc3\xbc@b.example> SMTPUTF8"), StartsWith("550 5.6.7"));
}

TEST_F(ForwardTest, ASizeThatIsTooMuchIsRefusedBeforeItIsSent) {
  set_targets(next_smtp());
  next.then(kHello + Script{expect("QUIT")});
  begin_forwarding();
  EXPECT_THAT(ask(kMail + " SIZE=60000"), StartsWith("552 5.3.4"));
}

TEST_F(ForwardTest, EightBitContentIsConvertedForAServerOfSevenBits) {
  set_targets(next_smtp());
  next.then(Script{sends("220 next\r\n"), expect("EHLO"), sends("250 next\r\n")} + kOne);
  begin_forwarding();
  EXPECT_EQ(ask(kMail + " BODY=8BITMIME").substr(0, 3), "250");
  EXPECT_EQ(ask(kRcpt).substr(0, 3), "250");
  EXPECT_EQ(ask("DATA").substr(0, 3), "354");
  send_text("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n.\r\n");
  EXPECT_EQ(reply(), "250 2.0.0 taken as 17");
  EXPECT_THAT(next.messages().at(0), HasSubstr("quoted-printable"));
  EXPECT_THAT(next.messages().at(0), HasSubstr("gr=C3=BC=C3=9F"));
}

// --- who may -----------------------------------------------------------------------------------

// shows: smtpd_forward_check_sender
TEST_F(ForwardTest, OurSendersAreNotStrangers) {
  setup.rules.check_sender = true;
  set_targets(next_smtp());
  set_maps("inline:{b.example=" + next_smtp() + "}");
  begin_forwarding();
  EXPECT_EQ(ask(kMail), "553 5.7.1 <a@b.example>: Sender address rejected: not logged in");
  EXPECT_EQ(ask("MAIL FROM:<a@c.example>"), "250 2.1.0 Ok");
}

TEST_F(ForwardTest, WithoutALoginThereIsNoneToPassOn) {
  setup.rules.auth = forward::Auth::forward;
  set_targets(next_smtp());
  begin_forwarding();
  EXPECT_EQ(ask(kMail), "530 5.7.0 Authentication required");
}

// --- filters ------------------------------------------------------------------------------------

// A transaction of two recipients; `filter` has its way with the envelope at the given moment.
enum class Moment { before_data, before_end };
ev::Task<Answer> transact(Forwarding& forwarding, submit::Submitter& submitter,
                          mail::Envelope& envelope, Moment moment,
                          const std::function<void(mail::Envelope&)>& filter) {
  envelope.sender = "a@b.example";
  Answer answer = co_await forwarding.mail(std::nullopt);
  for (const char* address : {"u@ours.example", "v@ours.example"}) {
    mail::Recipient recipient;
    recipient.address = address;
    if (forward::is_yes(answer)) answer = co_await forwarding.rcpt(recipient);
    envelope.recipients.push_back(recipient);
  }
  if (!forward::is_yes(answer)) co_return answer;
  if (moment == Moment::before_data) filter(envelope);
  answer = co_await forwarding.data();
  if (answer.code != 354) co_return answer;
  const submit::MakeHead head = [](queue::Id) { return std::string("Received: by us\r\n"); };
  std::unique_ptr<Sink> sink = forwarding.sink(
      head, {false, [&](const mail::Envelope& all, const submit::MakeHead& make_head) {
               return std::make_unique<QueueSink>(submitter, all, make_head);
             }});
  if (moment == Moment::before_end) filter(envelope);
  sink->pending() = "Subject: x\r\n\r\nHello\r\n";
  mail::ContentScanner scanner;
  scanner.feed(sink->pending());
  const mail::ContentFacts facts = scanner.facts();
  Result<Answer> last = co_await sink->commit(facts);
  co_return last ? *last : Answer{451, "4.3.0", last.error().text()};
}

class FilteredForward : public ForwardingTest, public testing::WithParamInterface<Moment> {
 protected:
  Answer run(const std::function<void(mail::Envelope&)>& filter) {
    begin_forwarding();
    mail::Envelope envelope;
    Forwarding forwarding(*servers, *submitter, peer, envelope);
    return test::run_task<Answer>(
        loop, [&] { return transact(forwarding, *submitter, envelope, GetParam(), filter); });
  }
  // What the next server hears before the filter speaks.
  Script both() const {
    const Script script =
        kHello + says("MAIL", "250 ok") + says("RCPT", "250 ok") + says("RCPT", "250 ok");
    return GetParam() == Moment::before_data ? script + says("RSET", "250 ok")
                                             : script + says("DATA", "354 go");
  }
};
INSTANTIATE_TEST_SUITE_P(Moments, FilteredForward,
                         testing::Values(Moment::before_data, Moment::before_end),
                         [](const auto& row) {
                           return row.param == Moment::before_data ? "BeforeData" : "BeforeEnd";
                         });

TEST_P(FilteredForward, WhomAFilterTakesOutGetsNothing) {
  set_targets(next_smtp());
  const Script rest = says("MAIL", "250 ok") + says("RCPT TO:<u@", "250 ok") +
                      says("DATA", "354 go") + ends("250 2.0.0 taken as 18");
  if (GetParam() == Moment::before_data) {
    next.then(both() + rest);
  } else {
    next.then(both());
    next.then(kHello + rest);
  }
  const Answer answer = run([](mail::Envelope& e) { e.recipients.pop_back(); });
  EXPECT_EQ(answer.text, "taken as 18");
  EXPECT_EQ(next.messages().size(), 1U);
}

TEST_P(FilteredForward, AnotherSenderIsSaidAgain) {
  set_targets(next_smtp());
  const Script rest = says("MAIL FROM:<c@b.example>", "250 ok") + says("RCPT", "250 ok") +
                      says("RCPT", "250 ok") + says("DATA", "354 go") + ends("250 2.0.0 taken");
  if (GetParam() == Moment::before_data) {
    next.then(both() + rest);
  } else {
    next.then(both());
    next.then(kHello + rest);
  }
  EXPECT_EQ(run([](mail::Envelope& e) { e.sender = "c@b.example"; }).code, 250);
  EXPECT_EQ(next.messages().size(), 1U);
}

TEST_P(FilteredForward, WhatIsToBeHeldIsQueued) {
  set_targets(next_smtp());
  Script script = kHello + says("MAIL", "250 ok") + says("RCPT", "250 ok") +
                  says("RCPT", "250 ok") + says("DATA", "354 go");
  next.then(script);
  const Answer answer = run([](mail::Envelope& e) { e.hold = "looks bad"; });
  EXPECT_THAT(answer.text, StartsWith("Ok: queued as"));
  wait_for_mail(1);
  EXPECT_EQ(qmgr.mails().at(0).envelope.hold, "looks bad");
  EXPECT_EQ(qmgr.mails().at(0).envelope.recipients.size(), 2U);
  EXPECT_TRUE(next.messages().empty());
}

// --- the client's own login ---------------------------------------------------------------------

// "\0tim\0tanstaaf"
const std::string kPlainLogin = "AHRpbQB0YW5zdGFhZg==";
const Script kAuthHello = {sends("220 next ESMTP\r\n"), expect("EHLO"),
                           sends("250-next\r\n250 AUTH CRAM-MD5 PLAIN\r\n")};

class ForwardLogin : public ForwardingTest {
 protected:
  void SetUp() override {
    static const bool initialized = sasl::Client::initialize("").ok();
    ASSERT_TRUE(initialized);
    for (smtpclient::Options& options : setup.options) {
      options.sasl.enabled = true;
      options.sasl.security = options.sasl.tls_security = {"noanonymous"};
    }
    setup.rules.auth = forward::Auth::forward;
    peer.login.method = "PLAIN";
    peer.login.said_user = "tim";
    peer.login.said_password = Secret("tanstaaf");
    set_targets(next_smtp());
  }
};

TEST_F(ForwardLogin, IsSaidToTheNextServer) {
  next.then(kAuthHello + says("AUTH PLAIN " + kPlainLogin, "235 2.7.0 hello tim") + kOne);
  begin_forwarding();
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.problem(), "");
}

TEST_F(ForwardLogin, ThatIsRefusedIsTemporary) {
  next.then(kAuthHello + says("AUTH PLAIN", "535 5.7.8 who?"));
  begin_forwarding();
  EXPECT_THAT(say_mail().back(), StartsWith("451 4.7.8"));
}

TEST_F(ForwardLogin, IsADemand) {
  next.then(kHello);
  begin_forwarding();
  EXPECT_THAT(say_mail().back(), StartsWith("451 4.7.0"));
  EXPECT_EQ(next.lines().size(), 1U); // no MAIL
}

TEST_F(ForwardLogin, StaysHereWhenOthersCouldReadIt) {
  for (smtpclient::Options& options : setup.options)
    options.sasl.security = {"noanonymous", "noplaintext"};
  next.then(kAuthHello);
  begin_forwarding();
  EXPECT_THAT(say_mail().back(), StartsWith("451 4.7.0"));
  EXPECT_EQ(next.lines().size(), 1U);
}

// A connection is one user's.
TEST_F(ForwardLogin, IsNotLentToAnother) {
  setup.rules.connections = 1;
  next.then(kAuthHello + says("AUTH PLAIN", "235 2.7.0 hello tim") + kOne + Script{expect("QUIT")});
  next.then(kAuthHello + says("AUTH PLAIN", "235 2.7.0 hello joe") + kOne);
  begin_forwarding();
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(ask("QUIT").substr(0, 3), "221");
  peer.login.said_user = "joe";
  connect();
  EXPECT_EQ(reply().substr(0, 3), "220");
  EXPECT_EQ(ask("EHLO client.example").substr(0, 3), "250");
  EXPECT_EQ(say_mail().back(), "250 2.0.0 taken as 17");
  EXPECT_EQ(next.connections(), 2U);
}

} // namespace postrider::smtpd
