// SPDX-License-Identifier: MIT
// Dispatch: agent processes, and transports that have none.
#include "dispatch.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "finish.hpp"
#include "intake.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kMostFailures = 10; // connections in a row that came to nothing
constexpr std::size_t kReporters = 64;

} // namespace

void Dispatch::want_agents(Transport& transport) {
  if (parts_.stopping || transport.unavailable || transport.is_connecting()) return;
  if (transport.again.armed()) return;
  if (transport.agents.empty() ? transport.queued == 0
                               : transport.agents.size() >= parts_.params.agents ||
                                     transport.in_flight * 2 <= transport.capacity)
    return;
  Result<Fd> connected = parts_.around.connect(transport.name);
  if (!connected) {
    ++transport.failures;
    if (transport.agents.empty() && (connected.error().kind() == ErrorKind::not_found ||
                                     connected.error().kind() == ErrorKind::refused))
      return fail_transport(transport, connected.error().text());
    transport.again.arm(parts_.loop.after(transport.agents.empty() ? 1s : 10s));
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
  if (transport.is_report && !makes_reports(agent->pid())) {
    reporters_.push_back(agent->pid());
    if (reporters_.size() > kReporters) reporters_.pop_front();
  }
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
  const pid_t pid = agent.pid();
  std::erase_if(transport.agents, [&](const auto& a) { return a.get() == &agent; });
  if (parts_.stopping || why.kind() == ErrorKind::cancelled) return;
  ++transport.failures;
  log::warning("no agent of " + transport.name + ": " + why.text());
  if (is_breach(why)) parts_.misbehaves(pid);
  if (transport.agents.empty() &&
      (why.kind() == ErrorKind::timeout || transport.failures >= kMostFailures))
    return fail_transport(transport, why.text());
  const Duration pause = 100ms * (1U << std::min(transport.failures, 7U));
  transport.again.arm(parts_.loop.after(pause));
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
  const std::vector<Agent::Left> left = agent.take_left();
  for (const auto& [key, destination] : transport.destinations)
    if (destination->agent == &agent) destination->agent = nullptr;
  if (!left.empty() || (!retired && !parts_.stopping))
    log::warning("agent of " + transport.name + " (process " + std::to_string(pid) +
                 ") is gone with " + std::to_string(left.size()) + " deliveries: " + why.text());
  if (is_breach(why)) parts_.misbehaves(pid);
  if (transport.is_report && !left.empty() && parts_.intake->has_writer(pid))
    unread_[pid] = parts_.loop.now() + parts_.params.ipc_limit;
  if (!retired && !parts_.stopping) accuse(agent, left);
  if (transport.cell == &agent) transport.cell = nullptr;
  std::erase_if(transport.agents, [&](const auto& a) { return a.get() == &agent; });
  std::vector<queue::Id> condemned;
  for (const Agent::Left& one : left)
    if (one.entry->message->hold_wanted) condemned.push_back(one.entry->message->id());
  for (std::size_t i = left.size(); i-- > 0;)
    lost(left[i]);
  withdraw_condemned(condemned);
  note(transport);
}

// One delivery that a dead agent had. In doubt: it may have happened, so it is recorded and tried
// later. Under way: it did not happen and goes to the next agent.
void Dispatch::lost(const Agent::Left& left) {
  Entry& entry = *left.entry;
  Message& message = *entry.message;
  Destination& destination = *entry.destination;
  const bool was_on_trial = entry.suspect;
  came_back(entry);
  if (was_on_trial) end_trial(entry, true);
  if (entry.errand != Errand::deliver) {
    if (message.hold_wanted) return done(entry);
    return enqueue(entry, true);
  }
  if (left.state == proto::SlotState::in_doubt) {
    parts_.finish->in_doubt(message, entry.recipients,
                            "delivery agent died before it could tell the outcome");
    return done(entry);
  }
  if (message.hold_wanted || message.drop_wanted) return done(entry);
  if (destination.state == State::dead) {
    put_off(message, entry.recipients, destination);
    return done(entry);
  }
  if (destination.suspect) try_next(destination);
  enqueue(entry, true);
}

void Dispatch::fail_transport(Transport& transport, std::string problem) {
  log::warning("transport " + transport.name + " is unavailable: " + problem);
  transport.problem = std::move(problem);
  transport.faults = 0;
  transport.again.arm(parts_.loop.after(parts_.params.transport_retry));
  if (transport.is_report) return; // its requests wait; want_agents() looks at the timer
  transport.unavailable = true;
  const auto defer = [&](Entry& entry) {
    unqueue(entry);
    put_off(*entry.message, entry.recipients, transport);
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
  transport.again.disarm();
  for (const auto& [key, destination] : transport.destinations)
    activate(*destination);
  note(transport);
}

void Dispatch::restore(Transport& transport) {
  restore_transport(transport);
  pump();
}

void Dispatch::look_at_agents() {
  for (const auto& [name, transport] : transports_)
    for (const auto& agent : transport->agents)
      if (agent->is_stuck(parts_.params.agent_limit)) agent->give_up();
}

bool Dispatch::makes_reports(pid_t pid) const {
  return std::find(reporters_.begin(), reporters_.end(), pid) != reporters_.end();
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

} // namespace postrider::qmgr
