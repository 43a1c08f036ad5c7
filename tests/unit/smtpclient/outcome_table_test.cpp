// SPDX-License-Identifier: MIT
// The outcome table against the rules that it has to follow, written down here once more and in
// another order: by failure, with what the step adds. What a server can do is then played, row by
// row, with and without another host to turn to.
#include "smtpclient/outcome_table.hpp"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "delivering.hpp"

namespace postrider::smtpclient {
namespace {

// "outcome code; what comes then; what qmgr holds back". Two words stand for what the step says:
//   PLACE    of a connection: the site while nothing was said about mail, then the session
//   REFUSED  of a reply: the site while nothing was said about mail, the recipient at RCPT, else
//            the message
struct Rule {
  std::string_view failure;
  std::string_view before; // the end of the content has not left: nothing has happened
  std::string_view after;  // it has, and the server may have taken the mail
};

// RFC 5321 section 4.5.5: what ends without a reply is tried again, elsewhere if possible. Not so
// behind the end of the content (RFC 1047): another host would deliver it once more.
constexpr Rule kConversation[] = {
    {"timeout", "deferred 4.4.2; next host; PLACE", "unknown 4.4.2; -; session"},
    {"closed", "deferred 4.4.2; next host; PLACE", "unknown 4.4.2; -; session"},
    {"unreachable", "deferred 4.4.1; next host; PLACE", "unknown 4.4.2; -; session"},
    // What nobody understands is no answer, whatever its first digit.
    {"garbage", "deferred 4.5.0; next host; PLACE", "unknown 4.5.0; -; session"},
    {"too-long", "deferred 4.5.0; next host; PLACE", "unknown 4.5.0; -; session"},
    {"odd", "deferred 4.5.0; next host; PLACE", "unknown 4.5.0; -; session"},
    // Sections 4.2.1 and 3.8: 4xx is for now, 5xx for ever, 421 the end of the session. A clear no
    // is one behind the content as well.
    {"421", "deferred 4.0.0; next host; PLACE", "deferred 4.0.0; next host; session"},
    {"4xx", "deferred 4.0.0; next host; REFUSED", "deferred 4.0.0; next host; message"},
    {"5xx", "bounced 5.0.0; -; REFUSED", "bounced 5.0.0; -; message"},
    // Our own trouble is no fault of mail or host: the transport waits. A table that cannot be
    // asked for one host may have an answer for the next.
    {"local-resources", "deferred 4.3.0; -; transport", "unknown 4.3.0; -; session"},
    {"local-data", "deferred 4.3.0; next host; transport", "unknown 4.3.0; -; session"},
    {"interrupted", "deferred 4.3.2; -; transport", "unknown 4.3.2; -; session"},
};

// What happens in one place only: step, failure, and what becomes of it.
struct Single {
  std::string_view step, failure, outcome;
};
constexpr Single kSingle[] = {
    // The DNS. A clear answer counts (RFC 5321 section 5.1, RFC 7505), all else is to be asked
    // again. The domain as a whole is concerned, and no host of it is left to ask.
    {"lookup", "dns-temporary", "deferred 4.4.3; -; site"},
    {"lookup", "no-domain", "bounced 5.4.4; -; site"},
    {"lookup", "null-mx", "bounced 5.1.10; -; site"},
    {"lookup", "no-address", "bounced 5.4.4; -; site"},
    {"lookup", "no-address-yet", "deferred 4.4.4; -; site"},
    {"lookup", "dns-filtered", "deferred 4.7.0; -; site"},
    {"lookup", "loop", "bounced 5.4.6; -; site"},
    {"EHLO", "loop", "bounced 5.4.6; -; site"},
    {"HELO", "loop", "bounced 5.4.6; -; site"},
    {"EHLO", "loop-elsewhere", "deferred 4.4.0; next host; site"},
    {"HELO", "loop-elsewhere", "deferred 4.4.0; next host; site"},
    // Mistakes of the administrator's defer.
    {"lookup", "bad-nexthop", "deferred 4.3.5; -; transport"},
    {"lookup", "misconfigured", "deferred 4.3.5; -; site"},
    {"connect", "cannot-bind", "deferred 4.4.0; next host; transport"},
    // No connection: RFC 3463's code for a host that does not answer.
    {"connect", "timeout", "deferred 4.4.1; next host; site"},
    {"connect", "closed", "deferred 4.4.1; next host; site"},
    {"connect", "refused", "deferred 4.4.1; next host; site"},
    {"connect", "unreachable", "deferred 4.4.1; next host; site"},
    {"connect", "local-resources", "deferred 4.3.0; -; transport"},
    // Protection and logins: what is asked for is not done without, and no mail is given up for
    // it; another host of the destination may be better (RFC 7435 has no say where a level is set).
    {"STARTTLS", "tls-required", "deferred 4.7.4; next host; site"},
    {"STARTTLS", "tls-failed", "deferred 4.7.5; next host; site"},
    {"STARTTLS", "tls-untrusted", "deferred 4.7.5; next host; site"},
    {"STARTTLS", "tls-policy", "deferred 4.7.5; next host; site"},
    {"lookup", "tls-policy", "deferred 4.7.5; next host; site"},
    {"STARTTLS", "tls-downgraded", "deferred 4.7.4; next host; site"},
    {"AUTH", "auth-refused", "deferred 4.7.8; next host; site"},
    {"AUTH", "auth-impossible", "deferred 4.7.0; next host; site"},
    // The message itself. Only SMTPUTF8 may be another matter with another host.
    {"lookup", "forwarding-loop", "bounced 5.4.6; -; message"},
    {"MAIL", "too-large", "bounced 5.3.4; -; message"},
    {"MAIL", "needs-smtputf8", "bounced 5.6.7; next host; message"},
    {"content", "content-unreadable", "deferred 4.3.0; -; message"},
    {"content", "content-changed", "deferred 4.3.0; -; message"},
    {"content", "mime-nesting", "bounced 5.6.0; -; message"},
    // Stopped from outside.
    {"lookup", "interrupted", "deferred 4.3.2; -; transport"},
    {"connect", "interrupted", "deferred 4.3.2; -; transport"},
    {"RSET", "interrupted", "deferred 4.3.2; -; transport"},
    // While content is sent nothing is read.
    {"content", "timeout", "deferred 4.4.2; next host; session"},
    {"content", "closed", "deferred 4.4.2; next host; session"},
    {"content", "unreachable", "deferred 4.4.1; next host; session"},
    {"content", "local-resources", "deferred 4.3.0; -; transport"},
    {"content", "interrupted", "deferred 4.3.2; -; transport"},
    // EHLO (section 3.2) and XFORWARD may be refused: it goes on without.
    {"EHLO", "4xx", "none -; HELO; -"},
    {"EHLO", "5xx", "none -; HELO; -"},
    {"EHLO", "odd", "none -; HELO; -"},
    {"XFORWARD", "4xx", "none -; MAIL; -"},
    {"XFORWARD", "5xx", "none -; MAIL; -"},
    {"XFORWARD", "odd", "none -; MAIL; -"},
};

using Table = std::map<std::string, std::string>; // "step failure" -> what becomes of it

std::string with_words_for(std::string_view step, std::string_view outcome) {
  const bool opening = step == "greeting" || step == "EHLO" || step == "HELO" || step == "LHLO" ||
                       step == "STARTTLS" || step == "AUTH";
  std::string text(outcome);
  const auto replace = [&text](std::string_view word, std::string_view by) {
    if (const std::size_t at = text.find(word); at != std::string::npos)
      text.replace(at, word.size(), by);
  };
  replace("PLACE", opening ? "site" : "session");
  replace("REFUSED", opening ? "site" : step == "RCPT" ? "recipient" : "message");
  return text;
}

Table expected_table() {
  Table table;
  const auto add = [&table](std::string_view step, std::string_view failure, std::string outcome) {
    table.try_emplace(std::string(step) + " " + std::string(failure), std::move(outcome));
  };
  for (const Single& single : kSingle)
    add(single.step, single.failure, std::string(single.outcome));
  for (const Rule& rule : kConversation) {
    for (const auto step : {"greeting", "EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "XFORWARD",
                            "MAIL", "RCPT", "DATA", "BDAT"})
      add(step, rule.failure, with_words_for(step, rule.before));
    for (const auto step : {"final-dot", "BDAT-LAST"})
      add(step, rule.failure, with_words_for(step, rule.after));
    // No mail is under way: another session is taken, or none is needed any more.
    add("RSET", rule.failure, "none -; next session; -");
    add("QUIT", rule.failure, "none -; -; -");
  }
  return table;
}

TEST(OutcomeTable, FollowsTheRules) {
  const auto cell = [](std::string_view text) { return text.empty() ? "-" : std::string(text); };
  Table table;
  for (const TableLine& line : outcome_table()) {
    table[std::string(line.step) + " " + std::string(line.failure)] =
        std::string(line.outcome) + " " + cell(line.dsn) + "; " + cell(line.next) + "; " +
        cell(line.scope);
    EXPECT_FALSE(line.meaning.empty()) << line.failure;
  }
  EXPECT_EQ(table, expected_table());
}

// ---- Played

struct Turn {
  std::string step;
  Script asked; // by the client
  std::string good;
};

// The dialogue that has this step in it, one command at a time.
std::vector<Turn> dialogue_with(const std::string& step) {
  std::vector<Turn> turns = {{"greeting", {}, "220 mx ESMTP\r\n"}};
  const bool chunks = step.starts_with("BDAT");
  const std::string features = chunks               ? "250-mx\r\n250 CHUNKING\r\n"
                               : step == "XFORWARD" ? "250-mx\r\n250 XFORWARD IDENT\r\n"
                                                    : "250 mx\r\n";
  if (step == "LHLO") {
    turns.push_back({step, {expect("LHLO")}, features});
  } else {
    turns.push_back({"EHLO", {expect("EHLO")}, step == "HELO" ? "500 what\r\n" : features});
    if (step == "HELO") turns.push_back({step, {expect("HELO")}, "250 mx\r\n"});
  }
  if (step == "XFORWARD") turns.push_back({step, {expect("XFORWARD")}, "250 ok\r\n"});
  turns.push_back({"MAIL", {expect("MAIL")}, "250 ok\r\n"});
  turns.push_back({"RCPT", {expect("RCPT")}, "250 ok\r\n"});
  if (chunks) {
    turns.push_back({"BDAT", {test::expect_chunk()}, "250 ok\r\n"});
    turns.push_back({"BDAT-LAST", {test::expect_chunk("LAST")}, "250 queued\r\n"});
  } else {
    turns.push_back({"DATA", {expect("DATA")}, "354 go\r\n"});
    turns.push_back({"final-dot", {expect_data()}, "250 queued\r\n"});
  }
  if (step == "QUIT") turns.push_back({step, {expect("QUIT")}, "221 bye\r\n"});
  return turns;
}

const std::string& endless() {
  static const std::string lines = [] {
    std::string out;
    for (std::size_t i = 0; i <= smtp::ReplyParser::kMaxLines; ++i)
      out += "250-x\r\n";
    return out;
  }();
  return lines;
}

Script answer(const std::string& failure, const std::string& step) {
  if (failure == "timeout") return {stall()};
  if (failure == "closed") return {close_now()};
  if (failure == "garbage") return {send("what?\r\n")};
  if (failure == "too-long") return {send(endless())};
  if (failure == "odd") return {send(step == "DATA" ? "250 ok\r\n" : "354 hm\r\n")};
  if (failure == "421") return {send("421 bye\r\n")};
  return {send(failure == "4xx" ? "450 later\r\n" : "550 no\r\n")};
}

struct Played {
  std::string step, failure, row;
  friend void PrintTo(const Played& p, std::ostream* out) { *out << p.step << " " << p.failure; }
};
std::vector<Played> all_played() {
  std::vector<Played> out;
  const Table table = expected_table();
  for (const std::string step : {"greeting", "EHLO", "HELO", "LHLO", "XFORWARD", "MAIL", "RCPT",
                                 "DATA", "final-dot", "BDAT", "BDAT-LAST", "RSET", "QUIT"})
    for (const std::string failure :
         {"timeout", "closed", "garbage", "too-long", "odd", "421", "4xx", "5xx"})
      out.push_back({step, failure, table.at(step + " " + failure)});
  return out;
}

class PlayedOutcome : public Delivering, public testing::WithParamInterface<Played> {
 protected:
  void SetUp() override {
    Delivering::SetUp();
    const Played& p = GetParam();
    options.skip_5xx_greeting = false; // it makes a 5xx greeting a 4xx one
    options.skip_quit_response = p.step != "QUIT";
    options.send_xforward = true;
    if (p.step == "LHLO") options.flavor = Flavor::lmtp;
    if (p.step.starts_with("BDAT")) text = "Subject: x\r\n\r\n" + std::string(100000, '\n');
    for (const smtp::StepInfo& info : smtp::kStepTable)
      if (p.failure == "timeout" && name_of(info.step) == p.step)
        options.timeouts[static_cast<std::size_t>(info.step)] = std::chrono::milliseconds(50);
  }
  // The whole dialogue with the failure in it; what comes behind it where the mail goes on.
  static Script failing() {
    const Played& p = GetParam();
    Script script;
    bool over = false;
    for (const Turn& turn : dialogue_with(p.step)) {
      if (over && p.row.starts_with("none") && p.step == "EHLO") {
        script = script + Script{expect("HELO"), send("250 mx\r\n")};
        over = false;
      } else if (over && p.step == "XFORWARD" && p.row.starts_with("none")) {
        over = false;
      }
      if (over) break;
      over = turn.step == p.step;
      script = script + turn.asked + (over ? answer(p.failure, p.step) : Script{send(turn.good)});
    }
    if (p.step == "RSET")
      script =
          kHello + envelope({"550 no"}, false) + Script{expect("RSET")} + answer(p.failure, p.step);
    return script + Script{stall()};
  }
  static Script good() {
    Script script;
    const Played& p = GetParam();
    for (const Turn& turn : dialogue_with(p.step))
      script = script + turn.asked + Script{send(turn.good)};
    return script + Script{stall()};
  }
  std::string at(const std::string& address) const {
    return (options.flavor == Flavor::lmtp ? "inet:[" : "[") + address +
           "]:" + std::to_string(first->port());
  }
};

TEST_P(PlayedOutcome, WithNobodyElseToAsk) {
  const Played& p = GetParam();
  first->then(failing());
  if (p.step == "RSET") {
    EXPECT_EQ(verdicts(1, true, at("127.0.0.1")), Verdicts{Verdict::bounced});
    first->then(good()); // over another session
  }
  const mail::Outcome outcome = deliver(1, false, at("127.0.0.1"))[0];
  if (p.row.starts_with("none")) {
    EXPECT_EQ(outcome.verdict, Verdict::delivered) << outcome.text;
    return;
  }
  const std::string verdict = outcome.verdict == Verdict::deferred   ? "deferred "
                              : outcome.verdict == Verdict::bounced  ? "bounced "
                              : outcome.verdict == Verdict::in_doubt ? "unknown "
                                                                     : "delivered ";
  EXPECT_EQ(verdict + outcome.dsn, p.row.substr(0, p.row.find(';'))) << outcome.text;
}

TEST_P(PlayedOutcome, WithAnotherHost) {
  const Played& p = GetParam();
  if (p.step == "RSET") return; // the session of another message
  const bool asked = p.row.find("next host") != std::string::npos;
  first->then(failing());
  if (asked) second->then(good());
  const mail::Outcome outcome = deliver(1, false, at("127.0.0.1") + ", " + at("127.0.0.2"))[0];
  EXPECT_EQ(second->connections(), asked ? 1U : 0U) << outcome.text;
  EXPECT_EQ(outcome.verdict == Verdict::delivered, asked || p.row.starts_with("none"))
      << outcome.text;
}

INSTANTIATE_TEST_SUITE_P(Rows, PlayedOutcome, testing::ValuesIn(all_played()), [](const auto& i) {
  std::string name = i.param.step + i.param.failure;
  std::erase(name, '-');
  return name;
});

} // namespace
} // namespace postrider::smtpclient
