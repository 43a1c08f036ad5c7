// SPDX-License-Identifier: MIT
// shows: delay_logging_resolution_limit info_log_address_format soft_bounce
#include "mail/log_line.hpp"

#include <gtest/gtest.h>

namespace postrider::mail {
namespace {

struct DelayCase {
  std::int64_t micros;
  int decimals;
  std::string_view text;
};

TEST(DelayText, HasTwoSignificantDigitsWithinTheLimit) {
  // What Postfix's format_tv(3) makes of the same values.
  constexpr DelayCase kCases[] = {
      {-5, 2, "0"},
      {0, 2, "0"},
      {4'000, 2, "0"},
      {5'000, 2, "0.01"},
      {12'345, 2, "0.01"},
      {200'000, 2, "0.2"},
      {994'999, 2, "0.99"},
      {996'000, 2, "1"},
      {1'234'567, 2, "1.2"},
      {3'450'000, 2, "3.5"},
      {9'960'000, 2, "10"},
      {12'600'000, 2, "13"},
      {100'000'000, 2, "100"},
      {86'400'000'000, 2, "86400"},
      {12'345, 6, "0.012"},
      {1, 6, "0.000001"},
      {99, 6, "0.000099"},
      {1'234, 6, "0.0012"},
      {99'600, 6, "0.1"},
      {3'456'789, 6, "3.5"},
      {49'999, 1, "0"},
      {50'000, 1, "0.1"},
      {1'960'000, 1, "2"},
      {400'000, 0, "0"},
      {500'000, 0, "1"},
      {1'900'000, 0, "2"},
      {12'345, 3, "0.012"},
      {99'960, 3, "0.1"},
  };
  for (const DelayCase& c : kCases)
    EXPECT_EQ(format_delay(c.micros, c.decimals), c.text) << c.micros << " at " << c.decimals;
}

TEST(LogAddress, IsQuotedUnlessInternalFormIsAskedFor) {
  LogStyle style;
  EXPECT_EQ(log_address("plain@example.org", style), "plain@example.org");
  EXPECT_EQ(log_address("a b@example.org", style), "\"a b\"@example.org");
  EXPECT_EQ(log_address("dot.@example.org", style), "\"dot.\"@example.org");
  EXPECT_EQ(log_address("", style), "");
  style.internal_addresses = true;
  EXPECT_EQ(log_address("a b@example.org", style), "a b@example.org");
}

TEST(Relay, NamesHostAddressAndPort) {
  Outcome outcome;
  EXPECT_EQ(format_relay(outcome), "none");
  outcome.host = "mx.example";
  outcome.address = "192.0.2.1";
  outcome.port = 25;
  EXPECT_EQ(format_relay(outcome), "mx.example[192.0.2.1]:25");
  outcome.address = "/run/store";
  outcome.port = 0;
  EXPECT_EQ(format_relay(outcome), "mx.example[/run/store]");
}

class DeliveryText : public testing::Test {
 protected:
  DeliveryText() {
    recipient.address = "to@example.net";
    outcome.verdict = Verdict::bounced;
    outcome.dsn = "5.1.1";
    outcome.text = "host mx.example[192.0.2.1] said: 550 no";
    outcome.host = "mx.example";
    outcome.address = "192.0.2.1";
    outcome.port = 25;
    delays.before_queue = 20'000;
    delays.connecting = 3'400'000;
  }
  std::string text(std::size_t uses = 1) {
    return delivery_text(recipient, outcome, delays, uses, style);
  }
  Recipient recipient;
  Outcome outcome;
  Delays delays;
  LogStyle style;
};

TEST_F(DeliveryText, HasTheFieldsInOrder) {
  EXPECT_EQ(text(), "to=<to@example.net>, relay=mx.example[192.0.2.1]:25, delay=3.4, "
                    "delays=0.02/0/3.4/0, dsn=5.1.1, status=bounced "
                    "(host mx.example[192.0.2.1] said: 550 no)");
}

TEST_F(DeliveryText, CountsTheUsesOfASessionFromTheSecondOn) {
  EXPECT_NE(text(2).find("]:25, conn_use=2, delay="), std::string::npos);
}

TEST_F(DeliveryText, NamesTheOriginalRecipientWhenItIsAnother) {
  recipient.original = "TO@example.net";
  EXPECT_EQ(text().find("orig_to"), std::string::npos);
  recipient.original = "to";
  EXPECT_EQ(text().rfind("to=<to@example.net>, orig_to=<to>, relay=", 0), 0U);
}

TEST_F(DeliveryText, SaysThatASoftBounceIsOne) {
  style.soft_bounce = true;
  EXPECT_NE(text().find("dsn=4.1.1, status=SOFTBOUNCE ("), std::string::npos);
  outcome.verdict = Verdict::deferred;
  outcome.dsn = "4.2.0";
  EXPECT_NE(text().find("dsn=4.2.0, status=deferred ("), std::string::npos);
}

} // namespace
} // namespace postrider::mail
