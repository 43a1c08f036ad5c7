// SPDX-License-Identifier: MIT
// From a message that is due to requests at agents, and back. Owns transports, destinations and
// agents. What became of recipients is told to Finish, which writes it down.
//
// Agents: the first connection to a service is made with the first mail for it, a further one when
// those that are there are more than half full. Each agent process accepts one; a connection that
// waits for its process does no harm. A destination's mail goes to the agent that had it last, as
// long as that one has room, so that sessions are used again.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent.hpp"
#include "destination.hpp"
#include "parts.hpp"

namespace postrider::qmgr {

class Dispatch;

struct Transport {
  Transport(Dispatch& dispatch_, std::string name_, const TransportLimits& limits_)
      : dispatch(dispatch_), name(std::move(name_)), limits(limits_), round(limits.turns) {}

  Dispatch& dispatch;
  std::string name;
  TransportLimits limits;
  Round<Destination> round; // destinations that may send now
  std::unordered_map<std::string, std::unique_ptr<Destination>> destinations;
  std::vector<std::unique_ptr<Agent>> agents; // connected; not all of them ready yet
  std::uint32_t capacity = 0;                 // of those that are ready
  std::uint32_t in_flight = 0;
  std::uint64_t queued = 0;
  bool is_report = false;   // bounce: its requests wait and are never deferred
  bool unavailable = false; // no agent to be had: mail is deferred until `again`
  std::string problem;
  std::uint32_t failures = 0;       // connections in a row that came to nothing
  std::uint32_t faults = 0;         // outcomes in a row that blame the transport itself
  std::unique_ptr<ev::Timer> again; // unavailable, or the next connection
  std::unique_ptr<ev::Timer> pause; // transport_rate_delay
  SteadyTime next_start{};
  bool in_pump_list = false;
  Entry* suspect = nullptr; // the one message that is tried alone; see Dispatch::agent_gone
  EntryList suspects;       // those that wait for that
  std::uint64_t gather_round = 0;
  std::uint32_t gather_count = 0;

  bool is_connecting() const;
};

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
  void sweep(); // forgets idle destinations; call every minute or so

  // --- for Agent ---------------------------------------------------------------------------
  void delivered(Entry& entry, Agent& agent, const proto::Delivered& message);
  void reported(Entry& entry, const proto::Reported& message);
  void agent_retires(Agent& agent);

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
  bool settle_without_agent(Message& message, std::uint32_t recipient, const Route& route);
  void enqueue(Entry& entry, bool in_front);
  void unqueue(Entry& entry);
  void activate(Destination& destination);
  std::uint32_t allowance(const Destination& destination) const;
  bool may_start(const Destination& destination) const;
  Agent* choose(Transport& transport, Destination& destination);
  void pump(Transport& transport);
  bool start(Entry& entry, Agent& agent);
  void note(Transport& transport);
  void want_agents(Transport& transport);
  ev::RootTask run_agent(Agent* agent);
  void agent_gone(Agent& agent, const Error& why);
  void give_up_agent(Agent& agent, const Error& why);
  void came_back(Entry& entry);
  void done(Entry& entry);
  void next_suspect(Entry& entry);
  void lost(const Agent::Left& left, std::vector<Destination*>& blamed);
  bool reports_wait() const;
  void forget(Transport& transport, Destination& destination);
  void sweep(Transport& transport, Duration idle);
  void apply(Destination& destination, Happening happening);
  void suspend_queued(Destination& destination);
  void fail_transport(Transport& transport, std::string problem);
  void restore_transport(Transport& transport);

  Parts& parts_;
  std::unordered_map<std::string, std::unique_ptr<Transport>> transports_;
  std::vector<Transport*> to_pump_;
  std::map<pid_t, SteadyTime> unread_; // dead makers of reports; until when they are waited for
  std::uint64_t gather_round_ = 0;
  std::uint64_t in_flight_ = 0;
};

} // namespace postrider::qmgr
