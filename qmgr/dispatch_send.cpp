// SPDX-License-Identifier: MIT
// Dispatch: whose turn it is, to which agent it goes, and what comes back.
#include "dispatch.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "finish.hpp"
#include "outcome.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kMostFaults = 5;  // outcomes in a row that blame the transport
constexpr std::uint32_t kMostPassed = 16; // destinations passed over for one with a connection

} // namespace

// --- who may go --------------------------------------------------------------------------------

// A report that was committed must not be made again. When its maker dies, or an earlier qmgr did,
// what stands in the journal says which reports there are: nothing is asked for before it is read.
bool Dispatch::reports_wait() const { return !unread_.empty() || parts_.queue.has_orphans(); }

void Dispatch::writer_was_read(pid_t pid) {
  if (unread_.erase(pid) > 0) resume_reports();
}

void Dispatch::resume_reports() {
  const auto found = transports_.find(parts_.params.report_service);
  if (found == transports_.end()) return;
  for (const auto& [key, destination] : found->second->destinations)
    activate(*destination);
  note(*found->second);
}

std::uint32_t Dispatch::allowance(const Destination& destination) const {
  if (parts_.stopping || destination.transport.unavailable || destination.suspect) return 0;
  if (destination.transport.is_report && reports_wait()) return 0;
  switch (destination.state) {
  case State::dead: return 0;
  case State::probing: return 1;
  case State::ready: break;
  }
  const TransportLimits& limits = destination.transport.limits;
  if (limits.destination_delay > Duration::zero()) return 1;
  return destination.window.size();
}

bool Dispatch::may_start(const Destination& destination) const {
  return destination.queued() > 0 && destination.in_flight < allowance(destination) &&
         (destination.next_start == SteadyTime{} || parts_.loop.now() >= destination.next_start);
}

void Dispatch::activate(Destination& destination) {
  if (destination.suspect) try_next(destination);
  if (!may_start(destination)) return;
  destination.transport.round.add(destination, destination.waiting_size());
  note(destination.transport);
}

void Dispatch::resume(Destination& destination) {
  destination.next_start = SteadyTime{};
  activate(destination);
  pump();
}

void Dispatch::resume(Transport& transport) {
  note(transport);
  pump();
}

void Dispatch::note(Transport& transport) {
  if (transport.in_pump_list) return;
  transport.in_pump_list = true;
  to_pump_.push_back(&transport);
}

// --- sending -----------------------------------------------------------------------------------

Agent* Dispatch::choose(Transport& transport, Destination& destination) {
  const auto may_have_it = [this](const Agent& agent) {
    return agent.has_room() && !is_closed(agent);
  };
  if (destination.agent != nullptr && may_have_it(*destination.agent)) return destination.agent;
  Agent* best = nullptr;
  for (const auto& agent : transport.agents)
    if (may_have_it(*agent) && (best == nullptr || agent->room() > best->room()))
      best = agent.get();
  return best;
}

void Dispatch::pump() {
  while (!to_pump_.empty()) {
    Transport& transport = *to_pump_.back();
    to_pump_.pop_back();
    transport.in_pump_list = false;
    pump(transport);
  }
}

void Dispatch::pump(Transport& transport) {
  if (parts_.stopping || transport.unavailable) return;
  hold_trials(transport);
  const Duration gap = transport.limits.transport_delay;
  std::uint32_t passed = 0;
  while (!transport.round.empty()) {
    if (gap > Duration::zero() && parts_.loop.now() < transport.next_start) {
      transport.pause.arm(ev::Deadline::at(transport.next_start));
      break;
    }
    Destination& destination = *transport.round.take();
    if (!may_start(destination)) continue;
    // With its next result it comes into the round again.
    if (!transport.round.empty() && transport.capacity > 0 &&
        destination.in_flight >= largest_share(transport.capacity))
      continue;
    Agent* const agent = choose(transport, destination);
    if (agent == nullptr) {
      transport.round.add(destination, destination.waiting_size());
      break;
    }
    // When agents are full, another destination has its connections where there is room.
    if (destination.agent != nullptr && destination.agent != agent && passed < kMostPassed &&
        !transport.round.empty()) {
      ++passed;
      transport.round.add(destination, destination.waiting_size());
      continue;
    }
    passed = 0;
    Entry& entry = destination.take();
    --transport.queued;
    if (start(entry, *agent) && gap > Duration::zero())
      transport.next_start = parts_.loop.now() + gap;
    activate(destination);
  }
  want_agents(transport);
  if (transport.destinations.size() > parts_.params.recipient_limit * 5 / 4 &&
      parts_.loop.now() >= transport.next_sweep) {
    transport.next_sweep = parts_.loop.now() + 1s;
    sweep(transport, Duration::zero());
  }
}

