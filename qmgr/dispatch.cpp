// SPDX-License-Identifier: MIT
#include "dispatch.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "finish.hpp"
#include "maps/keys.hpp"
#include "outcome.hpp"
#include "route/transport.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr Duration kReportPause = 10s; // when bounce cannot make reports now
constexpr Duration kIdleLimit = 5min;  // an idle destination is remembered

std::string next_hop_domain(std::string_view nexthop) {
  return std::string(nexthop.substr(0, nexthop.rfind(':')));
}

// By what a destination is known: its next hop; the mailbox there, extension left out, where the
// transport delivers to one recipient at a time, so that limits are for each mailbox.
std::string key_of(const Route& route, bool single, std::string_view delimiters) {
  if (!single) return lowercase(route.nexthop);
  const maps::AddressParts parts = maps::split_address(route.recipient, delimiters);
  return lowercase(std::string(parts.user) + "@" + route.nexthop);
}

} // namespace

Dispatch::Dispatch(Parts& parts) : parts_(parts) {}
Dispatch::~Dispatch() = default;

// --- messages ----------------------------------------------------------------------------------

Transport& Dispatch::transport_of(const std::string& name) {
  std::unique_ptr<Transport>& place = transports_[name];
  if (!place) {
    place = std::make_unique<Transport>(*this, parts_.loop, name, parts_.around.limits(name));
    place->is_report = name == parts_.params.report_service;
  }
  return *place;
}

Destination& Dispatch::destination_of(Transport& transport, const Route& route) {
  std::string key =
      key_of(route, transport.limits.recipients == 1, parts_.params.recipient_delimiter);
  const auto found = transport.destinations.find(key);
  if (found != transport.destinations.end()) return *found->second;
  auto made = std::make_unique<Destination>(transport, key, route.nexthop);
  made->idle_since = parts_.loop.now();
  return *transport.destinations.emplace(std::move(key), std::move(made)).first->second;
}

// error: retry: discard: need no agent. False: it does.
bool Dispatch::settle_without_agent(Message& message, std::uint32_t recipient, const Route& route) {
  const auto settle = [&](mail::Verdict verdict, std::string_view dsn) {
    parts_.finish->settle_here(message, recipient,
                               outcome_of_text(verdict, route.nexthop, dsn, parts_.wall()));
    return true;
  };
  if (route.transport == route::kErrorTransport) return settle(mail::Verdict::bounced, "5.0.0");
  if (route.transport == route::kRetryTransport) return settle(mail::Verdict::deferred, "4.0.0");
  if (route.transport == route::kDiscardTransport) return settle(mail::Verdict::delivered, "2.0.0");
  return false;
}

bool Dispatch::is_wanted(const Message& message, std::uint32_t recipient) const {
  const queue::RecipientState& state = message.state.recipients[recipient];
  return !queue::is_settled(state) &&
         (message.forced || is_due(parts_.params.retry, state.next_try, parts_.now()));
}

void Dispatch::route(Message& message, const Routes* known) {
  message.passed.clear();
  ++gather_round_;
  const std::size_t first = message.entries.size();
  for (std::uint32_t i = 0; i < message.state.recipients.size(); ++i) {
    if (!is_wanted(message, i)) continue;
    const mail::Envelope& envelope = message.state.envelope;
    if (envelope.recipients[i].expanded) {
      parts_.finish->note_expansion(message, i);
      continue;
    }
    if (known != nullptr && !known->contains(i)) continue;
    const Result<Route> route = known != nullptr
                                    ? known->at(i)
                                    : parts_.around.route(envelope.recipients[i].address, envelope);
    if (route)
      place(message, i, *route);
    else
      parts_.finish->settle_here(message, i,
                                 own_outcome(mail::Verdict::deferred, "4.3.0",
                                             "cannot route: " + route.error().text(),
                                             parts_.wall()));
  }
  enqueue_from(message, first);
}

// Into an entry of this round, or settled or put off on the spot.
void Dispatch::place(Message& message, std::uint32_t index, const Route& route) {
  if (settle_without_agent(message, index, route)) return;
  const RetryLimits& retry = parts_.params.retry;
  if (!message.forced && parts_.params.defer_transports.contains(route.transport)) {
    parts_.finish->suspend(message, {index}, mail::Gate::no_agent, "4.3.2", "deferred transport",
                           parts_.now() + suspended_backoff(retry, retry.maximal, parts_.dice()));
    return;
  }
  Transport& transport = transport_of(route.transport);
  if (transport.unavailable) return put_off(message, {index}, transport);
  std::string& address = message.state.envelope.recipients[index].address;
  if (route.recipient != address && !route.recipient.empty()) address = route.recipient;
  Destination& destination = destination_of(transport, route);
  if (destination.state == State::dead && !transport.is_report)
    return put_off(message, {index}, destination);
  const std::uint32_t most = transport.limits.recipients;
  if (destination.gather_round == gather_round_ &&
      (most == 0 || destination.gather->recipients.size() < most)) {
    destination.gather->recipients.push_back(index);
    return;
  }
  Entry& entry = message.add_entry();
  entry.destination = &destination;
  entry.recipients.push_back(index);
  destination.gather_round = gather_round_;
  destination.gather = &entry;
  if (transport.gather_round != gather_round_) transport.gather_count = 0;
  transport.gather_round = gather_round_;
  ++transport.gather_count;
}

