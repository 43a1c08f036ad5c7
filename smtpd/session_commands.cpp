// SPDX-License-Identifier: MIT
// The verbs without content.
#include <algorithm>
#include <utility>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "behind.hpp"
#include "mail/address.hpp"
#include "route/address_map.hpp"
#include "session.hpp"

namespace postrider::smtpd {

namespace {

// For a process of this host: one message to a whole list is one message.
constexpr std::uint64_t kLocalRecipients = 50000;

// strict_rfc821_envelopes: "FROM:<a@b>" with its brackets.
bool has_brackets(std::string_view arguments) {
  const std::size_t colon = arguments.find(':');
  return colon != std::string_view::npos && trim(arguments.substr(colon + 1)).starts_with('<');
}

} // namespace

ev::Task<void> Session::helo(smtp::Verb verb, std::string_view arguments) {
  std::string name;
  if (const auto wrong = smtp::parse_helo(arguments, name)) {
    fail(501, wrong->dsn,
         std::string("Syntax: ") + (verb == smtp::Verb::ehlo ? "EHLO" : "HELO") + " hostname");
    co_return;
  }
  if (!config_->rules->delay_reject) {
    const std::string before = std::exchange(helo_, name);
    const bool allowed = co_await allow(Stage::helo, kCommands[row_of(verb)].reply_name, "");
    if (!allowed) helo_ = before;
    if (!allowed) co_return;
  }
  reset();
  helo_ = std::move(name);
  esmtp_ = verb == smtp::Verb::ehlo;
  if (!esmtp_) {
    reply(250, "", config_->hostname);
    co_return;
  }
  std::vector<std::string> lines{config_->hostname};
  const auto offer = [&](std::string_view keyword, std::string line) {
    if (!hidden(keyword)) lines.push_back(std::move(line));
  };
  offer("PIPELINING", "PIPELINING");
  offer("SIZE",
        config_->message_size == 0 ? "SIZE" : "SIZE " + std::to_string(config_->message_size));
  if (!config_->disable_vrfy) offer("VRFY", "VRFY");
  if (offers_tls()) offer("STARTTLS", "STARTTLS");
  for (std::string& line : auth_keywords())
    offer("AUTH", std::move(line));
  if (peer_.may_xclient) offer("XCLIENT", "XCLIENT " + std::string(kXclientAttributes));
  if (peer_.may_xforward) offer("XFORWARD", "XFORWARD " + std::string(kXforwardAttributes));
  offer("ENHANCEDSTATUSCODES", "ENHANCEDSTATUSCODES");
  offer("8BITMIME", "8BITMIME");
  offer("DSN", "DSN");
  if (config_->smtputf8) offer("SMTPUTF8", "SMTPUTF8");
  offer("CHUNKING", "CHUNKING");
  for (std::size_t i = 0; i < lines.size(); ++i)
    out_.append(i + 1 == lines.size() ? "250 " : "250-").append(lines[i]).append("\r\n");
}

void Session::finish_address(std::string& address) const {
  route::complete_address(address, config_->origin, config_->dot_domain);
}

ev::Task<void> Session::mail(std::string_view arguments) {
  if (shared_.draining) {
    reply(421, "4.3.2", config_->hostname + " Service is closing");
    end_ = End::error;
    co_return;
  }
  if (helo_.empty() && config_->helo_required)
    co_return fail(503, "5.5.1", "Error: send HELO/EHLO first");
  if (transaction_) co_return fail(503, "5.5.1", "Error: nested MAIL command");
  const bool within = co_await within_rate(proto::ClientEvent::message);
  if (!within) co_return fail(450, "4.7.1", "Error: too much mail from " + peer_.address);
  smtp::MailCommand command;
  if (const auto wrong = smtp::parse_mail(arguments, command)) {
    log::info("bad MAIL command from " + peer_.shown() + ": " + wrong->text);
    co_return fail(*wrong);
  }
  if (config_->strict_envelopes && !has_brackets(arguments))
    co_return fail(501, "5.1.7", "Bad sender address syntax");
  if (command.auth && !has_auth()) co_return fail(503, "5.5.4", "Error: authentication disabled");
  if (command.smtputf8 && (!config_->smtputf8 || hidden("SMTPUTF8")))
    co_return fail(555, "5.5.4", "Unsupported option: SMTPUTF8");
  if ((command.ret != mail::Ret::unset || !command.envid.empty()) && hidden("DSN"))
    co_return fail(555, "5.5.4", "Unsupported option: RET or ENVID");
  if (command.size && config_->message_size != 0 && *command.size > config_->message_size)
    co_return reject("MAIL", {552, "5.3.4", "Message size exceeds fixed limit"}, {});
  Result<void> room;
  if (shared_.forward == nullptr) room = shared_.submitter.may_accept();
  if (!room) {
    const bool full = room.error().kind() == ErrorKind::busy;
    log::warning("mail from " + peer_.shown() + " is put off: " + room.error().text());
    reject("MAIL",
           full ? smtp::Refusal{452, "4.3.1", "Insufficient system storage"}
                : smtp::Refusal{451, "4.3.0", "Error: the queue is not available"},
           {});
    --errors_; // not the client's fault
    co_return;
  }
  if (!config_->rules->delay_reject) {
    const bool allowed = co_await allow(Stage::sender, "MAIL", command.sender);
    if (!allowed) co_return;
  }
  transaction_.emplace();
  transaction_->effects = early_;
  transaction_->announced = command.size.value_or(0);
  mail::Envelope& envelope = transaction_->envelope;
  envelope.sender = std::move(command.sender);
  finish_address(envelope.sender);
  envelope.arrival = to_unix_micros(shared_.loop.clock().wall());
  envelope.envid = std::move(command.envid);
  envelope.ret = command.ret;
  envelope.body = command.body;
  envelope.smtputf8 = command.smtputf8;
  envelope.client_name = peer_.name;
  envelope.client_address = peer_.address;
  envelope.client_port = peer_.port;
  envelope.helo = helo_;
  envelope.forwarded = forwarded_;
  envelope.sasl_username = peer_.login.user;
  envelope.sasl_method = peer_.login.method;
  // RFC 4954 section 5: from whom it is not trusted it counts as <>.
  if (command.auth && (peer_.trusted || !peer_.login.user.empty()))
    envelope.sasl_sender = std::move(*command.auth);
  envelope.protocol = command.smtputf8 ? "UTF8SMTP" : esmtp_ ? "ESMTP" : "SMTP";
  envelope.submitter_uid = peer_.uid;
  envelope.local_submission = peer_.local;
  Answer answer{250, "2.1.0", "Ok"};
  if (shared_.forward != nullptr) {
    transaction_->forward = std::make_unique<Forwarding>(*shared_.forward, shared_.submitter, peer_,
                                                         transaction_->envelope);
    answer = co_await transaction_->forward->mail(command.size);
  }
  if (forward::is_yes(answer)) co_return reply(answer.code, answer.dsn, answer.text);
  reject_as_told("MAIL", answer, {});
  reset();
}

ev::Task<void> Session::rcpt(std::string_view arguments) {
  if (!transaction_) co_return fail(503, "5.5.1", "Error: need MAIL command");
  if (transaction_->chunking) co_return fail(503, "5.5.1", "Error: RCPT after BDAT");
  const bool within = co_await within_rate(proto::ClientEvent::recipient);
  if (!within) co_return fail(450, "4.7.1", "Error: too many recipients from " + peer_.address);
  mail::Envelope& envelope = transaction_->envelope;
  const auto utf8 = envelope.smtputf8 ? mail::Utf8::yes : mail::Utf8::no;
  smtp::RcptCommand command;
  if (const auto wrong = smtp::parse_rcpt(arguments, utf8, command)) {
    log::info("bad RCPT command from " + peer_.shown() + ": " + wrong->text);
    co_return fail(*wrong);
  }
  if (config_->strict_envelopes && !has_brackets(arguments))
    co_return fail(501, "5.1.3", "Bad recipient address syntax");
  mail::Recipient& recipient = command.recipient;
  if ((recipient.notify != 0 || !recipient.orcpt.empty()) && hidden("DSN"))
    co_return fail(555, "5.5.4", "Unsupported option: NOTIFY or ORCPT");
  const std::uint64_t most =
      peer_.local ? std::max(config_->recipients, kLocalRecipients) : config_->recipients;
  if (envelope.recipients.size() >= most) {
    reject("RCPT", {452, "4.5.3", "Error: too many recipients"}, recipient.address);
    if (++transaction_->overshoot <= config_->recipients_overshoot) --errors_;
    co_return;
  }
  const bool allowed = co_await allow(Stage::recipient, "RCPT", recipient.address);
  if (!allowed) co_return;
  std::string original = recipient.address;
  finish_address(recipient.address);
  if (recipient.address != original) recipient.original = std::move(original);
  Answer answer{250, "2.1.5", "Ok"};
  const bool is_new = transaction_->seen.find(recipient.address) == transaction_->seen.end();
  if (is_new && transaction_->forward) {
    answer = co_await transaction_->forward->rcpt(recipient);
    if (!forward::is_yes(answer)) co_return reject_as_told("RCPT", answer, recipient.address);
  }
  if (transaction_->seen.insert(recipient.address).second)
    envelope.recipients.push_back(std::move(recipient));
  reply(answer.code, answer.dsn, answer.text);
}

void Session::rset() {
  reset();
  reply(250, "2.0.0", "Ok");
}

// RFC 5321 section 3.5.3: 252 says nothing about who exists here.
void Session::vrfy(std::string_view arguments) {
  if (config_->disable_vrfy) return fail(502, "5.5.1", "VRFY command is disabled");
  if (arguments.empty()) return fail(501, "5.5.4", "Syntax: VRFY address");
  if (!is_ascii(arguments)) return fail(553, "5.6.7", "Non-ASCII address");
  reply(252, "2.0.0", "Send some mail, I will try my best");
}

void Session::quit() {
  reply(221, "2.0.0", "Bye");
  end_ = End::quit;
}

} // namespace postrider::smtpd
