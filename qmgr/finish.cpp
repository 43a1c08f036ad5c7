// SPDX-License-Identifier: MIT
#include "finish.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "dispatch.hpp"
#include "intake.hpp"
#include "mail/status.hpp"
#include "outcome.hpp"
#include "store.hpp"

namespace postrider::qmgr {

namespace {

using queue::EventKind;
using queue::Status;

constexpr std::size_t kLongestText = 2048; // of what an agent says, kept per recipient

void clip(std::string& text) {
  if (text.size() > kLongestText) text.resize(kLongestText);
}

char class_of(mail::Verdict verdict) {
  switch (verdict) {
  case mail::Verdict::delivered: return '2';
  case mail::Verdict::bounced: return '5';
  case mail::Verdict::deferred:
  case mail::Verdict::in_doubt: return '4';
  }
  return '4';
}

// What an agent says may be long or wrong, never more than that.
mail::Outcome tidy(const mail::Outcome& told, std::int64_t wall) {
  mail::Outcome outcome = told;
  const char wanted = class_of(outcome.verdict);
  if (!mail::is_status(outcome.dsn))
    outcome.dsn = std::string(1, wanted) + ".0.0";
  else if (outcome.verdict == mail::Verdict::delivered && outcome.dsn.front() != '2')
    outcome.dsn = mail::with_class(outcome.dsn, '2');
  clip(outcome.text);
  clip(outcome.reply);
  clip(outcome.host);
  clip(outcome.address);
  clip(outcome.tls);
  clip(outcome.tls_status);
  if (outcome.at == 0) outcome.at = wall;
  return outcome;
}

} // namespace

void Finish::mark(Message& message, const queue::Event& event) {
  parts_.queue.mark(message.id(), event);
  if (auto applied = queue::apply(message.state, event); !applied)
    log::error(message.id().text() + ": " + applied.error().text());
  message.dirty = true;
}

// --- outcomes ----------------------------------------------------------------------------------

void Finish::settle(Message& message, const std::vector<std::uint32_t>& recipients,
                    const std::vector<mail::Outcome>& outcomes, Success told) {
  const std::int64_t wall = parts_.wall();
  queue::Event run; // recipients that share a fate share an event
  const auto write_run = [&] {
    if (run.kind != EventKind::none) mark(message, run);
    run = queue::Event();
  };
  for (std::size_t i = 0; i < recipients.size(); ++i) {
    const std::uint32_t index = recipients[i];
    queue::RecipientState& state = message.state.recipients[index];
    if (queue::is_settled(state)) continue; // by the operator meanwhile
    mail::Outcome outcome = tidy(outcomes[i], wall);
    if (outcome.verdict == mail::Verdict::bounced && parts_.params.soft_bounce) {
      outcome.verdict = mail::Verdict::deferred;
      outcome.dsn = mail::with_class(outcome.dsn, '4');
    }
    if (outcome.verdict == mail::Verdict::delivered) {
      ++parts_.counters.delivered;
      const bool wanted =
          told.relayed_without_dsn &&
          has_notify(message.state.envelope.recipients[index], mail::notify_success);
      if (wanted || (state.delay_reported && parts_.params.confirm_delay_cleared)) {
        queue::Event relayed;
        relayed.kind = EventKind::relayed;
        relayed.recipients = {index};
        relayed.attempts = state.attempts + 1;
        relayed.outcome = std::move(outcome);
        if (told.final_delivery) relayed.text = "final";
        mark(message, relayed);
        continue;
      }
      parts_.queue.delivered(message.id(), index);
      message.dirty = true;
      ++state.attempts;
      state.status = Status::delivered;
      state.gate = mail::Gate::none;
      state.next_try = 0;
      state.last = std::move(outcome);
      continue;
    }
    const std::uint32_t attempts = state.attempts + 1;
    EventKind kind = EventKind::deferred;
    if (outcome.verdict == mail::Verdict::bounced) kind = EventKind::bounced;
    if (outcome.verdict == mail::Verdict::in_doubt) kind = EventKind::in_doubt;
    if (kind == EventKind::bounced)
      ++parts_.counters.bounced;
    else
      ++parts_.counters.deferrals;
    if (run.kind == kind && run.attempts == attempts && run.outcome == outcome) {
      run.recipients.push_back(index);
      continue;
    }
    write_run();
    run.kind = kind;
    run.attempts = attempts;
    run.recipients = {index};
    run.at = wall;
    if (kind != EventKind::bounced) {
      run.gate = mail::Gate::retry_timer;
      run.next_try = parts_.now() + backoff(parts_.params.retry, attempts, parts_.dice());
    }
    run.outcome = std::move(outcome);
  }
  write_run();
}

void Finish::tell_postmaster(const Message& message, const proto::Delivered& told) {
  const std::string& sender = message.state.envelope.sender;
  if (!sender.empty() && !iequals(sender, parts_.params.double_bounce_sender))
    notices_.add(message.id(), told);
}

void Finish::settle_here(Message& message, std::uint32_t recipient, mail::Outcome outcome) {
  log_recipient(message, recipient, outcome, parts_.wall(), parts_.params.log);
  settle(message, {recipient}, {std::move(outcome)}, {});
}

void Finish::note_expansion(Message& message, std::uint32_t recipient) {
  queue::Event event;
  event.kind = EventKind::relayed; // settled, and the sender is to be told
  event.recipients = {recipient};
  event.outcome = own_outcome(mail::Verdict::delivered, "2.0.0", "alias expanded", parts_.wall());
  mark(message, event);
}

void Finish::in_doubt(Message& message, const std::vector<std::uint32_t>& recipients,
                      const std::string& text) {
  const mail::Outcome outcome = own_outcome(mail::Verdict::in_doubt, "4.3.0", text, parts_.wall());
  for (const std::uint32_t index : recipients)
    log_recipient(message, index, outcome, outcome.at, parts_.params.log);
  settle(message, recipients, std::vector<mail::Outcome>(recipients.size(), outcome), {});
}

void Finish::suspend(Message& message, const std::vector<std::uint32_t>& recipients,
                     mail::Gate gate, const std::string& dsn, const std::string& text,
                     std::int64_t next_try) {
  const std::int64_t wall = parts_.wall();
  for (const std::uint32_t index : recipients) {
    queue::RecipientState& state = message.state.recipients[index];
    if (queue::is_settled(state)) continue;
    ++parts_.counters.deferrals;
    state.gate = gate;
    state.next_try = next_try;
    state.last.verdict = mail::Verdict::deferred;
    state.last.dsn = dsn.empty() ? "4.3.0" : dsn;
    if (state.last.dsn.front() != '4') state.last.dsn = mail::with_class(state.last.dsn, '4');
    state.last.text = text;
    state.last.reply.clear();
    state.last.host = "none";
    state.last.address.clear();
    state.last.port = 0;
    state.last.at = wall;
    log_recipient(message, index, state.last, wall, parts_.params.log);
  }
}

void Finish::strike(Message& message, std::uint32_t strikes) {
  queue::Event event;
  event.kind = EventKind::strike;
  event.attempts = strikes;
  mark(message, event);
}

// --- reports -----------------------------------------------------------------------------------

void Finish::reported(Message& message, Errand errand,
                      const std::vector<std::uint32_t>& recipients) {
  queue::Event event;
  event.kind = errand == Errand::report_delayed ? EventKind::delay_reported : EventKind::reported;
  event.recipients = recipients;
  mark(message, event);
}

void Finish::note_report(const mail::Envelope& report) {
  const auto id = queue::Id::parse(report.report_for);
  if (!id) return;
  Message* const original = parts_.intake->find(*id);
  if (original == nullptr) return;
  queue::Event event; // the queue has marked it already
  event.kind = report.report_kind == "delayed" ? EventKind::delay_reported : EventKind::reported;
  event.recipients = report.reported;
  if (auto applied = queue::apply(original->state, event); !applied)
    log::warning(report.report_for +
                 ": a report names other recipients: " + applied.error().text());
}

bool Finish::is_notice(const Message& message) const {
  const std::string& sender = message.state.envelope.sender;
  return sender.empty() || iequals(sender, parts_.params.double_bounce_sender);
}

// Of which failures somebody is to be told.
std::vector<std::uint32_t> Finish::failed(const Message& message) const {
  std::vector<std::uint32_t> failed;
  for (std::uint32_t i = 0; i < message.state.recipients.size(); ++i) {
    const queue::RecipientState& state = message.state.recipients[i];
    if (state.status != Status::bounced || state.reported) continue;
    if (is_notice(message) || queue::wants_report(message.state, i)) failed.push_back(i);
  }
  return failed;
}

// Agents died of it, or of the report on it, and there is something left to be done (Q4, Q5).
bool Finish::is_poison(const Message& message) const {
  return message.state.strikes >= kStrikes &&
         (!queue::may_remove(message.state) || !failed(message).empty());
}

// True when reports have been asked for.
bool Finish::ask_for_reports(Message& message) {
  const std::string& sender = message.state.envelope.sender;
  const bool notice = is_notice(message);
  std::vector<std::uint32_t> failed = this->failed(message);
  if (!failed.empty() && notice) {
    const std::string& postmaster = parts_.params.double_bounce_recipient;
    if (sender.empty() && !postmaster.empty()) {
      dispatch_report(message, Errand::report_failed, std::move(failed), postmaster);
      return true;
    }
    log::warning(message.id().text() + ": undeliverable notification discarded");
    reported(message, Errand::report_failed, failed);
  } else if (!failed.empty()) {
    dispatch_report(message, Errand::report_failed, std::move(failed), sender);
    return true;
  }
  std::vector<std::uint32_t> delivered;
  for (std::uint32_t i = 0; i < message.state.recipients.size(); ++i)
    if (queue::wants_report(message.state, i)) delivered.push_back(i);
  if (!delivered.empty()) {
    dispatch_report(message, Errand::report_success, std::move(delivered), sender);
    return true;
  }
  return false;
}

void Finish::dispatch_report(Message& message, Errand errand, std::vector<std::uint32_t> recipients,
                             const std::string& to) {
  parts_.dispatch->request_report(message, errand, std::move(recipients), to);
}

bool Finish::warn(Message& message) {
  const mail::Envelope& envelope = message.state.envelope;
  if (envelope.sender.empty() || message.state.held ||
      iequals(envelope.sender, parts_.params.double_bounce_sender))
    return false;
  const std::int64_t age = parts_.age(envelope.arrival);
  if (!is_warning_due(parts_.params.retry, age)) return false;
  std::vector<std::uint32_t> delayed;
  for (std::uint32_t i = 0; i < message.state.recipients.size(); ++i) {
    const queue::RecipientState& state = message.state.recipients[i];
    if (queue::is_settled(state) || state.delay_reported || state.last.dsn.empty()) continue;
    const mail::Recipient& recipient = envelope.recipients[i];
    if (recipient.notify == 0 || has_notify(recipient, mail::notify_delay)) delayed.push_back(i);
  }
  if (delayed.empty()) return false;
  dispatch_report(message, Errand::report_delayed, std::move(delayed), envelope.sender);
  return true;
}

bool Finish::expire(Message& message) {
  const mail::Envelope& envelope = message.state.envelope;
  const std::int64_t age = parts_.age(envelope.arrival);
  if (message.state.held || !is_expired(parts_.params.retry, envelope.sender.empty(), age))
    return false;
  bool any = false;
  for (std::uint32_t i = 0; i < message.state.recipients.size(); ++i) {
    const queue::RecipientState& state = message.state.recipients[i];
    // At least one attempt since it is here: being down for a week returns no mail by itself.
    if (queue::is_settled(state) || state.last.dsn.empty()) continue;
    if (state.last.at < message.entered) continue;
    queue::Event event;
    event.kind = EventKind::bounced;
    event.recipients = {i};
    event.outcome = state.last;
    event.outcome.verdict = mail::Verdict::bounced;
    event.attempts = state.attempts;
    event.at = parts_.wall();
    mark(message, event);
    ++parts_.counters.bounced;
    any = true;
  }
  if (any) log_expired(message, parts_.params.log);
  return any;
}

// --- the end of a round ------------------------------------------------------------------------

void Finish::round_over(Message& message) {
  POSTRIDER_CHECK(message.entries.empty());
  if (parts_.stopping) {
    // What is settled is written down; the rest is found again at the next start.
    if (queue::may_remove(message.state)) remove(message);
    return;
  }
  message.forced = false;
  if (message.drop_wanted) {
    message.drop_wanted = false;
    drop(message);
  }
  if (message.hold_wanted) {
    message.hold_wanted = false;
    queue::Event event;
    event.kind = EventKind::held;
    event.text = std::exchange(message.hold_reason, {});
    if (!queue::all_settled(message.state) || is_poison(message)) mark(message, event);
  }
  expire(message);
  if (message.state.held && is_poison(message)) return wait(message);
  if (ask_for_reports(message)) return;
  if (queue::may_remove(message.state)) {
    remove(message);
    return;
  }
  if (warn(message)) return;
  wait(message);
}

void Finish::remove(Message& message) {
  log_removed(message);
  ++parts_.counters.removed;
  if (!message.state.place.in_segment()) parts_.store->file_was_finished(message.id());
  parts_.queue.finish(message.id());
  parts_.intake->erase(message);
}

void Finish::wait(Message& message) {
  const bool due = is_due(parts_.params.retry, queue::due_at(message.state), parts_.now());
  if (due && !message.state.held) {
    parts_.intake->again(message);
    return;
  }
  parts_.store->put(message);
}

// --- the operator ------------------------------------------------------------------------------

void Finish::hold(Message& message, const std::string& reason) {
  queue::Event event;
  event.kind = EventKind::held;
  event.text = reason;
  mark(message, event);
}

void Finish::release(Message& message) {
  queue::Event event;
  event.kind = EventKind::released;
  mark(message, event);
}

void Finish::requeue(Message& message) {
  if (message.state.held) release(message);
  queue::Event event;
  event.kind = EventKind::requeued;
  mark(message, event);
}

void Finish::drop(Message& message) {
  queue::Event dropped;
  dropped.kind = EventKind::dropped;
  queue::Event told;
  told.kind = EventKind::reported;
  for (std::uint32_t i = 0; i < message.state.recipients.size(); ++i) {
    const queue::RecipientState& state = message.state.recipients[i];
    if (!queue::is_settled(state))
      dropped.recipients.push_back(i);
    else if (queue::wants_report(message.state, i))
      told.recipients.push_back(i);
  }
  if (!dropped.recipients.empty()) mark(message, dropped);
  if (!told.recipients.empty()) mark(message, told);
}

} // namespace postrider::qmgr
