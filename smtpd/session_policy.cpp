// SPDX-License-Identifier: MIT
// Where a session asks its restrictions, and what becomes of the answers.
#include <algorithm>
#include <cstdio>
#include <unistd.h>
#include <utility>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "maps/ask.hpp"
#include "session.hpp"

namespace postrider::smtpd {

Situation Session::situation(std::string_view where) const {
  Situation at;
  at.peer = &peer_;
  at.where = where;
  at.protocol = esmtp_ ? "ESMTP" : "SMTP";
  at.helo = helo_;
  if (!transaction_) return at;
  at.sender = transaction_->envelope.sender;
  at.recipients = transaction_->envelope.recipients.size();
  at.size = transaction_->intake ? transaction_->intake->size() : transaction_->announced;
  at.sasl_sender = transaction_->envelope.sasl_sender;
  at.instance = transaction_->instance;
  return at;
}

std::string Session::new_instance() {
  static std::uint64_t count = 0;
  char text[64];
  const auto now = to_unix_micros(shared_.loop.clock().wall());
  std::snprintf(text, sizeof text, "%x.%llx.%llx", static_cast<unsigned>(::getpid()),
                static_cast<unsigned long long>(now), static_cast<unsigned long long>(++count));
  return text;
}

// Whether restrictions are set for these stages, or an earlier one left open what the last has to
// settle. Without either there is nothing to walk through.
bool Session::may_object(Stage first, Stage last) const {
  for (int i = static_cast<int>(first); i <= static_cast<int>(last); ++i)
    if (config_->rules->asks(static_cast<Stage>(i))) return true;
  return last == Stage::recipient && doubts_.back();
}

ev::Task<bool> Session::allow(Stage last, std::string_view where, std::string_view subject) {
  if (peer_.local) co_return true; // a process of this host is no client
  const Rules& rules = *config_->rules;
  const bool all = last == Stage::recipient && rules.delay_reject;
  const Stage first = all ? Stage::client : last;
  if (!may_object(first, last)) co_return true;
  if (transaction_ && transaction_->instance.empty()) transaction_->instance = new_instance();
  Situation at = situation(where);
  at.server_address = peer_.server_address;
  at.server_port = peer_.server_port;
  if (last == Stage::sender) at.sender = subject;
  if (last == Stage::recipient) at.recipient = subject;
  if (last > Stage::recipient && at.recipients == 1)
    at.recipient = transaction_->envelope.recipients.front().address;
  Effects& effects = transaction_ ? transaction_->effects : early_;
  const Walk::Log log = [&](std::string_view action, std::string_view text) {
    log::event(action, "NOQUEUE", log_line(at, action, text),
               {{"client", peer_.name}, {"address", peer_.address}, {"text", text}});
  };
  for (int i = static_cast<int>(first); i <= static_cast<int>(last); ++i) {
    const auto stage = static_cast<Stage>(i);
    if (stage == Stage::helo && helo_.empty()) continue;
    if (!may_object(stage, stage)) continue;
    const bool carries = stage > Stage::client && stage <= Stage::recipient;
    Deferral doubt;
    if (carries) doubt = doubts_[static_cast<std::size_t>(i) - 1];
    Walk walk(shared_.loop, *shared_.resolver, rules, at, effects, log);
    const std::optional<smtp::Refusal> refusal = co_await walk.run(stage, doubt);
    // A stage that never comes, HELO perhaps, passes it on.
    for (auto later = static_cast<std::size_t>(i); later < doubts_.size(); ++later)
      doubts_[later] = doubt;
    if (!refusal) continue;
    reject(at, *refusal);
    co_return false;
  }
  co_return true;
}

void Session::reject(std::string_view stage, const smtp::Refusal& refusal,
                     std::string_view recipient) {
  Situation at = situation(stage);
  if (!recipient.empty()) at.recipient = recipient;
  reject(at, refusal);
}

void Session::reject(const Situation& at, const smtp::Refusal& refusal) {
  smtp::Refusal said = refusal;
  if (config_->soft_bounce && said.code >= 500) {
    said.code -= 100;
    said.dsn.front() = '4';
  }
  const std::string code = std::to_string(said.code);
  std::string reason = said.text; // of one line
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  const std::string text = code + " " + said.dsn + " " + reason;
  log::event("reject", "NOQUEUE", log_line(at, "reject", text),
             {{"stage", at.where},
              {"client", peer_.name},
              {"address", peer_.address},
              {"code", code},
              {"dsn", said.dsn},
              {"reason", reason},
              {"from", at.sender.value_or("")},
              {"to", at.recipient.value_or("")},
              {"helo", helo_}});
  fail(said);
  if (said.code == 421 || said.code == 521) end_ = End::error;
}

std::string_view Session::first_word(std::string_view line) {
  line = trim(line);
  return line.substr(0, line.find_first_of(" \t"));
}

ev::Task<bool> Session::takes_other_line() {
  const std::string line(trim(line_));
  const std::function<maps::Answer()> question = [&] { return config_->commands->replace(line); };
  maps::Answer other =
      co_await maps::ask<std::optional<std::string>>(shared_.loop, question, limit());
  if (!other) {
    log::warning("smtpd_command_filter: " + other.error().text());
    fail(451, "4.3.0", "Temporary lookup error");
    co_return true;
  }
  if (*other) {
    log::info(peer_.shown() + ": replacing command \"" + line_.substr(0, 100) + "\" with \"" +
              (*other)->substr(0, 100) + "\"");
    line_ = **other;
  }
  if (!config_->commands->ignores(first_word(line_))) co_return false;
  reply(250, "2.0.0", "Ok");
  if (++junk_ <= config_->junk_limit || ++errors_ < config_->hard_errors) co_return true;
  reply(421, "4.7.0", config_->hostname + " Error: too many errors");
  end_ = End::error;
  co_return true;
}

void Session::count_unimplemented() {
  const std::int64_t limit = config_->commands ? config_->commands->unimplemented_limit() : 0;
  if (limit == 0 || ++unimplemented_ < limit) return;
  log::info("too many unimplemented commands from " + peer_.shown());
  reply(503, "5.5.1", "Error: too many unimplemented commands");
  end_ = End::error;
}

std::string Session::refusal_with_footer(int code, std::string_view dsn,
                                         std::string_view text) const {
  std::string whole = std::to_string(code);
  for (const std::string_view part : {dsn, text})
    if (!part.empty()) whole.append(" ").append(part);
  return config_->commands->with_footer(whole, text, situation(where_));
}

// What access tables want done to the whole message, at two moments. Nothing is done twice. As in
// Postfix, REDIRECT goes before all else.
void Session::apply_effects() {
  mail::Envelope& envelope = transaction_->envelope;
  Effects& effects = transaction_->effects;
  if (!effects.hold.empty()) envelope.hold = effects.hold;
  if (!effects.redirect.empty()) {
    mail::Recipient only;
    only.address = effects.redirect;
    envelope.recipients.assign(1, only);
    envelope.filter.clear();
    return;
  }
  envelope.filter = effects.filter;
  for (std::string& address : std::exchange(effects.bcc, {})) {
    mail::Recipient copy;
    copy.address = std::move(address);
    copy.notify = mail::notify_never;
    envelope.recipients.push_back(std::move(copy));
  }
}

} // namespace postrider::smtpd
