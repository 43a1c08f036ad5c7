// SPDX-License-Identifier: MIT
// A message in memory, and the deliveries it is split into. Owned by Intake (the map of messages);
// entries belong to their message and stand in at most one place: queued at a destination, set
// aside by the dispatcher, or with an agent.
//
// The life of a message in memory is a sequence of rounds: route() makes entries for the recipients
// that are due; when the last entry is back, Finish::round_over() decides: report, remove, wait.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mail/log_line.hpp"
#include "queue/state.hpp"
#include "schedule.hpp"

namespace postrider::qmgr {

class Agent;
struct Destination;
struct Message;

constexpr std::uint32_t kStrikes = 3; // deaths of agents; then a message is held (Q4)

enum class Errand : std::uint8_t { deliver, report_failed, report_delayed, report_success };

// One request to an agent.
struct Entry {
  Message* message = nullptr;
  Destination* destination = nullptr;
  Errand errand = Errand::deliver;
  Size size = Size::small;
  std::size_t index = 0;                 // in message->entries
  std::vector<std::uint32_t> recipients; // indices
  std::string send_to;                   // reports: to whom
  Agent* agent = nullptr;                // while in flight
  bool queued = false;
  bool suspect = false;  // in quarantine: it waits for its trial, or is on trial
  Entry* next = nullptr; // EntryList
  Entry* previous = nullptr;
};

// First in, first out; leaving from the middle costs nothing.
class EntryList {
 public:
  bool empty() const { return first_ == nullptr; }
  std::size_t size() const { return size_; }
  Entry* front() const { return first_; }
  void push_back(Entry& entry);
  void push_front(Entry& entry);
  void remove(Entry& entry);

 private:
  Entry* first_ = nullptr;
  Entry* last_ = nullptr;
  std::size_t size_ = 0;
};

enum class Phase : std::uint8_t {
  arrived, // in memory, waits for room among the active
  active,  // has entries, or is between two steps
  storing, // deferred or held: its file is being written, then it leaves memory
  resting, // deferred, but could not be stored: waits in memory
};

struct Message {
  queue::MessageState state;
  Phase phase = Phase::arrived;
  std::int64_t entered = 0; // unix time, microseconds: when it entered memory
  std::vector<std::unique_ptr<Entry>> entries;
  std::uint32_t in_flight = 0; // of the entries
  // Reports that were asked for: no other one is believed to be about this message.
  struct Asked {
    Errand errand;
    std::vector<std::uint32_t> recipients; // ascending
  };
  std::vector<Asked> asked;
  std::uint64_t routing = 0; // which Intake::route_slowly() looks its routes up; 0: none
  bool job_out = false;      // a job copies or saves it: it must not be given to another
  bool dirty = false;        // marks since it was last saved
  bool forced = false;       // the operator asked: defer_transports and gates do not count
  bool drop_wanted = false;  // by the operator, when its entries are back
  bool hold_wanted = false;
  std::string hold_reason;
  bool suspect = false;           // an agent may have died of it: it goes into quarantine
  std::uint32_t deaths = 0;       // of agents that had it, since it is in memory and not cleared
  std::set<std::uint32_t> passed; // recipients that an agent passed on, this round

  const queue::Id& id() const { return state.id; }
  Entry& add_entry();
  void remove_entry(Entry& entry); // destroys it
};

bool has_notify(const mail::Recipient& recipient, mail::NotifyBit bit);

// "ID: from=<s>, size=n, nrcpt=n (queue active)"
void log_active(const Message& message, const mail::LogStyle& style);
// "ID: removed"
void log_removed(const Message& message);
void log_expired(const Message& message, const mail::LogStyle& style);
// For a recipient that no agent had: "ID: to=<r>, relay=none, ...".
void log_recipient(const Message& message, std::uint32_t recipient, const mail::Outcome& outcome,
                   std::int64_t now, const mail::LogStyle& style);

} // namespace postrider::qmgr