// One of its deliveries has just ended, so a session is open: the next goes over that rather than
// over a new one, as long as the destination has no more of the agents than others could have.
void Dispatch::go_on(Destination& destination, Agent& agent) {
  Transport& transport = destination.transport;
  if (!may_start(destination) || !agent.has_room() || is_closed(agent) ||
      transport.limits.transport_delay > Duration::zero() ||
      destination.in_flight >= transport.capacity / std::max(transport.busy, 1U))
    return;
  Entry& entry = destination.take();
  --transport.queued;
  start(entry, agent);
}

// False: it could not be sent, and is gone.
bool Dispatch::start(Entry& entry, Agent& agent) {
  Destination& destination = *entry.destination;
  Message& message = *entry.message;
  if (entry.errand != Errand::deliver) {
    // Its maker died with the answer, and the report was found in the journal.
    std::erase_if(entry.recipients, [&](std::uint32_t index) {
      const queue::RecipientState& state = message.state.recipients[index];
      return entry.errand == Errand::report_delayed ? state.delay_reported : state.reported;
    });
    if (entry.recipients.empty()) {
      done(entry);
      return false;
    }
  }
  const Result<void> sent = agent.send(entry, destination.queued() > 0);
  if (!sent) {
    log::warning(message.id().text() + ": cannot open the message: " + sent.error().text());
    if (entry.suspect) end_trial(entry, true);
    if (entry.errand == Errand::deliver)
      parts_.finish->suspend(message, entry.recipients, mail::Gate::retry_timer, "4.3.0",
                             "cannot open the message: " + sent.error().text(),
                             parts_.now() + backoff(parts_.params.retry, 1, parts_.dice()));
    done(entry);
    recount(destination);
    return false;
  }
  destination.agent = &agent;
  ++destination.in_flight;
  ++destination.transport.in_flight;
  ++in_flight_;
  ++message.in_flight;
  return true;
}

// --- results -----------------------------------------------------------------------------------

void Dispatch::came_back(Entry& entry) {
  Destination& destination = *entry.destination;
  --destination.in_flight;
  --destination.transport.in_flight;
  --in_flight_;
  --entry.message->in_flight;
  recount(destination);
  const Duration gap = destination.transport.limits.destination_delay;
  if (gap > Duration::zero()) {
    destination.next_start = parts_.loop.now() + gap;
    if (!destination.pause)
      destination.pause = std::make_unique<ev::Timer>(
          parts_.loop,
          [](void* self) {
            auto* d = static_cast<Destination*>(self);
            d->transport.dispatch.resume(*d);
          },
          &destination);
    destination.pause->arm(ev::Deadline::at(destination.next_start));
  }
  note(destination.transport);
}

void Dispatch::done(Entry& entry) {
  Message& message = *entry.message;
  message.remove_entry(entry);
  if (message.entries.empty()) parts_.finish->round_over(message);
}

void Dispatch::delivered(Entry& entry, Agent& agent, const proto::Delivered& result) {
  Destination& destination = *entry.destination;
  Transport& transport = destination.transport;
  came_back(entry);
  clear_of_suspicion(entry);
  if (!result.pass_to.empty()) {
    pass_on(entry, result.pass_to);
    done(entry);
    activate(destination);
    return;
  }
  const mail::Outcome* site = nullptr;
  const mail::Outcome* fault = nullptr;
  for (const mail::Outcome& outcome : result.outcomes) {
    if (outcome.verdict != mail::Verdict::deferred) continue;
    if (outcome.scope == mail::Scope::site) site = &outcome;
    if (outcome.scope == mail::Scope::transport) fault = &outcome;
  }
  parts_.finish->tell_postmaster(*entry.message, result);
  parts_.finish->settle(*entry.message, entry.recipients, result.outcomes,
                        {result.relayed_without_dsn, agent.is_final()});
  done(entry);
  if (fault != nullptr) {
    if (++transport.faults >= kMostFaults) fail_transport(transport, fault->text);
  } else if (site != nullptr) {
    destination.reason = *site;
    const bool is_probe = destination.state == State::probing;
    if (destination.state != State::dead && (is_probe || destination.window.failed()))
      apply(destination, Happening::died);
  } else {
    transport.faults = 0;
    destination.window.succeeded(destination.in_flight);
    apply(destination, Happening::reached);
    go_on(destination, agent);
  }
  activate(destination);
}

void Dispatch::reported(Entry& entry, const proto::Reported& result) {
  Destination& destination = *entry.destination;
  came_back(entry);
  clear_of_suspicion(entry);
  if (!result.ok) {
    log::warning(entry.message->id().text() +
                 ": report not made, will be tried again: " + result.text);
    destination.reason = own_outcome(mail::Verdict::deferred, "4.3.0", result.text, parts_.wall());
    enqueue(entry, true);
    if (destination.state != State::dead) apply(destination, Happening::died);
    return;
  }
  parts_.finish->reported(*entry.message, entry.errand, entry.recipients);
  done(entry);
  apply(destination, Happening::reached);
  activate(destination);
}

} // namespace postrider::qmgr