// Sizes are known only when all is placed. Nothing in enqueue() adds to or removes from the
// message's entries.
void Dispatch::enqueue_from(Message& message, std::size_t first) {
  for (std::size_t i = first; i < message.entries.size(); ++i) {
    Entry& entry = *message.entries[i];
    const Transport& transport = entry.destination->transport;
    entry.size = size_of(transport.gather_count, transport.limits.turns);
    enqueue(entry, false);
  }
}

// The agent tried nothing: another transport is to have it. That is no attempt. To be passed on
// twice in one round means that they pass it to each other.
void Dispatch::pass_on(Entry& entry, const std::string& pass_to) {
  Message& message = *entry.message;
  Route route;
  const std::size_t colon = pass_to.find(':');
  route.transport = pass_to.substr(0, colon);
  if (colon != std::string::npos) route.nexthop = pass_to.substr(colon + 1);
  if (route.nexthop.empty()) route.nexthop = entry.destination->nexthop;
  ++gather_round_;
  const std::size_t first = message.entries.size();
  for (const std::uint32_t index : entry.recipients) {
    if (queue::is_settled(message.state.recipients[index])) continue; // by the operator meanwhile
    const std::string& address = message.state.envelope.recipients[index].address;
    if (message.passed.insert(index).second) {
      route.recipient = address;
      place(message, index, route);
      continue;
    }
    const std::string domain = address.substr(address.rfind('@') + 1);
    parts_.finish->settle_here(message, index,
                               own_outcome(mail::Verdict::bounced, "5.4.6",
                                           "mail for " + domain + " loops back to myself",
                                           parts_.wall()));
  }
  enqueue_from(message, first);
}

void Dispatch::request_report(Message& message, Errand errand,
                              std::vector<std::uint32_t> recipients, std::string send_to) {
  Transport& transport = transport_of(parts_.params.report_service);
  Entry& entry = message.add_entry();
  entry.errand = errand;
  entry.recipients = std::move(recipients);
  entry.send_to = std::move(send_to);
  message.asked.push_back({errand, entry.recipients});
  Route route;
  route.nexthop = "report";
  entry.destination = &destination_of(transport, route);
  enqueue(entry, false);
}

void Dispatch::withdraw(Message& message) {
  for (std::size_t i = message.entries.size(); i-- > 0;) {
    Entry& entry = *message.entries[i];
    if (entry.agent != nullptr) continue;
    unqueue(entry);
    message.remove_entry(entry);
  }
}

// --- queues ------------------------------------------------------------------------------------

void Dispatch::enqueue(Entry& entry, bool in_front) {
  Destination& destination = *entry.destination;
  if (needs_trial(entry)) return quarantine(entry);
  destination.push(entry, in_front);
  ++destination.transport.queued;
  recount(destination);
  activate(destination);
  note(destination.transport);
}

void Dispatch::unqueue(Entry& entry) {
  Destination& destination = *entry.destination;
  if (entry.suspect) return end_trial(entry, false);
  if (!entry.queued) return;
  destination.remove(entry);
  --destination.transport.queued;
  if (destination.queued() == 0) destination.transport.round.remove(destination);
  recount(destination);
}

void Dispatch::recount(Destination& destination) {
  const bool busy = !destination.is_idle();
  if (busy == destination.is_counted) return;
  destination.is_counted = busy;
  destination.transport.busy += busy ? 1U : -1U;
  if (!busy) destination.idle_since = parts_.loop.now();
}

void Dispatch::put_off(Message& message, const std::vector<std::uint32_t>& recipients,
                       const Destination& dead) {
  const std::int64_t now = parts_.now();
  const std::int64_t age = parts_.age(message.state.envelope.arrival);
  parts_.finish->suspend(message, recipients, mail::Gate::destination_backed_off, dead.reason.dsn,
                         "delivery temporarily suspended: " + dead.reason.text,
                         now + suspended_backoff(parts_.params.retry, age, parts_.dice()));
}

void Dispatch::put_off(Message& message, const std::vector<std::uint32_t>& recipients,
                       const Transport& unavailable) {
  parts_.finish->suspend(message, recipients, mail::Gate::no_agent, "4.3.0",
                         "mail transport unavailable: " + unavailable.problem,
                         parts_.now() + backoff(parts_.params.retry, 1, parts_.dice()));
}

// --- destinations ------------------------------------------------------------------------------

