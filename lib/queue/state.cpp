// SPDX-License-Identifier: MIT
#include "queue/state.hpp"

#include <algorithm>

#include "base/fields.hpp"

namespace postrider::queue {

namespace {

// Compact bodies begin with a byte that no field can begin with: a field's name is never empty.
constexpr char kCompact = 0;
constexpr std::string_view kFinal = "final";

bool is_plain(const Event& e) {
  switch (e.kind) {
  case EventKind::delivered:
  case EventKind::reported:
  case EventKind::delay_reported:
  case EventKind::dropped:
  case EventKind::moved:
  case EventKind::removed:
    return e.outcome == mail::Outcome{} && e.attempts == 0 && e.next_try == 0 &&
           e.gate == mail::Gate::none && e.at == 0 && e.text.empty();
  case EventKind::none:
  case EventKind::bounced:
  case EventKind::deferred:
  case EventKind::in_doubt:
  case EventKind::held:
  case EventKind::released:
  case EventKind::requeued:
  case EventKind::relayed:
  case EventKind::strike: return false;
  }
  return false;
}

void settle(RecipientState& r, Status status, const Event& event) {
  if (r.status != Status::open) return; // I1
  r.status = status;
  r.attempts = std::max(r.attempts, event.attempts);
  r.gate = mail::Gate::none;
  r.next_try = 0;
  if (!event.outcome.dsn.empty()) r.last = event.outcome;
}

void apply_to(RecipientState& r, const Event& event) {
  switch (event.kind) {
  case EventKind::delivered: settle(r, Status::delivered, event); break;
  case EventKind::relayed:
    if (r.status == Status::open) {
      r.success_due = true;
      r.final_delivery = event.text == kFinal;
    }
    settle(r, Status::delivered, event);
    break;
  case EventKind::bounced: settle(r, Status::bounced, event); break;
  case EventKind::dropped: settle(r, Status::dropped, event); break;
  case EventKind::deferred:
  case EventKind::in_doubt:
    if (event.kind == EventKind::in_doubt) r.in_doubt = true;
    if (r.status != Status::open || event.attempts < r.attempts) break; // an older copy
    r.attempts = event.attempts;
    r.last = event.outcome;
    r.next_try = event.next_try;
    r.gate = event.gate;
    break;
  case EventKind::reported: r.reported = true; break;
  case EventKind::delay_reported: r.delay_reported = true; break;
  case EventKind::none:
  case EventKind::held:
  case EventKind::released:
  case EventKind::requeued:
  case EventKind::strike:
  case EventKind::moved:
  case EventKind::removed: break;
  }
}

bool names_recipients(EventKind kind) {
  switch (kind) {
  case EventKind::delivered:
  case EventKind::bounced:
  case EventKind::deferred:
  case EventKind::in_doubt:
  case EventKind::reported:
  case EventKind::delay_reported:
  case EventKind::relayed:
  case EventKind::dropped: return true;
  case EventKind::none:
  case EventKind::held:
  case EventKind::released:
  case EventKind::requeued:
  case EventKind::strike:
  case EventKind::moved:
  case EventKind::removed: return false;
  }
  return false;
}

} // namespace

std::string encode_event(const Event& event) {
  if (!is_plain(event)) return encode(event);
  std::string out;
  out.reserve(1 + 4 * event.recipients.size());
  out.push_back(kCompact);
  for (const std::uint32_t index : event.recipients)
    put_le<std::uint32_t>(out, index);
  return out;
}

Result<Event> decode_event(std::uint8_t kind, ByteView body) {
  if (kind == 0 || kind > static_cast<std::uint8_t>(highest(EventKind{})))
    return Error(ErrorKind::protocol, "unknown event kind " + std::to_string(kind));
  if (body.empty() || body.front() != kCompact) {
    POSTRIDER_TRY(Event event, decode<Event>(body));
    if (static_cast<std::uint8_t>(event.kind) != kind)
      return Error(ErrorKind::protocol, "event kinds disagree");
    return event;
  }
  body.remove_prefix(1);
  if (body.size() % 4 != 0) return Error(ErrorKind::protocol, "event cut short");
  Event event;
  event.kind = static_cast<EventKind>(kind);
  for (; !body.empty(); body.remove_prefix(4))
    event.recipients.push_back(get_le<std::uint32_t>(body));
  return event;
}

MessageState make_state(StoredRecord record) {
  MessageState state;
  state.id = record.header.id;
  state.place = record.header.where();
  state.envelope = std::move(record.envelope);
  state.facts = record.facts;
  state.content_offset = record.content_offset;
  state.recipients.resize(state.envelope.recipients.size());
  state.held = !state.envelope.hold.empty();
  state.hold_reason = state.envelope.hold;
  return state;
}

Result<void> apply(MessageState& state, const Event& event) {
  for (const std::uint32_t index : event.recipients)
    if (index >= state.recipients.size())
      return Error(ErrorKind::protocol, "event names recipient " + std::to_string(index) + " of " +
                                            std::to_string(state.recipients.size()));
  if (names_recipients(event.kind)) {
    for (const std::uint32_t index : event.recipients)
      apply_to(state.recipients[index], event);
    return {};
  }
  switch (event.kind) {
  case EventKind::held:
    state.held = true;
    state.hold_reason = event.text;
    break;
  case EventKind::released:
    state.held = false;
    state.hold_reason.clear();
    state.strikes = 0;
    break;
  case EventKind::requeued:
    for (RecipientState& r : state.recipients) {
      if (r.status != Status::open) continue;
      r.attempts = 0;
      r.next_try = 0;
      r.gate = mail::Gate::none;
    }
    break;
  case EventKind::strike: state.strikes = std::max(state.strikes, event.attempts); break;
  case EventKind::removed: state.removed = true; break;
  case EventKind::none:
  case EventKind::moved:
  case EventKind::delivered:
  case EventKind::bounced:
  case EventKind::deferred:
  case EventKind::in_doubt:
  case EventKind::reported:
  case EventKind::delay_reported:
  case EventKind::relayed:
  case EventKind::dropped: break;
  }
  return {};
}

std::vector<Event> events_of(const MessageState& state) {
  std::vector<Event> out;
  // Recipients that share a fate share an event: 50,000 delivered ones are one cell.
  const auto add = [&out](Event event, std::uint32_t index) {
    if (!out.empty()) {
      Event& last = out.back();
      event.recipients = last.recipients;
      if (last == event) {
        last.recipients.push_back(index);
        return;
      }
    }
    event.recipients = {index};
    out.push_back(std::move(event));
  };
  const auto each = [&](auto make) {
    for (std::uint32_t i = 0; i < state.recipients.size(); ++i) {
      Event event = make(state.recipients[i]);
      if (event.kind != EventKind::none) add(std::move(event), i);
    }
  };
  const auto attempted = [](EventKind kind, const RecipientState& r) {
    Event event{.kind = kind, .outcome = r.last};
    event.attempts = r.attempts;
    event.next_try = r.next_try;
    event.gate = r.gate;
    return event;
  };
  each([&](const RecipientState& r) {
    return r.in_doubt ? attempted(EventKind::in_doubt, r) : Event{};
  });
  each([&](const RecipientState& r) -> Event {
    switch (r.status) {
    case Status::open:
      if (r.attempts == 0 && r.next_try == 0 && r.gate == mail::Gate::none &&
          r.last == mail::Outcome{})
        return {};
      return attempted(EventKind::deferred, r);
    case Status::delivered: {
      if (!r.success_due) return attempted(EventKind::delivered, r);
      Event event = attempted(EventKind::relayed, r);
      if (r.final_delivery) event.text = kFinal;
      return event;
    }
    case Status::bounced: return attempted(EventKind::bounced, r);
    case Status::dropped: return attempted(EventKind::dropped, r);
    }
    return {};
  });
  each([](const RecipientState& r) {
    return r.reported ? Event{.kind = EventKind::reported} : Event{};
  });
  each([](const RecipientState& r) {
    return r.delay_reported ? Event{.kind = EventKind::delay_reported} : Event{};
  });
  if (state.strikes > 0) {
    Event strike{.kind = EventKind::strike};
    strike.attempts = state.strikes;
    out.push_back(std::move(strike));
  }
  if (state.held) {
    Event held{.kind = EventKind::held};
    held.text = state.hold_reason;
    out.push_back(std::move(held));
  } else if (!state.envelope.hold.empty()) {
    out.push_back(Event{.kind = EventKind::released}); // a fresh one is held
  }
  return out;
}

bool is_settled(const RecipientState& recipient) { return recipient.status != Status::open; }

bool all_settled(const MessageState& state) {
  return std::all_of(state.recipients.begin(), state.recipients.end(), is_settled);
}

bool wants_report(const MessageState& state, std::size_t recipient) {
  if (state.envelope.sender.empty()) return false; // never a report about a report
  const RecipientState& r = state.recipients[recipient];
  if (r.reported) return false;
  if (r.status == Status::delivered) return r.success_due;
  if (r.status != Status::bounced) return false;
  const std::uint8_t notify = state.envelope.recipients[recipient].notify;
  return notify == 0 || (notify & mail::notify_failure) != 0;
}

bool may_remove(const MessageState& state) {
  if (!all_settled(state)) return false;
  for (std::size_t i = 0; i < state.recipients.size(); ++i)
    if (wants_report(state, i)) return false;
  return true;
}

std::int64_t due_at(const MessageState& state) {
  std::int64_t due = INT64_MAX;
  for (const RecipientState& r : state.recipients)
    if (!is_settled(r)) due = std::min(due, r.next_try);
  return due == INT64_MAX ? 0 : due;
}

} // namespace postrider::queue
