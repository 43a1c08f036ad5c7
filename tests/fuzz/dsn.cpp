// SPDX-License-Identifier: MIT
// DSN parameters (RFC 3461): what a client says of them is the same when we have passed it on.
#include "base/ascii.hpp"
#include "fuzz/target.hpp"
#include "mail/address.hpp"
#include "smtp/batch.hpp"
#include "smtp/command.hpp"
#include "smtp/xtext.hpp"

namespace {
using namespace postrider;

std::string_view arguments_of(const std::string& line) {
  POSTRIDER_CHECK(line.ends_with("\r\n") && line.find('\n') == line.size() - 1, line);
  return smtp::parse_command(std::string_view(line).substr(0, line.size() - 2)).arguments;
}

} // namespace

FUZZ(input) {
  const unsigned options = fuzz::take_byte(input);
  smtp::Features features;
  features.dsn = features.esmtp = true;
  features.smtputf8 = (options & 1) != 0;
  features.size = (options & 2) != 0;
  features.eight_bit_mime = (options & 4) != 0;

  const std::size_t end = input.find('\n');
  smtp::MailCommand mail;
  if (smtp::parse_mail(input.substr(0, end), mail)) return;
  mail::Envelope envelope;
  envelope.sender = mail.sender;
  envelope.envid = mail.envid;
  envelope.ret = mail.ret;
  envelope.body = mail.body;
  envelope.smtputf8 = mail.smtputf8;
  const auto utf8 = mail.smtputf8 ? mail::Utf8::yes : mail::Utf8::no;
  ByteView rest = end == ByteView::npos ? ByteView() : input.substr(end + 1);
  while (!rest.empty() && envelope.recipients.size() < 20) {
    const std::size_t line = rest.find('\n');
    smtp::RcptCommand rcpt;
    if (!smtp::parse_rcpt(rest.substr(0, line), utf8, rcpt))
      envelope.recipients.push_back(rcpt.recipient);
    rest.remove_prefix(line == ByteView::npos ? rest.size() : line + 1);
  }
  POSTRIDER_CHECK(envelope.recipients.empty() || mail::check_clean(envelope));

  mail::ContentFacts facts;
  facts.has_8bit = (options & 8) != 0;
  facts.size = 1000;
  const smtp::Transaction what{&envelope, &envelope.recipients, &facts};
  if (smtp::find_obstacle(what, features) != smtp::Obstacle::none) return;
  const std::string line = smtp::mail_command(what, features);
  smtp::MailCommand again;
  const auto wrong = smtp::parse_mail(arguments_of(line), again);
  POSTRIDER_CHECK(!wrong, line);
  if (features.smtputf8 || is_ascii(mail.sender))
    POSTRIDER_CHECK(again.sender == mail.sender, line);
  POSTRIDER_CHECK(again.envid == mail.envid && again.ret == mail.ret, line);
  for (const mail::Recipient& recipient : envelope.recipients) {
    const std::string rcpt_line = smtp::rcpt_command(recipient, what, features);
    smtp::RcptCommand rcpt;
    const auto bad = smtp::parse_rcpt(arguments_of(rcpt_line), mail::Utf8::yes, rcpt);
    POSTRIDER_CHECK(!bad, rcpt_line + (bad ? bad->text : ""));
    POSTRIDER_CHECK(rcpt.recipient.notify == recipient.notify);
    if (is_ascii(recipient.address)) {
      POSTRIDER_CHECK(rcpt.recipient.address == recipient.address, rcpt_line);
      if (!recipient.orcpt.empty() && !recipient.orcpt.starts_with("utf-8;"))
        POSTRIDER_CHECK(rcpt.recipient.orcpt == recipient.orcpt, rcpt_line);
    }
  }
  const smtp::Batch batch = smtp::plan_transaction(what, features);
  POSTRIDER_CHECK(batch.commands.size() == envelope.recipients.size() + 2);

  const auto decoded = smtp::from_xtext(input);
  if (decoded) POSTRIDER_CHECK(smtp::from_xtext(smtp::to_xtext(*decoded)) == decoded);
}
