// SPDX-License-Identifier: MIT
#include "restrict.hpp"

#include <gtest/gtest.h>

#include "mail/address.hpp"

namespace postrider::smtpd {
namespace {

struct Case {
  std::string_view name;
  std::vector<Rule> relay;
  std::vector<Rule> recipient;
  bool trusted;
  bool our_domain;
  std::string_view address;
  int code; // 0: welcome
};

class Restrict : public testing::TestWithParam<Case> {};

TEST_P(Restrict, Answers) {
  const Case& c = GetParam();
  SessionFacts session;
  session.trusted = c.trusted;
  RecipientFacts facts;
  facts.address = c.address;
  facts.our_domain = c.our_domain;
  const auto refusal = check_recipient(c.relay, c.recipient, session, facts, {});
  EXPECT_EQ(refusal ? refusal->code : 0, c.code);
  if (refusal) {
    EXPECT_EQ(refusal->dsn.front(), c.code >= 500 ? '5' : '4');
    EXPECT_NE(refusal->text.find(mail::to_external(c.address)), std::string::npos);
  }
}

const std::vector<Rule> kUsual{Rule::permit_mynetworks, Rule::permit_sasl_authenticated,
                               Rule::defer_unauth_destination};
const std::vector<Rule> kStrict{Rule::permit_mynetworks, Rule::reject_unauth_destination};

INSTANTIATE_TEST_SUITE_P(
    Rules, Restrict,
    testing::ValuesIn<Case>({
        {"friend_to_anywhere", kUsual, {}, true, false, "u@far.example", 0},
        {"stranger_to_us", kUsual, {}, false, true, "u@ours.example", 0},
        {"stranger_to_far_waits", kUsual, {}, false, false, "u@far.example", 454},
        {"stranger_to_far", kStrict, {}, false, false, "u@far.example", 554},
        {"percent_hack", kStrict, {}, false, true, "u%far.example@ours.example", 554},
        {"bang_path", kStrict, {}, false, true, "far!u@ours.example", 554},
        {"quoted_at", kStrict, {}, false, true, "u@far.example@ours.example", 554},
        {"friend_may_route", kStrict, {}, true, true, "u%far.example@ours.example", 0},
        {"second_list_counts", {Rule::permit}, kStrict, false, false, "u@far.example", 554},
        {"permit_skips_only_its_list",
         {Rule::permit_mynetworks, Rule::reject_unauth_destination},
         {Rule::reject},
         true,
         true,
         "u@ours.example",
         554},
        {"defer_all", {Rule::defer}, {}, true, true, "u@ours.example", 450},
        {"permit_auth_first",
         {Rule::permit_auth_destination, Rule::reject},
         {},
         false,
         true,
         "u@ours.example",
         0},
        {"permit_auth_else_reject",
         {Rule::permit_auth_destination, Rule::reject},
         {},
         false,
         false,
         "u@far.example",
         554},
        {"empty_lists", {}, {}, false, true, "u@ours.example", 0},
    }),
    [](const auto& c) { return std::string(c.param.name); });

TEST(RestrictWords, ParseAndGuard) {
  struct Row {
    std::vector<std::string> words;
    bool ok;
    bool guards;
  };
  const Row rows[] = {
      {{"permit_mynetworks", "Reject_Unauth_Destination"}, true, true},
      {{"permit_mynetworks", "permit_sasl_authenticated", "defer_unauth_destination"}, true, true},
      {{"permit_mynetworks", "permit", "reject"}, true, false},
      {{"permit_mynetworks"}, true, false},
      {{}, true, false},
      {{"permit_auth_destination", "defer"}, true, true},
      {{"check_recipient_access"}, false, false},
      {{"permit_mynetworks", "reject_rbl_client"}, false, false},
  };
  for (const Row& row : rows) {
    const auto rules = parse_rules(row.words);
    ASSERT_EQ(rules.ok(), row.ok) << testing::PrintToString(row.words);
    if (rules)
      EXPECT_EQ(guard_relay(*rules), row.guards) << testing::PrintToString(row.words);
    else
      EXPECT_EQ(rules.error().kind(), ErrorKind::config);
  }
}

} // namespace
} // namespace postrider::smtpd
