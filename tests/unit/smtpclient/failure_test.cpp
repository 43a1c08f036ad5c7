// SPDX-License-Identifier: MIT
// The outcome table, row by row, and what must hold over all of it.
#include "smtpclient/failure.hpp"

#include <cerrno>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace postrider::smtpclient {
namespace {

using mail::Scope;
using mail::Verdict;
using smtp::Step;

struct Case {
  Cause cause;
  Step step;
  Verdict verdict;
  Scope scope;
  Next next;
  std::string_view dsn;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << "cause " << static_cast<int>(c.cause) << " step " << static_cast<int>(c.step);
}

const std::vector<Case> kRows = {
    {Cause::timeout, Step::connect, Verdict::deferred, Scope::site, Next::host, "4.4.1"},
    {Cause::closed, Step::connect, Verdict::deferred, Scope::site, Next::host, "4.4.1"},
    {Cause::refused, Step::connect, Verdict::deferred, Scope::site, Next::host, "4.4.1"},
    {Cause::unreachable, Step::connect, Verdict::deferred, Scope::site, Next::host, "4.4.1"},
    {Cause::local_resources, Step::connect, Verdict::deferred, Scope::transport, Next::none,
     "4.3.0"},
    {Cause::cancelled, Step::connect, Verdict::deferred, Scope::transport, Next::none, "4.3.2"},
    {Cause::timeout, Step::greeting, Verdict::deferred, Scope::site, Next::host, "4.4.2"},
    {Cause::closed, Step::greeting, Verdict::deferred, Scope::site, Next::host, "4.4.2"},
    {Cause::protocol, Step::greeting, Verdict::deferred, Scope::site, Next::host, "4.5.0"},
    {Cause::too_much, Step::greeting, Verdict::deferred, Scope::site, Next::host, "4.5.0"},
    {Cause::reply_421, Step::greeting, Verdict::deferred, Scope::site, Next::host, "4.0.0"},
    {Cause::reply_temporary, Step::greeting, Verdict::deferred, Scope::site, Next::host, "4.0.0"},
    {Cause::reply_permanent, Step::greeting, Verdict::bounced, Scope::site, Next::none, "5.0.0"},
    {Cause::reply_odd, Step::greeting, Verdict::deferred, Scope::site, Next::host, "4.5.0"},
    {Cause::timeout, Step::ehlo, Verdict::deferred, Scope::site, Next::host, "4.4.2"},
    {Cause::reply_temporary, Step::ehlo, Verdict::deferred, Scope::site, Next::host, "4.0.0"},
    {Cause::reply_permanent, Step::helo, Verdict::bounced, Scope::site, Next::none, "5.0.0"},
    {Cause::reply_permanent, Step::lhlo, Verdict::bounced, Scope::site, Next::none, "5.0.0"},
    {Cause::timeout, Step::mail, Verdict::deferred, Scope::session, Next::host, "4.4.2"},
    {Cause::closed, Step::mail, Verdict::deferred, Scope::session, Next::host, "4.4.2"},
    {Cause::protocol, Step::mail, Verdict::deferred, Scope::session, Next::host, "4.5.0"},
    {Cause::reply_421, Step::mail, Verdict::deferred, Scope::session, Next::host, "4.0.0"},
    {Cause::reply_temporary, Step::mail, Verdict::deferred, Scope::message, Next::host, "4.0.0"},
    {Cause::reply_permanent, Step::mail, Verdict::bounced, Scope::message, Next::none, "5.0.0"},
    {Cause::reply_odd, Step::mail, Verdict::deferred, Scope::session, Next::host, "4.5.0"},
    {Cause::closed, Step::rcpt, Verdict::deferred, Scope::session, Next::host, "4.4.2"},
    {Cause::reply_temporary, Step::rcpt, Verdict::deferred, Scope::recipient, Next::host, "4.0.0"},
    {Cause::reply_permanent, Step::rcpt, Verdict::bounced, Scope::recipient, Next::none, "5.0.0"},
    {Cause::reply_temporary, Step::data, Verdict::deferred, Scope::message, Next::host, "4.0.0"},
    {Cause::reply_permanent, Step::data, Verdict::bounced, Scope::message, Next::none, "5.0.0"},
    {Cause::reply_odd, Step::data, Verdict::deferred, Scope::session, Next::host, "4.5.0"},
    {Cause::timeout, Step::body, Verdict::deferred, Scope::session, Next::host, "4.4.2"},
    {Cause::closed, Step::body, Verdict::deferred, Scope::session, Next::host, "4.4.2"},
    {Cause::cancelled, Step::body, Verdict::deferred, Scope::transport, Next::none, "4.3.2"},
    {Cause::content_unreadable, Step::body, Verdict::deferred, Scope::message, Next::none, "4.3.0"},
    {Cause::content_changed, Step::body, Verdict::deferred, Scope::message, Next::none, "4.3.0"},
    {Cause::mime_nesting, Step::body, Verdict::bounced, Scope::message, Next::none, "5.6.0"},
    {Cause::forwarding_loop, Step::lookup, Verdict::bounced, Scope::message, Next::none, "5.4.6"},
    {Cause::timeout, Step::end_of_data, Verdict::in_doubt, Scope::session, Next::none, "4.4.2"},
    {Cause::closed, Step::end_of_data, Verdict::in_doubt, Scope::session, Next::none, "4.4.2"},
    {Cause::unreachable, Step::end_of_data, Verdict::in_doubt, Scope::session, Next::none, "4.4.2"},
    {Cause::protocol, Step::end_of_data, Verdict::in_doubt, Scope::session, Next::none, "4.5.0"},
    {Cause::too_much, Step::end_of_data, Verdict::in_doubt, Scope::session, Next::none, "4.5.0"},
    {Cause::cancelled, Step::end_of_data, Verdict::in_doubt, Scope::session, Next::none, "4.3.2"},
    {Cause::local_resources, Step::end_of_data, Verdict::in_doubt, Scope::session, Next::none,
     "4.3.0"},
    {Cause::reply_odd, Step::end_of_data, Verdict::in_doubt, Scope::session, Next::none, "4.5.0"},
    {Cause::reply_421, Step::end_of_data, Verdict::deferred, Scope::session, Next::host, "4.0.0"},
    {Cause::reply_temporary, Step::end_of_data, Verdict::deferred, Scope::message, Next::host,
     "4.0.0"},
    {Cause::reply_permanent, Step::end_of_data, Verdict::bounced, Scope::message, Next::none,
     "5.0.0"},
    {Cause::dns_temporary, Step::lookup, Verdict::deferred, Scope::site, Next::none, "4.4.3"},
    {Cause::no_domain, Step::lookup, Verdict::bounced, Scope::site, Next::none, "5.4.4"},
    {Cause::null_mx, Step::lookup, Verdict::bounced, Scope::site, Next::none, "5.1.10"},
    {Cause::no_address, Step::lookup, Verdict::bounced, Scope::site, Next::none, "5.4.4"},
    {Cause::no_address_yet, Step::lookup, Verdict::deferred, Scope::site, Next::none, "4.4.4"},
    {Cause::dns_filtered, Step::lookup, Verdict::deferred, Scope::site, Next::none, "4.7.0"},
    {Cause::misconfigured, Step::lookup, Verdict::deferred, Scope::site, Next::none, "4.3.5"},
    {Cause::cannot_bind, Step::connect, Verdict::deferred, Scope::transport, Next::host, "4.4.0"},
    {Cause::loop, Step::lookup, Verdict::bounced, Scope::site, Next::none, "5.4.6"},
    {Cause::bad_nexthop, Step::lookup, Verdict::deferred, Scope::transport, Next::none, "4.3.5"},
    {Cause::too_large, Step::mail, Verdict::bounced, Scope::message, Next::none, "5.3.4"},
    {Cause::needs_smtputf8, Step::mail, Verdict::bounced, Scope::message, Next::host, "5.6.7"},
};

class OutcomeTable : public testing::TestWithParam<Case> {};
TEST_P(OutcomeTable, HasThisRow) {
  const Case& c = GetParam();
  const Row row = decide(c.cause, c.step);
  EXPECT_EQ(row.verdict, c.verdict);
  EXPECT_EQ(row.scope, c.scope);
  EXPECT_EQ(row.next, c.next);
  EXPECT_EQ(row.dsn, c.dsn);
}
INSTANTIATE_TEST_SUITE_P(Rows, OutcomeTable, testing::ValuesIn(kRows));

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
        EXPECT_EQ(step, Step::end_of_data);
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
  EXPECT_EQ(refused.reply, "550-5.1.1 no / 550 5.1.1 such user");
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
