// SPDX-License-Identifier: MIT
// What must hold over all of the outcome table (its rows: outcome_table_test.cpp), and the texts.
#include "smtpclient/failure.hpp"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

namespace postrider::smtpclient {
namespace {

using mail::Verdict;
using smtp::Step;

TEST(OutcomeTableAsAWhole, KeepsTheseRules) {
  for (int c = 0; c < kCauses; ++c)
    for (int s = 0; s < smtp::kSteps; ++s) {
      const auto cause = static_cast<Cause>(c);
      const auto step = static_cast<Step>(s);
      const Row row = decide(cause, step);
      SCOPED_TRACE(std::to_string(c) + " at " + std::to_string(s));
      EXPECT_NE(row.verdict, Verdict::delivered);
      EXPECT_EQ(row.dsn[0], row.verdict == Verdict::bounced ? '5' : '4');
      // In doubt only behind the final dot, and then never sent again at once.
      if (row.verdict == Verdict::in_doubt) {
        EXPECT_TRUE(smtp::ends_content(step));
        EXPECT_EQ(row.next, Next::none);
      }
      // Mail is given up because a server or the DNS said so, or cannot take it; never because of
      // a connection.
      if (cause <= Cause::cancelled) {
        EXPECT_NE(row.verdict, Verdict::bounced);
      }
    }
}

TEST(Causes, OfErrors) {
  EXPECT_EQ(to_cause(Error::from_errno("connect", ECONNREFUSED)), Cause::refused);
  EXPECT_EQ(to_cause(Error::from_errno("connect", ENETUNREACH)), Cause::unreachable);
  EXPECT_EQ(to_cause(Error::from_errno("connect", EHOSTUNREACH)), Cause::unreachable);
  EXPECT_EQ(to_cause(Error::from_errno("connect", ETIMEDOUT)), Cause::timeout);
  EXPECT_EQ(to_cause(Error::from_errno("socket", EMFILE)), Cause::local_resources);
  // A filter of packets, or a lack of ports, is about that destination.
  for (const int problem : {EACCES, EPERM, EADDRNOTAVAIL})
    EXPECT_NE(to_cause(Error::from_errno("connect", problem)), Cause::local_resources) << problem;
  EXPECT_EQ(to_cause(Error::from_errno("read", ECONNRESET)), Cause::closed);
  EXPECT_EQ(to_cause(Error(ErrorKind::limit, "")), Cause::too_much);
}

TEST(Causes, OfReplies) {
  EXPECT_EQ(to_cause(smtp::Reply{421, "", ""}), Cause::reply_421);
  EXPECT_EQ(to_cause(smtp::Reply{450, "", ""}), Cause::reply_temporary);
  EXPECT_EQ(to_cause(smtp::Reply{550, "", ""}), Cause::reply_permanent);
  EXPECT_EQ(to_cause(smtp::Reply{354, "", ""}), Cause::reply_odd);
}

TEST(OutcomeRecord, NamesHostStepAndReply) {
  const Peer peer{"mx.example", "192.0.2.1", 25};
  const smtp::Reply no{550, "5.1.1", "550-5.1.1 no\n550 5.1.1 such user"};
  const mail::Outcome refused = to_outcome(trouble_from(no, Step::rcpt), peer);
  EXPECT_EQ(refused.verdict, Verdict::bounced);
  EXPECT_EQ(refused.dsn, "5.1.1");
  EXPECT_EQ(refused.text, "host mx.example[192.0.2.1] said: 550-5.1.1 no 550 5.1.1 such user (in "
                          "reply to RCPT TO command)");
  EXPECT_EQ(refused.reply, "550-5.1.1 no 550 5.1.1 such user");
  EXPECT_EQ(to_outcome(Trouble{Cause::closed, Step::end_of_data, {}, ""}, peer).text,
            "lost connection with mx.example[192.0.2.1] while sending end of data -- message may "
            "be sent more than once");
  EXPECT_EQ(to_outcome(Trouble{Cause::refused, Step::connect, {}, "Connection refused"}, peer).text,
            "connect to mx.example[192.0.2.1]:25: Connection refused");
  EXPECT_EQ(to_outcome(Trouble{Cause::refused, Step::connect, {}, "x"}, peer).host, "none");
  // A permanent greeting that only sends us to the next host does not leave a permanent code.
  const Trouble skipped{Cause::reply_temporary, Step::greeting, {554, "5.7.1", "554 5.7.1 go"}, ""};
  EXPECT_EQ(to_outcome(skipped, peer).dsn, "4.7.1");
  EXPECT_EQ(to_outcome(skipped, peer).text,
            "host mx.example[192.0.2.1] refused to talk to me: 554 5.7.1 go");
  EXPECT_EQ(delivered(smtp::Reply{250, "", "250 queued"}, peer).dsn, "2.0.0");
}

} // namespace
} // namespace postrider::smtpclient
