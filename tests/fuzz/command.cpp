// SPDX-License-Identifier: MIT
// What a client says, line by line: every command's grammar.
#include "smtp/command.hpp"
#include "base/ascii.hpp"
#include "fuzz/target.hpp"
#include "mail/address.hpp"

namespace {
using namespace postrider;

void check_refusal(const smtp::Refusal& refusal) {
  POSTRIDER_CHECK(refusal.code >= 400 && refusal.code <= 599);
  POSTRIDER_CHECK(refusal.dsn.starts_with(static_cast<char>('0' + refusal.code / 100)));
  POSTRIDER_CHECK(!refusal.text.empty() && refusal.text.find('\r') == std::string::npos);
}

void check_text(std::string_view text) {
  POSTRIDER_CHECK(text.find_first_of(std::string_view("\0\r\n", 3)) == text.npos, text);
}

} // namespace

FUZZ(input) {
  const smtp::Command command = smtp::parse_command(input);
  if (command.word.empty()) { // empty, or with a control character, of which nothing goes further
    POSTRIDER_CHECK(command.verb == smtp::Verb::unknown && command.arguments.empty());
    return;
  }
  const std::string_view arguments = command.arguments;
  smtp::MailCommand mail;
  if (const auto wrong = smtp::parse_mail(arguments, mail)) {
    check_refusal(*wrong);
  } else {
    check_text(mail.sender + mail.envid + mail.auth.value_or(""));
    POSTRIDER_CHECK(mail.smtputf8 || is_ascii(mail.sender));
  }
  for (const auto utf8 : {mail::Utf8::no, mail::Utf8::yes}) {
    smtp::RcptCommand rcpt;
    if (const auto wrong = smtp::parse_rcpt(arguments, utf8, rcpt)) {
      check_refusal(*wrong);
    } else {
      check_text(rcpt.recipient.address + rcpt.recipient.orcpt);
      POSTRIDER_CHECK(!rcpt.recipient.address.empty());
      POSTRIDER_CHECK(rcpt.recipient.notify <= 14);
    }
  }
  smtp::BdatCommand bdat;
  if (const auto wrong = smtp::parse_bdat(arguments, bdat)) check_refusal(*wrong);
  std::string name;
  if (const auto wrong = smtp::parse_helo(arguments, name))
    check_refusal(*wrong);
  else
    POSTRIDER_CHECK(name.size() <= mail::kMaxDomain);
}
