// SPDX-License-Identifier: MIT
// Dispatch: what becomes of deliveries at which agents died, and of the message or the destination
// that kills them.
//
// An agent's board says for which delivery its code was running (proto/deliver.hpp). A death in the
// code of one delivery, or with one delivery alone, is surely that one's: Q1 below. Of another
// death (a signal from outside, a fault in what deliveries share) all that the agent worked on may
// be the cause: Q2.
//
//   Q1  The message and its destination become suspects. Suspects wait in line for a trial: one
//       agent takes them a few at a time and nothing else meanwhile, so that no other mail dies
//       with them. Of a suspected destination only what is on trial goes; before the message that
//       is accused another one of that destination is tried, which tells the two apart.
//   Q2  A message that saw two such deaths is tried as well, with an eighth of the suspects at a
//       time, and an eighth of those after each further death, until it is alone or cleared.
//   Q3  A suspect that comes back from the agent, whatever its outcome, is cleared.
//   Q4  A message is held when the third agent dies with it and that death is surely its own. A
//       destination is put off, without fault of its messages, when the third agent in a row dies
//       at it and these were not all of one message.
//   Q5  Reports are judged like deliveries, by the messages that they are about; they have no
//       destination that could be at fault. Of a message that is held for it nothing goes on,
//       reports included.
#include "dispatch.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "finish.hpp"
#include "intake.hpp"
#include "outcome.hpp"

namespace postrider::qmgr {

namespace {

constexpr std::uint32_t kShared = 2; // deaths of which others may be the cause as well
constexpr std::uint32_t kMostTogether = 64;

} // namespace

bool Dispatch::needs_trial(const Entry& entry) const {
  const Destination& destination = *entry.destination;
  return entry.message->suspect || entry.message->state.strikes > 0 ||
         (destination.suspect && destination.suspects == 0);
}

void Dispatch::quarantine(Entry& entry) {
  Destination& destination = *entry.destination;
  entry.suspect = true;
  ++destination.suspects;
  ++destination.transport.queued;
  destination.transport.suspects.push_back(entry);
  recount(destination);
  note(destination.transport);
}

// One whose trial is over, or that did not come to it.
void Dispatch::end_trial(Entry& entry, bool on_trial) {
  Destination& destination = *entry.destination;
  entry.suspect = false;
  --destination.suspects;
  if (on_trial) {
    --destination.transport.on_trial;
  } else {
    --destination.transport.queued;
    destination.transport.suspects.remove(entry);
  }
  recount(destination);
  note(destination.transport);
}

// The next one of a suspected destination goes on trial, if none is.
void Dispatch::try_next(Destination& destination) {
  if (destination.suspects > 0 || destination.queued() == 0 || destination.state == State::dead)
    return;
  Entry& entry = destination.take();
  --destination.transport.queued;
  quarantine(entry);
}

void Dispatch::hold_trials(Transport& transport) {
  if (transport.on_trial > 0) return; // the verdict first
  if (transport.is_report && reports_wait()) return;
  if (transport.suspects.empty()) {
    transport.cell = nullptr;
    transport.together = 0;
    return;
  }
  if (transport.cell == nullptr || !transport.cell->has_room())
    transport.cell = transport.emptiest();
  Agent* const cell = transport.cell;
  if (cell == nullptr || !cell->has_room()) return;
  // It gets nothing new and is empty soon; the only agent that there is works on.
  if (is_closed(*cell) && cell->in_flight() > 0) return;
  std::size_t most = 1;
  if (cell->in_flight() == 0)
    most = transport.together > 0
               ? transport.together
               : std::clamp<std::size_t>(transport.suspects.size() / 8, 1, kMostTogether);
  for (; most > 0 && !transport.suspects.empty() && cell->has_room(); --most) {
    Entry& entry = *transport.suspects.front();
    transport.suspects.remove(entry);
    --transport.queued;
    ++transport.on_trial;
    start(entry, *cell);
  }
}

bool Dispatch::is_closed(const Agent& agent) const {
  const Transport& transport = agent.transport();
  if (transport.cell != &agent) return false;
  return std::any_of(transport.agents.begin(), transport.agents.end(), [&](const auto& other) {
    return other.get() != &agent && other->ready() && !other->retiring();
  });
}

void Dispatch::clear_of_suspicion(Entry& entry) {
  Destination& destination = *entry.destination;
  destination.agent_deaths = 0;
  destination.suspect = destination.has_killers = false;
  if (!entry.suspect) return;
  end_trial(entry, true);
  entry.message->suspect = false;
  entry.message->deaths = 0;
}

// REQUIRES: what the agent left is in no list yet, and none of it has been given back.
void Dispatch::accuse(Agent& agent, const std::vector<Agent::Left>& left) {
  std::vector<Entry*> possible, begun;
  for (const Agent::Left& one : left) {
    possible.push_back(one.entry);
    if (one.state != proto::SlotState::idle) begun.push_back(one.entry);
    if (!one.running) continue;
    possible = {one.entry};
    begun.clear();
    break;
  }
  if (!begun.empty()) possible = std::move(begun);
  const bool sure = possible.size() == 1;
  Transport& transport = agent.transport();
  if (!sure && transport.cell == &agent && transport.on_trial > 0)
    transport.together = std::max(1U, transport.on_trial / 8);
  for (Entry* entry : possible) {
    Message& message = *entry->message;
    ++message.deaths;
    if (sure)
      blame(message, *entry->destination);
    else if (message.deaths >= kShared)
      message.suspect = true;
  }
}

// A death that surely is this one's.
void Dispatch::blame(Message& message, Destination& destination) {
  if (!destination.transport.is_report && blame(destination, message.id())) return;
  message.suspect = true;
  const std::uint32_t deaths = std::max(message.state.strikes + 1, message.deaths);
  parts_.finish->strike(message, std::min(deaths, kStrikes));
  if (deaths < kStrikes) return;
  message.hold_wanted = true;
  message.hold_reason = destination.transport.is_report
                            ? "processes died of the report on this message"
                            : "delivery agents died of this message";
  log::warning(message.id().text() + ": " + std::to_string(deaths) + " " + message.hold_reason +
               ": held");
}

// True: it is the destination's fault.
bool Dispatch::blame(Destination& destination, queue::Id killer) {
  if (++destination.agent_deaths > 1 && destination.killer != killer)
    destination.has_killers = true;
  destination.killer = killer;
  destination.suspect = true;
  if (destination.agent_deaths < kStrikes || !destination.has_killers) return false;
  if (destination.state == State::dead) return true;
  destination.reason = own_outcome(mail::Verdict::deferred, "4.3.0",
                                   "delivery agents die at this destination", parts_.wall());
  apply(destination, Happening::died);
  return true;
}

// Of messages that are to be held, also what no agent has.
void Dispatch::withdraw_condemned(const std::vector<queue::Id>& ids) {
  for (const queue::Id id : ids) {
    Message* const message = parts_.intake->find(id);
    if (message == nullptr || !message->hold_wanted || message->entries.empty()) continue;
    withdraw(*message);
    if (message->entries.empty()) parts_.finish->round_over(*message);
  }
}

} // namespace postrider::qmgr
