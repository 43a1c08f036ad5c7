// SPDX-License-Identifier: MIT
#include "dispatch.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "finish.hpp"
#include "intake.hpp"
#include "mail/status.hpp"
#include "route/transport.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr Duration kReportPause = 10s; // when bounce cannot make reports now
constexpr Duration kIdleLimit = 5min;  // an idle destination is remembered
constexpr std::uint32_t kMostFaults = 5;
constexpr std::uint32_t kDeathsToBlame = 3;
constexpr std::uint32_t kMostPassed = 16; // destinations passed over for one with a connection

mail::Outcome make_outcome(mail::Verdict verdict, std::string_view dsn, std::string text,
                           std::int64_t at) {
  mail::Outcome outcome;
  outcome.verdict = verdict;
  outcome.dsn = dsn;
  outcome.text = std::move(text);
  outcome.host = "none";
  outcome.at = at;
  return outcome;
}

// "5.1.1 text": the code the administrator wrote, in the class that fits; else the given one.
mail::Outcome outcome_of_text(mail::Verdict verdict, std::string_view text,
                              std::string_view initial, std::int64_t at) {
  std::string dsn(initial);
  const std::string_view code = mail::leading_status(text);
  if (!code.empty()) {
    dsn = mail::with_class(code, initial.front());
    text.remove_prefix(code.size());
    while (!text.empty() && text.front() == ' ')
      text.remove_prefix(1);
  }
  return make_outcome(verdict, dsn, std::string(text), at);
}

std::string next_hop_domain(std::string_view nexthop) {
  return std::string(nexthop.substr(0, nexthop.rfind(':')));
}

} // namespace

bool Transport::is_connecting() const {
  return std::any_of(agents.begin(), agents.end(), [](const auto& a) { return !a->ready(); });
}

Dispatch::Dispatch(Parts& parts) : parts_(parts) {}
Dispatch::~Dispatch() = default;

// --- messages ----------------------------------------------------------------------------------

Transport& Dispatch::transport_of(const std::string& name) {
  std::unique_ptr<Transport>& place = transports_[name];
  if (!place) {
    place = std::make_unique<Transport>(*this, name, parts_.around.limits(name));
    place->is_report = name == parts_.params.report_service;
  }
  return *place;
}

Destination& Dispatch::destination_of(Transport& transport, const Route& route) {
  const bool single = transport.limits.recipients == 1;
  std::string key = route.nexthop;
  if (single) key.append(" ").append(route.recipient);
  const auto found = transport.destinations.find(key);
  if (found != transport.destinations.end()) return *found->second;
  auto made = std::make_unique<Destination>(transport, key, route.nexthop);
  made->idle_since = parts_.loop.now();
  return *transport.destinations.emplace(std::move(key), std::move(made)).first->second;
}

// error: retry: discard: and what cannot be given to an agent now. False: it needs an agent.
bool Dispatch::settle_without_agent(Message& message, std::uint32_t recipient, const Route& route) {
  const std::int64_t now = parts_.wall();
  if (route.transport == route::kErrorTransport) {
    parts_.finish->settle_here(
        message, recipient, outcome_of_text(mail::Verdict::bounced, route.nexthop, "5.0.0", now));
    return true;
  }
  if (route.transport == route::kRetryTransport) {
    parts_.finish->settle_here(
        message, recipient, outcome_of_text(mail::Verdict::deferred, route.nexthop, "4.0.0", now));
    return true;
  }
  if (route.transport == route::kDiscardTransport) {
    parts_.finish->settle_here(
        message, recipient, outcome_of_text(mail::Verdict::delivered, route.nexthop, "2.0.0", now));
    return true;
  }
  return false;
}

bool Dispatch::is_wanted(const Message& message, std::uint32_t recipient) const {
  const queue::RecipientState& state = message.state.recipients[recipient];
  return !queue::is_settled(state) &&
         (message.forced || is_due(parts_.params.retry, state.next_try, parts_.now()));
}

