// SPDX-License-Identifier: MIT
// Planning a transaction (batch) and judging its replies.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "smtp/batch.hpp"
#include "smtp/judge.hpp"

namespace postrider::smtp {
namespace {

struct Planned {
  mail::Envelope envelope;
  mail::ContentFacts facts;
  Features features;
  Batch plan() {
    const Transaction t{&envelope, &envelope.recipients, &facts};
    return plan_transaction(t, features);
  }
};

TEST(Planning, PlainSmtpIsOneCommandAtATime) {
  Planned p;
  p.envelope.sender = "a b@c";
  p.envelope.envid = "x";
  p.envelope.recipients = {{"d@e", "rfc822;d@e", mail::notify_never}, {"f@g", "", 0}};
  const Batch batch = p.plan();
  EXPECT_EQ(batch.wire, "MAIL FROM:<\"a b\"@c>\r\nRCPT TO:<d@e>\r\nRCPT TO:<f@g>\r\nDATA\r\n");
  ASSERT_EQ(batch.commands.size(), 4U);
  for (const auto& command : batch.commands)
    EXPECT_TRUE(command.last_of_group);
  EXPECT_EQ(batch.commands[2].recipient, 1U);
  EXPECT_EQ(batch.commands.back().end, batch.wire.size());
}

TEST(Planning, UsesWhatIsOffered) {
  Planned p;
  p.features = {
      .pipelining = true, .eight_bit_mime = true, .size = true, .dsn = true, .smtputf8 = true};
  p.facts.size = 77;
  p.facts.has_8bit = true;
  p.envelope.ret = mail::Ret::hdrs;
  p.envelope.envid = "a+b";
  p.envelope.smtputf8 = true;
  p.envelope.recipients = {{"d@e", "rfc822;d=d@e", mail::notify_success | mail::notify_delay},
                           {"f@g", "utf-8;f@g", mail::notify_never},
                           {"h i@j", "", 0}};
  const Batch batch = p.plan();
  EXPECT_EQ(batch.wire, "MAIL FROM:<> SIZE=77 BODY=8BITMIME ENVID=a+2Bb RET=HDRS SMTPUTF8\r\n"
                        "RCPT TO:<d@e> ORCPT=rfc822;d+3Dd@e NOTIFY=SUCCESS,DELAY\r\n"
                        "RCPT TO:<f@g> ORCPT=utf-8;f@g NOTIFY=NEVER\r\n"
                        "RCPT TO:<\"h i\"@j> ORCPT=rfc822;\"h+20i\"@j\r\nDATA\r\n");
  for (std::size_t i = 0; i + 1 < batch.commands.size(); ++i)
    EXPECT_FALSE(batch.commands[i].last_of_group);
  EXPECT_TRUE(batch.commands.back().last_of_group);
}

// RFC 6533 section 3: neither xtext nor everything that may stand in an address.
TEST(Planning, EncodesAnAddressOfTypeUtf8) {
  Planned p;
  p.features = {.dsn = true, .smtputf8 = true};
  p.envelope.smtputf8 = true;
  p.envelope.recipients = {{"a=b+c@\u00fc.example", "", 0},
                           {"d e@\u00fc.example", "", 0},
                           {"f@g", "utf-8;x\\x{3D}\\y@\u00fc.example", 0}};
  EXPECT_EQ(p.plan().wire,
            "MAIL FROM:<> SMTPUTF8\r\n"
            "RCPT TO:<a=b+c@\u00fc.example> ORCPT=utf-8;a\\x{3D}b\\x{2B}c@\u00fc.example\r\n"
            "RCPT TO:<\"d e\"@\u00fc.example> ORCPT=utf-8;\"d\\x{20}e\"@\u00fc.example\r\n"
            "RCPT TO:<f@g> ORCPT=utf-8;x\\x{3D}\\x{5C}y@\u00fc.example\r\nDATA\r\n");
}

struct Utf8Case {
  std::string name, sender, recipient;
  bool requested, in_headers, in_body, offered;
  std::string mail; // empty: it cannot be sent
  std::string rcpt;
};

TEST(Planning, Utf8OnlyWhereItIsNeeded) {
  const std::string local = "\xc3\xa9@b.example", domain = "a@\xc3\xa9.example";
  const std::vector<Utf8Case> cases = {
      {"not needed", "a@b", "c@d", true, false, false, true, "<a@b>", "<c@d>"},
      {"perhaps in a part", "a@b", "c@d", true, false, true, true, "<a@b> SMTPUTF8", "<c@d>"},
      {"8-bit mail of old", "a@b", "c@d", false, false, true, true, "<a@b>", "<c@d>"},
      {"8-bit header of old", "a@b", "c@d", false, true, true, false, "<a@b>", "<c@d>"},
      {"header", "a@b", "c@d", true, true, true, false, "", ""},
      {"local part", "a@b", local, true, false, false, true, "<a@b> SMTPUTF8", "<" + local + ">"},
      {"local part not offered", "a@b", local, true, false, false, false, "", ""},
      {"domain", domain, domain, true, false, false, true, "<" + domain + "> SMTPUTF8",
       "<" + domain + ">"},
      {"domain not offered", domain, domain, true, false, false, false, "<a@xn--9ca.example>",
       "<a@xn--9ca.example>"},
      {"body only, not offered", "a@b", "c@d", true, false, true, false, "<a@b>", "<c@d>"},
      {"no domain after all", "a@b", "a@\xc3\xa9..x", true, false, false, false, "", ""},
  };
  for (const Utf8Case& c : cases) {
    SCOPED_TRACE(c.name);
    Planned p;
    p.features.smtputf8 = c.offered;
    p.envelope.sender = c.sender;
    p.envelope.recipients = {{c.recipient, "", 0}};
    p.envelope.smtputf8 = c.requested;
    p.facts.utf8_headers = c.in_headers;
    p.facts.has_8bit = c.in_body;
    const Transaction t{&p.envelope, &p.envelope.recipients, &p.facts};
    EXPECT_EQ(find_obstacle(t, p.features) == Obstacle::none, !c.mail.empty());
    if (!c.mail.empty())
      EXPECT_EQ(p.plan().wire, "MAIL FROM:" + c.mail + "\r\nRCPT TO:" + c.rcpt + "\r\nDATA\r\n");
  }
}

TEST(Planning, ChunkedContentNeedsNoData) {
  Planned p;
  p.envelope.recipients = {{"a@b"}};
  p.features.pipelining = true;
  Transaction t{&p.envelope, &p.envelope.recipients, &p.facts};
  t.chunked = true;
  t.xforward = {"XFORWARD NAME=x\r\n"};
  const Batch batch = plan_transaction(t, p.features);
  EXPECT_EQ(batch.wire, "XFORWARD NAME=x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n");
  EXPECT_EQ(batch.commands.front().step, Step::xforward);
  EXPECT_TRUE(batch.commands.back().last_of_group);
}

TEST(Planning, GroupsAreBounded) {
  Planned p;
  p.features.pipelining = true;
  for (int i = 0; i < 5000; ++i)
    p.envelope.recipients.push_back({std::string(40, 'r') + "@e"});
  std::size_t start = 0;
  for (const auto& command : p.plan().commands) {
    EXPECT_LE(command.end - start, 40000U);
    if (command.last_of_group) start = command.end;
  }
}

TEST(Planning, Obstacles) {
  Planned p;
  p.envelope.recipients = {{"a@b"}};
  const Transaction t{&p.envelope, &p.envelope.recipients, &p.facts};
  p.facts.size = 11;
  p.features.size = true;
  EXPECT_EQ(find_obstacle(t, p.features), Obstacle::none);
  p.features.size_limit = 10;
  EXPECT_EQ(find_obstacle(t, p.features), Obstacle::too_large);
  p.features.size_limit = 11;
  EXPECT_EQ(find_obstacle(t, p.features), Obstacle::none);
  p.envelope.recipients[0].address = "\xc3\xa9@b";
  EXPECT_EQ(find_obstacle(t, p.features), Obstacle::needs_smtputf8);
  p.features.smtputf8 = true;
  EXPECT_EQ(find_obstacle(t, p.features), Obstacle::none);
}

const Reply kOk{250, "", "250 ok"}, kGo{354, "", "354 go"}, kLater{450, "", "450 later"},
    kNo{550, "5.1.1", "550 5.1.1 no"}, kFull{552, "5.5.3", "552 5.5.3 too many"};

TEST(Judging, EachRecipientOnItsOwn) {
  Judge judge(4);
  judge.mail(kOk);
  judge.rcpt(0, kOk);
  judge.rcpt(1, kNo);
  judge.rcpt(2, kLater);
  judge.rcpt(3, kFull);
  EXPECT_EQ(judge.data(kGo), Judge::Next::content);
  judge.end_of_data(kOk);
  EXPECT_EQ(judge.decision(0), Decision::delivered);
  EXPECT_EQ(judge.decision(1), Decision::refused);
  EXPECT_EQ(judge.step(1), Step::rcpt);
  EXPECT_EQ(judge.reply(1).code, 550);
  EXPECT_EQ(judge.reply(2).code, 450);
  EXPECT_EQ(judge.reply(3).code, 452);
  EXPECT_EQ(judge.reply(3).dsn, "4.5.3");
  EXPECT_FALSE(judge.any_undecided());
}

TEST(Judging, RefusedMailIsTheReasonForAll) {
  Judge judge(2);
  judge.mail(kNo);
  judge.rcpt(0, kOk);
  judge.rcpt(1, Reply{503, "", "503 need MAIL"});
  EXPECT_EQ(judge.data(Reply{503, "", "503"}), Judge::Next::stop);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(judge.step(i), Step::mail);
    EXPECT_EQ(judge.reply(i).code, 550);
  }
}

// RFC 5321 section 4.5.3.1.10, and the mailboxes that are full for good.
TEST(Judging, TooManyRecipientsIsTemporary) {
  const struct {
    Reply reply;
    bool after_accepted;
    int code;
  } cases[] = {{{552, "", "552 too many"}, true, 452},
               {{552, "5.5.3", "552 5.5.3 too many"}, true, 452},
               {{552, "5.2.2", "552 5.2.2 full"}, true, 552},
               {{552, "", "552 too much"}, false, 552}};
  for (const auto& c : cases) {
    Judge judge(2);
    judge.mail(kOk);
    if (c.after_accepted) judge.rcpt(0, kOk);
    judge.rcpt(1, c.reply);
    EXPECT_EQ(judge.reply(1).code, c.code) << c.reply.text;
  }
}

TEST(Judging, DataAcceptedThoughNobodyIsLeft) {
  Judge judge(1);
  judge.mail(kOk);
  judge.rcpt(0, kNo);
  EXPECT_EQ(judge.data(kGo), Judge::Next::nothing);
  EXPECT_EQ(judge.step(0), Step::rcpt);
}

TEST(Judging, RefusedDataAndRefusedContent) {
  Judge data(2);
  data.mail(kOk);
  data.rcpt(0, kOk);
  data.rcpt(1, kNo);
  EXPECT_EQ(data.data(kOk), Judge::Next::stop); // 250 to DATA is no go-ahead
  EXPECT_EQ(data.step(0), Step::data);
  EXPECT_EQ(data.step(1), Step::rcpt);
  Judge content(1);
  content.mail(kOk);
  content.rcpt(0, kOk);
  EXPECT_EQ(content.data(kGo), Judge::Next::content);
  content.end_of_data(kLater);
  EXPECT_EQ(content.decision(0), Decision::refused);
  EXPECT_EQ(content.step(0), Step::end_of_data);
}

TEST(Judging, LmtpAnswersForEachAcceptedRecipient) {
  Judge judge(3);
  judge.mail(kOk);
  judge.rcpt(0, kOk);
  judge.rcpt(1, kNo);
  judge.rcpt(2, kOk);
  EXPECT_EQ(judge.data(kGo), Judge::Next::content);
  judge.end_of_data_next(kOk);
  EXPECT_TRUE(judge.any_undecided());
  judge.end_of_data_next(kLater);
  EXPECT_EQ(judge.decision(0), Decision::delivered);
  EXPECT_EQ(judge.decision(1), Decision::refused);
  EXPECT_EQ(judge.decision(2), Decision::refused);
  EXPECT_FALSE(judge.any_undecided());
}

} // namespace
} // namespace postrider::smtp
