// SPDX-License-Identifier: MIT
// What the session tells its filters, and how it heeds them.
#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "filters.hpp"
#include "mail/address.hpp"
#include "session.hpp"

namespace postrider::smtpd {

namespace {

// Of "FROM:<a@b> SIZE=1": what stands behind the address.
std::string_view options_of(std::string_view arguments) {
  arguments.remove_prefix(std::min(arguments.find(':') + 1, arguments.size()));
  arguments = trim(arguments);
  const Result<mail::Path> path = mail::parse_path(arguments, mail::Utf8::yes);
  return path ? arguments.substr(path->length) : std::string_view();
}

std::string in_brackets(std::string_view address) { return "<" + mail::to_external(address) + ">"; }

// The reply at the end of `out`: what a filter is told of a recipient that we refuse.
smtp::Refusal last_reply(std::string_view out) {
  smtp::Refusal refusal;
  const auto words = split(trim(out), " ");
  if (words.size() < 2) return refusal;
  refusal.code = static_cast<int>(parse_decimal(words[0]).value_or(550));
  refusal.dsn = words[1];
  refusal.text = trim(out.substr(static_cast<std::size_t>(words[1].end() - out.begin())));
  return refusal;
}

} // namespace

// Connects to the filters, tells them of the client, and greets it. A filter that refuses here does
// so again at each command, so the client may go on for what that is worth.
ev::Task<void> Session::meet_filters() {
  filters_.reset();
  if (!config_->filters) co_return;
  Result<std::shared_ptr<const milter::FilterSet>> set =
      co_await config_->filters->choose(shared_.loop, peer_.address, limit());
  if (!set) {
    log::warning(set.error().text());
    reply(421, "", config_->hostname + " Service unavailable - try again later");
    end_ = End::error;
    co_return;
  }
  if (!*set) co_return;
  filters_ = std::make_unique<SessionFilters>(shared_.loop, *shared_.dialer, *set, *config_, peer_,
                                              helo_, esmtp_);
  const std::string address = peer_.local ? "127.0.0.1" : peer_.address;
  const auto port = static_cast<std::uint16_t>(parse_decimal(peer_.port).value_or(0));
  const std::string name = peer_.name == "unknown" ? "[" + address + "]" : peer_.name;
  const milter::Event event =
      milter::connect_event(name, net::Address::parse_ip(address, port).value_or(net::Address()));
  std::optional<smtp::Refusal> refusal = co_await filters_->tell(where_, event);
  if (!refusal && peer_.local) { // what comes from here has said no HELO
    const milter::Event helo = milter::helo_event("localhost");
    refusal = co_await filters_->tell("HELO", helo);
  }
  if (refusal && refusal->code == 421) {
    reply(421, "", config_->hostname + " Service unavailable - try again later");
    end_ = End::error;
  } else if (refusal && refusal->code >= 500) {
    fail(554, "", config_->hostname + " ESMTP not accepting connections");
  }
}

// After the command has been carried out: `reply_at` is where its reply begins, which a filter's
// refusal replaces.
ev::Task<void> Session::tell_filters(smtp::Command command, std::size_t reply_at,
                                     std::size_t recipients_before) {
  if (command.verb == smtp::Verb::xclient && !failed_) { // another client from here on
    const std::string said = out_.substr(reply_at);
    out_.resize(reply_at);
    co_await meet_filters();
    if (out_.size() == reply_at) out_ += said;
  }
  if (!filters_) co_return;
  const bool mail = command.verb == smtp::Verb::mail, rcpt = command.verb == smtp::Verb::rcpt;
  const bool helo = command.verb == smtp::Verb::helo || command.verb == smtp::Verb::ehlo;
  if ((helo && peer_.local) || !(helo || mail || rcpt)) co_return;
  if ((failed_ && !rcpt) || (!helo && !transaction_)) co_return;
  milter::Event event(milter::Command::helo, "");
  if (helo) {
    event = milter::helo_event(helo_);
  } else if (mail) {
    mail::Envelope& envelope = transaction_->envelope;
    filters_->begin(&envelope);
    event = milter::mail_event(in_brackets(envelope.sender), options_of(command.arguments));
  } else {
    smtp::RcptCommand parsed;
    if (smtp::parse_rcpt(command.arguments, mail::Utf8::yes, parsed)) co_return;
    finish_address(parsed.recipient.address);
    const smtp::Refusal refusal = last_reply(std::string_view(out_).substr(reply_at));
    filters_->set_recipient(parsed.recipient.address, failed_ ? &refusal : nullptr);
    event =
        milter::rcpt_event(in_brackets(parsed.recipient.address), options_of(command.arguments));
    event.refused = failed_;
  }
  const std::optional<smtp::Refusal> refusal = co_await filters_->tell(where_, event);
  if (!refusal || (helo && refusal->code != 421)) co_return; // said again at MAIL
  out_.resize(reply_at);
  if (mail) reset();
  if (rcpt) forget_recipients(recipients_before);
  fail(*refusal);
}

void Session::forget_recipients(std::size_t but) {
  std::vector<mail::Recipient>& recipients = transaction_->envelope.recipients;
  while (recipients.size() > but) {
    transaction_->seen.erase(recipients.back().address);
    recipients.pop_back();
  }
}

// Before content; false: a filter does not want it, and that is said.
ev::Task<bool> Session::filters_want_data() {
  if (!filters_) co_return true;
  const milter::Event event = milter::data_event();
  const std::optional<smtp::Refusal> refusal = co_await filters_->tell("DATA", event);
  if (!refusal) co_return true;
  fail(*refusal);
  co_return false;
}

ev::Task<void> Session::unknown_command() {
  if (filters_) {
    const milter::Event event = milter::unknown_event(smtp::parse_command(line_).word);
    const std::optional<smtp::Refusal> refusal = co_await filters_->tell("UNKNOWN", event);
    if (refusal) {
      fail(*refusal);
      co_return;
    }
  }
  fail(502, "5.5.2", "Error: command not recognized");
}

} // namespace postrider::smtpd
