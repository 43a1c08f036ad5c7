// SPDX-License-Identifier: MIT
// shows: default_delivery_status_filter smtp_delivery_status_filter lmtp_delivery_status_filter
#include "smtpclient/status_filter.hpp"

#include <gtest/gtest.h>

namespace postrider::smtpclient {
namespace {

using mail::Verdict;

struct FilterCase {
  std::string_view name;
  Verdict before;
  std::string_view answer;
  Verdict after;
  std::string_view dsn, text; // empty dsn: refused
};

class StatusFilter : public testing::TestWithParam<FilterCase> {};

TEST_P(StatusFilter, Replaces) {
  const FilterCase& c = GetParam();
  mail::Outcome outcome;
  outcome.verdict = c.before;
  outcome.dsn = c.before == Verdict::delivered ? "2.0.0" : "5.1.1";
  outcome.text = "host said: 550 no";
  outcome.reply = "550 no";
  const Result<mail::Outcome> out = filtered(outcome, c.answer);
  if (c.dsn.empty()) {
    EXPECT_FALSE(out);
    return;
  }
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(out->verdict, c.after);
  EXPECT_EQ(out->dsn, c.dsn);
  EXPECT_EQ(out->text, c.text);
  EXPECT_EQ(out->reply, "550 no"); // for the report
}

INSTANTIATE_TEST_SUITE_P(
    Rules, StatusFilter,
    testing::ValuesIn<FilterCase>({
        {"HardToSoft", Verdict::bounced, "4.1.1 later", Verdict::deferred, "4.1.1", "later"},
        {"HardToHard", Verdict::bounced, "5.2.1 gone  away ", Verdict::bounced, "5.2.1",
         "gone  away"},
        {"SoftToHard", Verdict::deferred, "5.0.0 never", Verdict::bounced, "5.0.0", "never"},
        {"SoftToSoft", Verdict::deferred, "4.7.1 x", Verdict::deferred, "4.7.1", "x"},
        {"DoubtStays", Verdict::in_doubt, "4.4.2 x", Verdict::in_doubt, "4.4.2", "x"},
        {"DoubtToHard", Verdict::in_doubt, "5.4.2 x", Verdict::bounced, "5.4.2", "x"},
        {"SuccessToSuccess", Verdict::delivered, "2.6.0 taken", Verdict::delivered, "2.6.0",
         "taken"},
        {"SuccessToFailure", Verdict::delivered, "4.0.0 no", Verdict::delivered, "", ""},
        {"FailureToSuccess", Verdict::bounced, "2.0.0 yes", Verdict::bounced, "", ""},
        {"NoCode", Verdict::bounced, "later", Verdict::bounced, "", ""},
        {"BadCode", Verdict::bounced, "4.1 later", Verdict::bounced, "", ""},
        {"OtherClass", Verdict::bounced, "3.1.1 later", Verdict::bounced, "", ""},
        {"NoText", Verdict::bounced, "4.1.1", Verdict::bounced, "", ""},
        {"Nothing", Verdict::bounced, "", Verdict::bounced, "", ""},
    }),
    [](const auto& info) { return std::string(info.param.name); });

TEST(StatusFilterKey, IsCodeAndText) {
  mail::Outcome outcome;
  outcome.dsn = "4.4.1";
  outcome.text = "connect to x: refused";
  EXPECT_EQ(filter_key(outcome), "4.4.1 connect to x: refused");
}

} // namespace
} // namespace postrider::smtpclient
