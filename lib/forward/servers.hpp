// SPDX-License-Identifier: MIT
// The next servers as one process sees them: opens connections to them or finds idle ones, in the
// order of a list of targets, holds their number down, and remembers which are dead. One per
// process; outlives every Connection.
//
//   F1  to one server there are never more connections than smtpd_forward_connection_limit; the
//       ones that are saying goodbye do not count
//   F2  a target that could not be reached is tried behind the others for
//       smtpd_forward_dead_time, and never left out
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "forward/setup.hpp"
#include "smtpclient/client.hpp"

namespace postrider::forward {

// For whom a connection is wanted.
struct Asking {
  std::string id; // of the message, for the log
  std::string sender;
  std::int64_t arrival = 0;   // unix time, microseconds
  smtpclient::LoginPtr login; // the client's own; smtpd_forward_auth = forward only
};

// A place among the connections to one server.
class Slot {
 public:
  struct Gate {
    explicit Gate(ev::Loop& loop) : changed(loop) {}
    std::size_t used = 0;
    ev::Condition changed;
  };
  Slot() = default;
  explicit Slot(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) { ++gate_->used; }
  Slot(Slot&& other) noexcept : gate_(std::move(other.gate_)) {}
  Slot& operator=(Slot&& other) noexcept {
    std::swap(gate_, other.gate_);
    return *this;
  }
  ~Slot() {
    if (!gate_) return;
    --gate_->used;
    gate_->changed.notify_one();
  }

 private:
  std::shared_ptr<Gate> gate_;
};

struct Connection {
  std::unique_ptr<smtpclient::Session> session;
  smtpclient::Client* client = nullptr;
  Kind kind = Kind::smtp;
  bool reused = false;
  Slot slot;
  Connection() {}
};

// A connection that is ready for MAIL, or why there is none; then `peer` is who was asked last.
struct Reached {
  std::unique_ptr<Connection> connection;
  smtpclient::Trouble trouble;
  smtpclient::Peer peer;
  Reached() {}
};

class Servers {
 public:
  // Error: the resolver cannot be made. `offload` outlives the Servers.
  static Result<std::unique_ptr<Servers>> create(ev::Loop& loop, Setup setup, ev::Offload& offload);
  // For tests: with their own resolver.
  Servers(ev::Loop& loop, Setup setup, dns::Resolver& resolver, ev::Offload* offload);
  ~Servers();
  void stop(); // before the loop ends; no Connection lives

  const Rules& rules() const { return setup_.rules; }
  maps::MapList& maps() { return setup_.maps; }
  ev::Loop& loop() { return loop_; }
  Result<Targets> parse(std::string_view text) const { return parse_targets(text, setup_.options); }

  // WAITS. The first of the targets that can be reached: TLS and login included.
  ev::Task<Reached> reach(const Targets& targets, ev::Lent<const Asking> asking);
  // Keeps it for the next message, or says goodbye. `unfinished`: content was begun and not ended,
  // so that nothing more may be said.
  void give_back(std::unique_ptr<Connection> connection, bool unfinished);

 private:
  std::vector<const Target*> in_order(const Targets& targets);
  ev::Task<Reached> reach_one(ev::Lent<const Target> target, ev::Lent<const Asking> asking);
  ev::Task<Reached> reach_endpoint(ev::Lent<const Target> target,
                                   ev::Lent<const smtpclient::Endpoint> endpoint,
                                   ev::Lent<const Asking> asking);
  ev::Task<Reached> connect(smtpclient::Client& client,
                            ev::Lent<const smtpclient::Endpoint> endpoint,
                            ev::Lent<const smtpclient::Occasion> occasion);
  ev::Task<Result<smtpclient::LoginPtr>>
  login_for(ev::Lent<const Target> target, const std::string& host, ev::Lent<const Asking> asking);
  ev::Task<Result<Slot>> wait_for_slot(ev::Lent<const smtpclient::Peer> peer,
                                       ev::Deadline deadline);
  ev::Task<std::unique_ptr<smtpclient::Session>> idle_session(smtpclient::Client& client,
                                                              ev::Lent<const smtpclient::Peer> peer,
                                                              const std::string& security);
  void remember_dead(const Target& target, const smtpclient::Trouble& trouble);

  ev::Loop& loop_;
  Setup setup_;
  std::unique_ptr<dns::Resolver> own_resolver_;
  std::array<std::unique_ptr<smtpclient::Client>, kKinds> clients_;
  std::unordered_map<std::string, std::shared_ptr<Slot::Gate>> gates_; // by server
  std::unordered_map<std::string, SteadyTime> dead_;                   // by target; until when
};

} // namespace postrider::forward