void Dispatch::route(Message& message, const Routes* known) {
  message.phase = Phase::active;
  ++gather_round_;
  const std::int64_t now = parts_.now();
  const RetryLimits& retry = parts_.params.retry;
  const std::size_t first = message.entries.size();
  for (std::uint32_t i = 0; i < message.state.recipients.size(); ++i) {
    if (!is_wanted(message, i)) continue;
    mail::Recipient& recipient = message.state.envelope.recipients[i];
    if (known != nullptr && known->find(i) == known->end()) continue;
    const Result<Route> route =
        known != nullptr ? known->find(i)->second
                         : parts_.around.route(recipient.address, message.state.envelope.sender);
    if (!route) {
      parts_.finish->settle_here(message, i,
                                 make_outcome(mail::Verdict::deferred, "4.3.0",
                                              "cannot route: " + route.error().text(),
                                              parts_.wall()));
      continue;
    }
    if (settle_without_agent(message, i, *route)) continue;
    Transport& transport = transport_of(route->transport);
    if (!message.forced && parts_.params.defer_transports.contains(route->transport)) {
      parts_.finish->suspend(message, {i}, mail::Gate::no_agent, "4.3.2", "deferred transport",
                             now + suspended_backoff(retry, retry.maximal, parts_.dice()));
      continue;
    }
    if (transport.unavailable) {
      parts_.finish->suspend(message, {i}, mail::Gate::no_agent, "4.3.0",
                             "mail transport unavailable: " + transport.problem,
                             now + backoff(retry, 1, parts_.dice()));
      continue;
    }
    if (route->recipient != recipient.address && !route->recipient.empty())
      recipient.address = route->recipient;
    Destination& destination = destination_of(transport, *route);
    if (destination.state == State::dead && !transport.is_report) {
      const std::int64_t age = age_of(message.state.envelope.arrival, now, parts_.wall());
      parts_.finish->suspend(message, {i}, mail::Gate::destination_backed_off,
                             destination.reason.dsn,
                             "delivery temporarily suspended: " + destination.reason.text,
                             now + suspended_backoff(retry, age, parts_.dice()));
      continue;
    }
    const std::uint32_t most = transport.limits.recipients;
    if (destination.gather_round == gather_round_ &&
        (most == 0 || destination.gather->recipients.size() < most)) {
      destination.gather->recipients.push_back(i);
      continue;
    }
    Entry& entry = message.add_entry();
    entry.destination = &destination;
    entry.recipients.push_back(i);
    destination.gather_round = gather_round_;
    destination.gather = &entry;
    if (transport.gather_round != gather_round_) transport.gather_count = 0;
    transport.gather_round = gather_round_;
    ++transport.gather_count;
  }
  // Sizes are known only now. Nothing in enqueue() adds to or removes from the message's entries.
  for (std::size_t i = first; i < message.entries.size(); ++i) {
    Entry& entry = *message.entries[i];
    const Transport& transport = entry.destination->transport;
    entry.size = size_of(transport.gather_count, transport.limits.turns);
    enqueue(entry, false);
  }
}

void Dispatch::request_report(Message& message, Errand errand,
                              std::vector<std::uint32_t> recipients, std::string send_to) {
  Transport& transport = transport_of(parts_.params.report_service);
  Entry& entry = message.add_entry();
  entry.errand = errand;
  entry.recipients = std::move(recipients);
  entry.send_to = std::move(send_to);
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
  Transport& transport = destination.transport;
  if (entry.errand == Errand::deliver && entry.message->state.strikes >= 2 && !entry.suspect) {
    entry.suspect = true;
    if (transport.suspect != nullptr) {
      transport.suspects.push_back(entry);
      return;
    }
    transport.suspect = &entry;
  }
  destination.push(entry, in_front);
  ++transport.queued;
  activate(destination);
  note(transport);
}

void Dispatch::unqueue(Entry& entry) {
  Transport& transport = entry.destination->transport;
  if (entry.queued) {
    entry.destination->remove(entry);
    --transport.queued;
    if (entry.destination->queued() == 0) transport.round.remove(*entry.destination);
    if (entry.suspect) next_suspect(entry);
  } else if (entry.suspect) {
    transport.suspects.remove(entry);
  }
}

// The suspect has been dealt with: the next one may go.
void Dispatch::next_suspect(Entry& entry) {
  Transport& transport = entry.destination->transport;
  POSTRIDER_CHECK(transport.suspect == &entry);
  entry.suspect = false;
  transport.suspect = nullptr;
  if (transport.suspects.empty()) return;
  Entry& next = *transport.suspects.front();
  transport.suspects.remove(next);
  next.suspect = false;
  enqueue(next, false);
}

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
  if (parts_.stopping || destination.transport.unavailable) return 0;
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
  if (!may_start(destination)) return;
  destination.transport.round.add(destination, destination.waiting_size());
  note(destination.transport);
}

void Dispatch::note(Transport& transport) {
  if (transport.in_pump_list) return;
  transport.in_pump_list = true;
  to_pump_.push_back(&transport);
}

// --- sending -----------------------------------------------------------------------------------

