// SPDX-License-Identifier: MIT
// What is known about one message: envelope, facts, place, and per recipient what happened and what
// comes next. Events change it; the same events stand in the ledger and in the tail of a message
// file. Pure: no I/O, no clock.
//
// Invariants (checked by tests/unit/queue/state_test.cpp):
//   I1  a recipient leaves `open` once and never comes back, except by the operator's requeue
//   I2  applying the same event twice is applying it once (attempts are absolute numbers)
//   I3  an event that names a recipient the message does not have changes nothing
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mail/envelope.hpp"
#include "mail/outcome.hpp"
#include "queue/message_record.hpp"

namespace postrider::queue {

enum class Status : std::uint8_t { open, delivered, bounced, dropped }; // dropped: by the operator
constexpr Status highest(Status) { return Status::dropped; }

struct RecipientState {
  Status status = Status::open;
  std::uint32_t attempts = 0;
  bool in_doubt = false; // an earlier attempt may have delivered: its reply was never read
  bool reported = false; // its failure or success is in a durable report
  bool delay_reported = false;
  bool success_due = false;    // delivered, and the sender is to be told so
  bool final_delivery = false; // ... that it is in a mailbox, not merely relayed
  mail::Gate gate = mail::Gate::none;
  std::int64_t next_try = 0; // unix time, microseconds; 0: at once
  mail::Outcome last;        // of the last attempt; dsn empty when there was none

  bool operator==(const RecipientState&) const = default;
};

enum class EventKind : std::uint8_t {
  none,
  delivered,      // recipients; outcome optional
  bounced,        // recipients, outcome
  deferred,       // recipients, outcome, attempts, next_try, gate
  in_doubt,       // recipients, outcome
  reported,       // recipients: their failure or success is in a durable report
  delay_reported, // recipients
  held,           // text: reason
  released,
  requeued, // open recipients start over: attempts 0, at once
  strike,   // an agent died on this message; attempts: strikes so far
  dropped,  // recipients: removed by the operator without a report
  moved,    // ledger only: the message lives in a file now
  removed,  // nothing is left to do
  relayed,  // recipients, outcome: delivered, and the sender is to be told; text "final": mailbox
};
constexpr EventKind highest(EventKind) { return EventKind::relayed; }

struct Event {
  EventKind kind = EventKind::none;
  std::vector<std::uint32_t> recipients; // indices into envelope.recipients
  mail::Outcome outcome;
  std::uint32_t attempts = 0;
  std::int64_t next_try = 0;
  mail::Gate gate = mail::Gate::none;
  std::int64_t at = 0;
  std::string text;

  bool operator==(const Event&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("kind", s.kind);
    v.optional("recipients", s.recipients);
    v.optional("outcome", s.outcome);
    v.optional("attempts", s.attempts);
    v.optional("next_try", s.next_try);
    v.optional("gate", s.gate);
    v.optional("at", s.at);
    v.optional("text", s.text);
  }
};

// Compact form: a plain `delivered`, `reported` or `removed` costs 4 bytes per recipient; anything
// else is the fields of the Event. Used as a cell body, kind beside it.
std::string encode_event(const Event& event);
Result<Event> decode_event(std::uint8_t kind, ByteView body);

struct MessageState {
  Id id;
  Place place;
  mail::Envelope envelope;
  mail::ContentFacts facts;
  std::uint64_t content_offset = 0; // in the segment or file
  std::vector<RecipientState> recipients;
  bool held = false;
  std::string hold_reason;
  std::uint32_t strikes = 0;
  bool removed = false;

  bool operator==(const MessageState&) const = default;
};

MessageState make_state(StoredRecord record);

// Error protocol for an event this message cannot have (I3); the state is then unchanged.
Result<void> apply(MessageState& state, const Event& event);

// The events that turn a fresh message into `state`: what migration writes into the new file.
std::vector<Event> events_of(const MessageState& state);

bool is_settled(const RecipientState& recipient); // not open
bool all_settled(const MessageState& state);
// Must this recipient's fate be told to the sender, and has it not been yet? (RFC 3461
// section 4.1.)
bool wants_report(const MessageState& state, std::size_t recipient);
// The one condition under which a message may be removed: every recipient is settled and every
// report that is due is durable (bounce first, remove last).
bool may_remove(const MessageState& state);
// Earliest next_try over open recipients; 0 when one may go at once.
std::int64_t due_at(const MessageState& state);

} // namespace postrider::queue
