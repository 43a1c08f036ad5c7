// SPDX-License-Identifier: MIT
#include <random>

#include "dialogue.hpp"

namespace postrider::smtpd {
namespace {

using test::turn_until;

class SmtpRandom : public DialogueTest {};

// Random sequences of commands. The model says which replies are legal; nothing else happens.
TEST_F(SmtpRandom, RandomCommandsKeepToTheRules) {
  config->hard_errors = 1'000'000;
  config->soft_errors = 1'000'000;
  config->junk_limit = 1'000'000;
  config->message_size = 0;
  start_queue();
  std::mt19937 random(20261121);
  std::size_t accepted = 0;
  for (int round = 0; round < 1500; ++round) {
    connect();
    ASSERT_EQ(reply().substr(0, 3), "220");
    bool mail = false, chunking = false;
    int recipients = 0;
    const int length = 1 + static_cast<int>(random() % 10);
    for (int step = 0; step < length && !over; ++step) {
      std::string said;
      bool fits = true;
      // Most begin as a message does, or they would hardly ever get to one.
      const unsigned choice = step == 0 && random() % 2 == 0   ? 2
                              : step == 1 && random() % 2 == 0 ? 3
                                                               : random() % 14;
      switch (choice) {
      case 0:
        said = ask("EHLO x");
        fits = said.starts_with("250-");
        mail = chunking = false;
        recipients = 0;
        break;
      case 1:
        said = ask("HELO x");
        fits = said.starts_with("250 ");
        mail = chunking = false;
        recipients = 0;
        break;
      case 2:
        said = ask(kMail);
        fits = said.starts_with(mail ? "503" : "250");
        if (!mail) recipients = 0;
        mail = true;
        break;
      case 3:
      case 4:
        said = ask(kRcpt);
        fits = said.starts_with(mail && !chunking ? "250" : "503");
        if (fits && said[0] == '2') ++recipients;
        break;
      case 5:
        said = ask("RCPT TO:<u@far.example>");
        fits = said.starts_with(mail && !chunking ? "554" : "503");
        break;
      case 6:
      case 7:
        said = ask("DATA");
        if (chunking) {
          fits = said.starts_with("503");
          mail = chunking = false;
          recipients = 0;
        } else if (mail && recipients > 0) {
          fits = said.starts_with("354");
          send("a: b\r\n\r\nMAIL FROM:<x@y>\r\n.\r\n");
          fits = fits && reply().starts_with("250");
          ++accepted;
          mail = false;
          recipients = 0;
        } else {
          fits = said.starts_with(mail ? "554" : "503");
        }
        break;
      case 8:
        said = ask("BDAT 6\r\nRSET"); // the line end that ask() adds ends the chunk
        fits = said.starts_with(mail ? recipients > 0 ? "250" : "554" : "503");
        chunking = fits && said[0] == '2';
        if (!chunking) {
          mail = false;
          recipients = 0;
        }
        break;
      case 9:
        said = ask("BDAT 6 LAST\r\nQUIT");
        fits = said.starts_with(mail ? recipients > 0 ? "250" : "554" : "503");
        if (fits && said[0] == '2') ++accepted;
        mail = chunking = false;
        recipients = 0;
        break;
      case 10:
        said = ask("RSET");
        fits = said.starts_with("250");
        mail = chunking = false;
        recipients = 0;
        break;
      case 11:
        said = ask("NOOP");
        fits = said.starts_with("250");
        break;
      case 12:
        said = ask("FOO");
        fits = said.starts_with("502");
        break;
      case 13:
        said = ask("BDAT x");
        fits = said.starts_with("501");
        mail = chunking = false;
        recipients = 0;
        break;
      default: break;
      }
      ASSERT_TRUE(fits) << "round " << round << ": " << said;
    }
    client.reset();
    ASSERT_TRUE(turn_until(loop, [&] { return over; }));
    came.clear();
  }
  wait_for_mail(accepted);
  EXPECT_GT(accepted, 100U);
}

} // namespace
} // namespace postrider::smtpd
