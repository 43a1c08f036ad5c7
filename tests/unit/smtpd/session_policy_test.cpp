// SPDX-License-Identifier: MIT
// When a session asks its restrictions, and what it does with the answers.
#include "dialogue.hpp"

namespace postrider::smtpd {
namespace {

class SmtpPolicy : public DialogueTest {
 protected:
  void use(Restrictions Rules::*list, const std::vector<std::string>& words, bool delay = true) {
    auto rules = std::make_shared<Rules>(*config->rules);
    rules.get()->*list = *parse_restrictions(words, WordContext{});
    rules->delay_reject = delay;
    config->rules = rules;
  }
};

TEST_F(SmtpPolicy, IsAskedAtTheFirstRecipient) {
  use(&Rules::client, {"reject"});
  begin();
  EXPECT_EQ(ask("EHLO client.example").substr(0, 4), "250-");
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
  EXPECT_EQ(ask(kRcpt), "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied");
}

TEST_F(SmtpPolicy, WithoutDelayADeniedClientMayOnlyLeave) {
  use(&Rules::client, {"reject"}, false);
  start_queue();
  connect();
  EXPECT_EQ(reply(), "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied");
  EXPECT_EQ(ask(kMail), "503 5.7.0 Error: access denied for unknown[192.0.2.7]");
  EXPECT_EQ(ask("QUIT").substr(0, 3), "221");
}

TEST_F(SmtpPolicy, ARefusedNameIsNoName) {
  use(&Rules::helo, {"reject_non_fqdn_helo_hostname"}, false);
  config->helo_required = true;
  begin();
  EXPECT_EQ(ask("EHLO short"),
            "504 5.5.2 <short>: Helo command rejected: need fully-qualified hostname");
  EXPECT_EQ(ask(kMail), "503 5.5.1 Error: send HELO/EHLO first");
}

// Also where no HELO lies between the two.
TEST_F(SmtpPolicy, ADoubtAboutTheClientIsSettledAtRcpt) {
  for (const bool delay : {true, false}) {
    use(&Rules::client, {"defer_if_permit"}, delay);
    begin();
    EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
    EXPECT_EQ(ask(kRcpt),
              "450 4.7.0 <unknown[192.0.2.7]>: Client host rejected: defer_if_permit requested");
    EXPECT_EQ(ask("RCPT TO:<u@far.example>").substr(0, 9), "554 5.7.1");
    ask("QUIT");
  }
}

TEST_F(SmtpPolicy, ContentMayBeRefused) {
  use(&Rules::end_of_data, {"reject"});
  begin();
  EXPECT_EQ(send_mail("x\r\n.\r\n"),
            "554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied");
  ask("QUIT");
  EXPECT_EQ(reply(), ""); // the end of the session
  use(&Rules::data, {"defer"});
  begin();
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
  EXPECT_EQ(ask(kRcpt), "250 2.1.5 Ok");
  EXPECT_EQ(ask("DATA"), "450 4.3.2 <DATA>: Data command rejected: Try again later");
  EXPECT_EQ(ask("BDAT 2 LAST\r\nxx"), "450 4.3.2 <DATA>: Data command rejected: Try again later");
  EXPECT_TRUE(qmgr.mails().empty());
}

} // namespace
} // namespace postrider::smtpd