void Dispatch::apply(Destination& destination, Happening happening) {
  const Next next = step(destination.state, happening);
  destination.state = next.state;
  Transport& transport = destination.transport;
  switch (next.deed) {
  case Deed::none: return;
  case Deed::suspend: {
    const std::int64_t pause =
        transport.is_report
            ? std::chrono::duration_cast<std::chrono::microseconds>(kReportPause).count()
            : backoff(parts_.params.retry, 1, parts_.dice());
    destination.probe_at = parts_.wall() + pause;
    if (!destination.timer)
      destination.timer = std::make_unique<ev::Timer>(
          parts_.loop,
          [](void* self) {
            auto* d = static_cast<Destination*>(self);
            d->transport.dispatch.probe(*d);
          },
          &destination);
    destination.timer->arm(parts_.loop.after(std::chrono::microseconds(pause)));
    transport.round.remove(destination);
    if (!transport.is_report) suspend_queued(destination);
    return;
  }
  case Deed::probe:
    destination.timer->disarm();
    activate(destination);
    return;
  case Deed::resume:
    if (destination.timer) destination.timer->disarm();
    destination.window.restart();
    destination.probe_at = 0;
    activate(destination);
    return;
  }
}

void Dispatch::probe(Destination& destination) {
  apply(destination, Happening::backoff_over);
  pump();
}

// Everything that waits for a dead destination is deferred at once, without an attempt: it takes no
// room in memory that others could use.
void Dispatch::suspend_queued(Destination& destination) {
  std::vector<Entry*> waiting;
  waiting.reserve(destination.queued() + destination.suspects);
  for (const EntryList* list :
       {&destination.small, &destination.large, &destination.transport.suspects})
    for (Entry* entry = list->front(); entry != nullptr; entry = entry->next)
      if (entry->destination == &destination) waiting.push_back(entry);
  for (Entry* entry : waiting) {
    unqueue(*entry);
    put_off(*entry->message, entry->recipients, destination);
    done(*entry);
  }
}

void Dispatch::forget(Transport& transport, Destination& destination) {
  transport.round.remove(destination);
  transport.destinations.erase(std::string(destination.key));
}

void Dispatch::sweep(Transport& transport, Duration idle) {
  const SteadyTime now = parts_.loop.now();
  std::vector<Destination*> old;
  for (const auto& [key, destination] : transport.destinations)
    if (destination->is_idle() && destination->state != State::dead &&
        now - destination->idle_since >= idle &&
        (destination->next_start == SteadyTime{} || now >= destination->next_start))
      old.push_back(destination.get());
  for (Destination* destination : old)
    forget(transport, *destination);
}

void Dispatch::sweep() {
  const SteadyTime now = parts_.loop.now();
  if (std::erase_if(unread_, [&](const auto& one) { return one.second <= now; }) > 0)
    resume_reports();
  for (const auto& [name, transport] : transports_) {
    sweep(*transport, kIdleLimit);
    // More than can be remembered: those that are idle go at once.
    if (transport->destinations.size() > parts_.params.recipient_limit) sweep(*transport, 0s);
  }
}

void Dispatch::flush(const std::string& domain) {
  for (const auto& [name, transport] : transports_) {
    if (transport->unavailable) restore_transport(*transport);
    for (const auto& [key, destination] : transport->destinations)
      if (destination->state == State::dead &&
          (domain.empty() || next_hop_domain(destination->nexthop) == domain ||
           destination->nexthop == domain))
        apply(*destination, Happening::flushed);
  }
}

// --- what the operator sees --------------------------------------------------------------------

Dispatch::Standing Dispatch::standing(const Entry& entry) const {
  Standing standing;
  const Destination& destination = *entry.destination;
  const Transport& transport = destination.transport;
  const std::string name = transport.name + ":" + destination.nexthop;
  if (entry.agent != nullptr) {
    standing.in_flight = true;
    standing.text = "in delivery by " + transport.name + " (process " +
                    std::to_string(entry.agent->pid()) + ")";
  } else if (entry.suspect || destination.suspect) {
    standing.gate = mail::Gate::concurrency_full;
    standing.text = std::string("a delivery agent died ") +
                    (entry.message->suspect ? "while it had it" : "at " + name) +
                    ": it waits to be sent alone";
  } else if (transport.capacity == 0) {
    standing.gate = mail::Gate::no_agent;
    standing.text = "no process of " + transport.name + " is ready";
  } else if (destination.state != State::ready) {
    standing.gate = mail::Gate::destination_backed_off;
    standing.text = name + " is being probed: " + destination.reason.text;
  } else if (destination.next_start != SteadyTime{}) {
    standing.gate = mail::Gate::rate_limit;
    standing.text = name + " gets one delivery at a time, with a pause behind each";
  } else if (transport.limits.transport_delay > Duration::zero()) {
    standing.gate = mail::Gate::rate_limit;
    standing.text = transport.name + " begins one delivery at a time, with a pause between them";
  } else {
    standing.gate = mail::Gate::concurrency_full;
    standing.text = std::to_string(destination.queued()) + " deliveries wait for " + name + ", " +
                    std::to_string(destination.in_flight) + " are under way, " +
                    std::to_string(destination.window.size()) + " may be";
  }
  return standing;
}

} // namespace postrider::qmgr