Agent* Dispatch::choose(Transport& transport, Destination& destination) {
  if (destination.agent != nullptr && destination.agent->has_room()) return destination.agent;
  Agent* best = nullptr;
  for (const auto& agent : transport.agents)
    if (agent->has_room() && (best == nullptr || agent->room() > best->room())) best = agent.get();
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
  const Duration gap = transport.limits.transport_delay;
  std::uint32_t passed = 0;
  while (!transport.round.empty()) {
    if (gap > Duration::zero()) {
      const SteadyTime now = parts_.loop.now();
      if (now < transport.next_start) {
        if (!transport.pause)
          transport.pause = std::make_unique<ev::Timer>(
              parts_.loop,
              [](void* owner) {
                auto* t = static_cast<Transport*>(owner);
                t->dispatch.note(*t);
                t->dispatch.pump();
              },
              &transport);
        transport.pause->arm(ev::Deadline::at(transport.next_start));
        return;
      }
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
    if (start(entry, *agent)) {
      if (gap > Duration::zero()) transport.next_start = parts_.loop.now() + gap;
    }
    activate(destination);
  }
  want_agents(transport);
  if (transport.destinations.size() > parts_.params.destination_limit * 5 / 4)
    sweep(transport, Duration::zero());
}

bool Dispatch::start(Entry& entry, Agent& agent) {
  Destination& destination = *entry.destination;
  Transport& transport = destination.transport;
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
    if (entry.suspect) next_suspect(entry);
    if (entry.errand == Errand::deliver)
      parts_.finish->suspend(message, entry.recipients, mail::Gate::retry_timer, "4.3.0",
                             "cannot open the message: " + sent.error().text(),
                             parts_.now() + backoff(parts_.params.retry, 1, parts_.dice()));
    done(entry);
    return false;
  }
  destination.agent = &agent;
  ++destination.in_flight;
  ++transport.in_flight;
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
  if (destination.is_idle()) destination.idle_since = parts_.loop.now();
  const Duration gap = destination.transport.limits.destination_delay;
  if (gap > Duration::zero()) {
    destination.next_start = parts_.loop.now() + gap;
    if (!destination.pause)
      destination.pause = std::make_unique<ev::Timer>(
          parts_.loop,
          [](void* owner) {
            auto* d = static_cast<Destination*>(owner);
            d->next_start = SteadyTime{};
            d->transport.dispatch.activate(*d);
            d->transport.dispatch.pump();
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
  destination.agent_deaths = 0;
  if (entry.suspect) next_suspect(entry);
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
  }
  activate(destination);
}

void Dispatch::reported(Entry& entry, const proto::Reported& result) {
  Destination& destination = *entry.destination;
  came_back(entry);
  if (!result.ok) {
    log::warning(entry.message->id().text() +
                 ": report not made, will be tried again: " + result.text);
    destination.reason = make_outcome(mail::Verdict::deferred, "4.3.0", result.text, parts_.wall());
    enqueue(entry, true);
    if (destination.state != State::dead) apply(destination, Happening::died);
    return;
  }
  parts_.finish->reported(*entry.message, entry.errand, entry.recipients);
  done(entry);
  apply(destination, Happening::reached);
  activate(destination);
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
          [](void* owner) {
            auto* d = static_cast<Destination*>(owner);
            d->transport.dispatch.apply(*d, Happening::backoff_over);
            d->transport.dispatch.pump();
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

// Everything that waits for a dead destination is deferred at once, without an attempt: it takes no
// room in memory that others could use.
void Dispatch::suspend_queued(Destination& destination) {
  const RetryLimits& retry = parts_.params.retry;
  const std::string text = "delivery temporarily suspended: " + destination.reason.text;
  const std::int64_t now = parts_.now();
  const std::int64_t wall = parts_.wall();
  while (destination.queued() > 0) {
    Entry& entry = *(destination.small.empty() ? destination.large : destination.small).front();
    unqueue(entry);
    const std::int64_t age = age_of(entry.message->state.envelope.arrival, now, wall);
    parts_.finish->suspend(*entry.message, entry.recipients, mail::Gate::destination_backed_off,
                           destination.reason.dsn, text,
                           now + suspended_backoff(retry, age, parts_.dice()));
    done(entry);
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
  for (const auto& [name, transport] : transports_)
    sweep(*transport, kIdleLimit);
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

// --- agents ------------------------------------------------------------------------------------

void Dispatch::want_agents(Transport& transport) {
  if (parts_.stopping || transport.unavailable || transport.is_connecting()) return;
  if (transport.again && transport.again->armed()) return;
  if (transport.agents.empty() ? transport.queued == 0
                               : transport.agents.size() >= parts_.params.agents ||
                                     transport.in_flight * 2 <= transport.capacity)
    return;
  Result<Fd> connected = parts_.around.connect(transport.name);
  if (!connected) {
    ++transport.failures;
    if (transport.agents.empty() && (connected.error().kind() == ErrorKind::not_found ||
                                     connected.error().kind() == ErrorKind::refused)) {
      fail_transport(transport, connected.error().text());
      return;
    }
    if (!transport.again)
      transport.again = std::make_unique<ev::Timer>(
          parts_.loop,
          [](void* owner) {
            auto* t = static_cast<Transport*>(owner);
            t->dispatch.restore_transport(*t);
            t->dispatch.pump();
          },
          &transport);
    transport.again->arm(parts_.loop.after(transport.agents.empty() ? 1s : 10s));
    return;
  }
  transport.agents.push_back(std::make_unique<Agent>(parts_, transport, std::move(*connected)));
  parts_.tasks.spawn(run_agent(transport.agents.back().get()), "agent " + transport.name);
}

ev::RootTask Dispatch::run_agent(Agent* agent) {
  Result<void> greeted = co_await agent->greet();
  if (!greeted) {
    give_up_agent(*agent, greeted.error());
    co_return;
  }
  Transport& transport = agent->transport();
  transport.capacity += agent->capacity();
  transport.failures = 0;
  restore_transport(transport);
  pump();
  Error why = co_await agent->listen();
  agent_gone(*agent, why);
  pump();
}

// It never became ready. Its place is tried again soon; what waits is deferred when that lasts.
void Dispatch::give_up_agent(Agent& agent, const Error& why) {
  Transport& transport = agent.transport();
  std::erase_if(transport.agents, [&](const auto& a) { return a.get() == &agent; });
  if (parts_.stopping || why.kind() == ErrorKind::cancelled) return;
  ++transport.failures;
  log::warning("no agent of " + transport.name + ": " + why.text());
  if (transport.agents.empty() && (why.kind() == ErrorKind::timeout || transport.failures >= 10)) {
    fail_transport(transport, why.text());
    return;
  }
  if (!transport.again)
    transport.again = std::make_unique<ev::Timer>(
        parts_.loop,
        [](void* owner) {
          auto* t = static_cast<Transport*>(owner);
          t->dispatch.restore_transport(*t);
          t->dispatch.pump();
        },
        &transport);
  const Duration pause = 100ms * (1U << std::min(transport.failures, 7U));
  transport.again->arm(parts_.loop.after(pause));
}

void Dispatch::agent_retires(Agent& agent) {
  Transport& transport = agent.transport();
  transport.capacity -= agent.capacity();
  note(transport);
}

void Dispatch::agent_gone(Agent& agent, const Error& why) {
  Transport& transport = agent.transport();
  const bool retired = agent.retiring();
  if (!retired) transport.capacity -= agent.capacity();
  const pid_t pid = agent.pid();
  std::vector<Agent::Left> left = agent.take_left();
  for (const auto& [key, destination] : transport.destinations)
    if (destination->agent == &agent) destination->agent = nullptr;
  std::erase_if(transport.agents, [&](const auto& a) { return a.get() == &agent; });
  if (!left.empty() || (!retired && !parts_.stopping))
    log::warning("agent of " + transport.name + " (process " + std::to_string(pid) +
                 ") is gone with " + std::to_string(left.size()) + " deliveries: " + why.text());
  if (transport.is_report && !left.empty() && parts_.intake->has_writer(pid))
    unread_[pid] = parts_.loop.now() + parts_.params.ipc_limit;
  std::vector<Destination*> blamed;
  for (std::size_t i = left.size(); i-- > 0;)
    lost(left[i], blamed);
  for (Destination* destination : blamed) {
    if (++destination->agent_deaths < kDeathsToBlame || destination->state == State::dead) continue;
    destination->reason = make_outcome(mail::Verdict::deferred, "4.3.0",
                                       "delivery agents die at this destination", parts_.wall());
    apply(*destination, Happening::died);
  }
  note(transport);
}

// One delivery that a dead agent had. In doubt: it may have happened, so it is recorded and tried
// later. Under way: it did not happen and goes to the next agent; a message that was under way too
// often is sent alone, and held when agents die of it even then.
void Dispatch::lost(const Agent::Left& left, std::vector<Destination*>& blamed) {
  Entry& entry = *left.entry;
  Message& message = *entry.message;
  Destination& destination = *entry.destination;
  const bool was_suspect = entry.suspect;
  came_back(entry);
  if (was_suspect) next_suspect(entry);
  if (entry.errand != Errand::deliver) {
    enqueue(entry, true);
    return;
  }
  const bool began = left.state != proto::SlotState::idle;
  if (began && !parts_.stopping) {
    if (std::find(blamed.begin(), blamed.end(), &destination) == blamed.end())
      blamed.push_back(&destination);
    if (message.state.strikes < 2)
      parts_.finish->strike(message, message.state.strikes + 1);
    else if (was_suspect)
      parts_.finish->strike(message, 3);
  }
  if (left.state == proto::SlotState::in_doubt) {
    parts_.finish->in_doubt(message, entry.recipients,
                            "delivery agent died before it could tell the outcome");
    done(entry);
    return;
  }
  if (message.state.strikes >= 3) {
    message.hold_wanted = true;
    message.hold_reason = "delivery agents died of this message";
    log::error(message.id().text() + ": three delivery agents died of this message: held");
    done(entry);
    return;
  }
  if (message.hold_wanted || message.drop_wanted) {
    done(entry);
    return;
  }
  enqueue(entry, true);
}

void Dispatch::fail_transport(Transport& transport, std::string problem) {
  log::warning("transport " + transport.name + " is unavailable: " + problem);
  transport.problem = std::move(problem);
  transport.faults = 0;
  if (!transport.again)
    transport.again = std::make_unique<ev::Timer>(
        parts_.loop,
        [](void* owner) {
          auto* t = static_cast<Transport*>(owner);
          t->dispatch.restore_transport(*t);
          t->dispatch.pump();
        },
        &transport);
  transport.again->arm(parts_.loop.after(parts_.params.transport_retry));
  if (transport.is_report) return; // its requests wait; want_agents() looks at the timer
  transport.unavailable = true;
  const std::string text = "mail transport unavailable: " + transport.problem;
  const auto defer = [&](Entry& entry) {
    unqueue(entry);
    parts_.finish->suspend(*entry.message, entry.recipients, mail::Gate::no_agent, "4.3.0", text,
                           parts_.now() + backoff(parts_.params.retry, 1, parts_.dice()));
    done(entry);
  };
  while (!transport.suspects.empty())
    defer(*transport.suspects.front());
  for (const auto& [key, destination] : transport.destinations) {
    while (!destination->small.empty())
      defer(*destination->small.front());
    while (!destination->large.empty())
      defer(*destination->large.front());
  }
}

void Dispatch::restore_transport(Transport& transport) {
  transport.unavailable = false;
  if (transport.again) transport.again->disarm();
  for (const auto& [key, destination] : transport.destinations)
    activate(*destination);
  note(transport);
}

// --- the end -----------------------------------------------------------------------------------

void Dispatch::stop() {
  for (const auto& [name, transport] : transports_)
    for (const auto& agent : transport->agents)
      if (!agent->ready() || agent->in_flight() == 0) agent->close();
}

void Dispatch::close_agents() {
  for (const auto& [name, transport] : transports_)
    for (const auto& agent : transport->agents)
      agent->close();
}

void Dispatch::segment_was_returned() {
  for (const auto& [name, transport] : transports_)
    for (const auto& agent : transport->agents)
      if (agent->ready()) agent->close_idle_contents();
}

Dispatch::Standing Dispatch::standing(const Entry& entry) const {
  Standing standing;
  const Destination& destination = *entry.destination;
  const Transport& transport = destination.transport;
  const std::string name = transport.name + ":" + destination.nexthop;
  if (entry.agent != nullptr) {
    standing.in_flight = true;
    standing.text = "in delivery by " + transport.name + " (process " +
                    std::to_string(entry.agent->pid()) + ")";
  } else if (entry.suspect && !entry.queued) {
    standing.gate = mail::Gate::concurrency_full;
    standing.text = "delivery agents died while they had it: it waits to be sent alone";
  } else if (transport.capacity == 0) {
    standing.gate = mail::Gate::no_agent;
    standing.text = "no process of " + transport.name + " is ready";
  } else if (destination.state != State::ready) {
    standing.gate = mail::Gate::destination_backed_off;
    standing.text = name + " is being probed: " + destination.reason.text;
  } else if (destination.next_start != SteadyTime{}) {
    standing.gate = mail::Gate::rate_limit;
    standing.text = name + " gets one delivery at a time, with a pause behind each";
  } else {
    standing.gate = mail::Gate::concurrency_full;
    standing.text = std::to_string(destination.queued()) + " deliveries wait for " + name + ", " +
                    std::to_string(destination.in_flight) + " are under way, " +
                    std::to_string(destination.window.size()) + " may be";
  }
  return standing;
}

} // namespace postrider::qmgr
