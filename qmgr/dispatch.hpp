// SPDX-License-Identifier: MIT
// From a message that is due to requests at agents, and back. Owns transports, destinations and
// agents. What became of recipients is told to Finish, which writes it down.
//
//   dispatch.cpp        messages to deliveries, deliveries to the queues of destinations
//   dispatch_send.cpp   whose turn it is, to which agent it goes, what comes back
//   dispatch_agents.cpp agent processes, and transports that have none
//   quarantine.cpp      mail that may have killed an agent
//
// Agents: the first connection to a service is made with the first mail for it, a further one when
// those that are there are more than half full. Each agent process accepts one; a connection that
// waits for its process does no harm. A destination's mail goes to the agent that had it last, as
// long as that one has room, so that sessions are used again. When agents are full, a destination
// with less than an equal share of them goes on with the session that has just come free; what is
// beyond the share goes by turns.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent.hpp"
#include "destination.hpp"
#include "parts.hpp"
#include "transport.hpp"

namespace postrider::qmgr {

class Dispatch {
 public:
  explicit Dispatch(Parts& parts);
  ~Dispatch();

  // Makes entries for the recipients that are due, or settles them on the spot. Then either the
  // message has entries, or its round is over: the caller looks.
  void route(Message& message) { route(message, nullptr); }
  // The same with routes that were looked up before; a recipient without one waits.
  using Routes = std::unordered_map<std::uint32_t, Result<Route>>;
  void route(Message& message, const Routes& routes) { route(message, &routes); }
  // Whether it is the turn of this recipient: not settled, and due or asked for.
  bool is_wanted(const Message& message, std::uint32_t recipient) const;
  // A report to be made by bounce.
  void request_report(Message& message, Errand errand, std::vector<std::uint32_t> recipients,
                      std::string send_to);
  // Sends what may go now on all transports that changed. Call after each batch of changes.
  void pump();
  // Takes the entries of a message back that no agent has. Its round may be over then.
  void withdraw(Message& message);

  // Operator: dead destinations and transports are tried at once. `domain` empty: all.
  void flush(const std::string& domain);
  // Begins nothing more.
  void stop();
  void close_agents();
  std::uint64_t in_flight() const { return in_flight_; }
  void segment_was_returned();
  // What this process had committed is known now, and so are the reports that it had made.
  void writer_was_read(pid_t pid);
  // Reports that waited for such news may go.
  void resume_reports();
  // Gives agents up that keep a delivery for ever; call every second.
  void look_at_agents();
  // Whether the process made reports for us, so that mail of its own may be one.
  bool makes_reports(pid_t pid) const;
  void sweep(); // forgets idle destinations; call every minute or so

  // --- for Agent ---------------------------------------------------------------------------
  void delivered(Entry& entry, Agent& agent, const proto::Delivered& message);
  void reported(Entry& entry, const proto::Reported& message);
  void agent_retires(Agent& agent);

  // --- for timers --------------------------------------------------------------------------
  void restore(Transport& transport);
  void resume(Transport& transport);
  void resume(Destination& destination);
  void probe(Destination& destination);

  // --- for Control -------------------------------------------------------------------------
  const std::unordered_map<std::string, std::unique_ptr<Transport>>& transports() const {
    return transports_;
  }
  // What holds a recipient of an active message back.
  struct Standing {
    mail::Gate gate = mail::Gate::none;
    std::string text;
    bool in_flight = false;
  };
  Standing standing(const Entry& entry) const;

 private:
  Transport& transport_of(const std::string& name);
  Destination& destination_of(Transport& transport, const Route& route);
  void route(Message& message, const Routes* known);
  void place(Message& message, std::uint32_t recipient, const Route& route);
  bool settle_without_agent(Message& message, std::uint32_t recipient, const Route& route);
  void pass_on(Entry& entry, const std::string& pass_to);
  void enqueue_from(Message& message, std::size_t first);
  void enqueue(Entry& entry, bool in_front);
  void unqueue(Entry& entry);
  void put_off(Message& message, const std::vector<std::uint32_t>& recipients,
               const Destination& dead);
  void put_off(Message& message, const std::vector<std::uint32_t>& recipients,
               const Transport& unavailable);
  void recount(Destination& destination);
  void forget(Transport& transport, Destination& destination);
  void sweep(Transport& transport, Duration idle);
  void apply(Destination& destination, Happening happening);
  void suspend_queued(Destination& destination);

  std::uint32_t allowance(const Destination& destination) const;
  bool may_start(const Destination& destination) const;
  void activate(Destination& destination);
  void note(Transport& transport);
  Agent* choose(Transport& transport, Destination& destination);
  void pump(Transport& transport);
  void go_on(Destination& destination, Agent& agent);
  bool start(Entry& entry, Agent& agent);
  void came_back(Entry& entry);
  void done(Entry& entry);
  bool reports_wait() const;

  void want_agents(Transport& transport);
  ev::RootTask run_agent(Agent* agent);
  void agent_gone(Agent& agent, const Error& why);
  void give_up_agent(Agent& agent, const Error& why);
  void lost(const Agent::Left& left);
  void fail_transport(Transport& transport, std::string problem);
  void restore_transport(Transport& transport);

  bool needs_trial(const Entry& entry) const;
  void quarantine(Entry& entry);
  void end_trial(Entry& entry, bool on_trial);
  void try_next(Destination& destination);
  void hold_trials(Transport& transport);
  bool is_closed(const Agent& agent) const;
  void clear_of_suspicion(Entry& entry);
  void accuse(Agent& agent, const std::vector<Agent::Left>& left);
  void blame(Message& message, Destination& destination);
  bool blame(Destination& destination, queue::Id killer);
  void withdraw_condemned(const std::vector<queue::Id>& ids);

  Parts& parts_;
  std::unordered_map<std::string, std::unique_ptr<Transport>> transports_;
  std::vector<Transport*> to_pump_;
  std::map<pid_t, SteadyTime> unread_; // dead makers of reports; until when they are waited for
  std::deque<pid_t> reporters_;        // the last ones, gone or not
  std::uint64_t gather_round_ = 0;
  std::uint64_t in_flight_ = 0;
};

} // namespace postrider::qmgr
