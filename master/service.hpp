// SPDX-License-Identifier: MIT
// One service of master.cf at work: its listening sockets, its children, its back-off. The state
// machine is service_state.hpp; this class performs the acts and turns facts into events.
//
// S1: the listening sockets outlive every child. S2: never more children than the limit, not
// counting those that leave; an exclusive service starts no second child before the first is gone.
// S3: a listening socket that a child has spoiled is opened anew within kAlivePeriod, or when the
// child is gone.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "child.hpp"
#include "deaths.hpp"
#include "listener.hpp"
#include "proto/ctl_master.hpp"
#include "service_state.hpp"
#include "service_table.hpp"
#include "wakeup.hpp"

namespace postrider::master {

// What all services share; owned by Master, changed at reload.
struct Surroundings {
  ev::Loop& loop;
  std::uint32_t generation = 1;
  int lifeline = -1; // read end
  int log = -1;
  bool keep_stderr = false;
  Duration throttle_time{};
  Duration silence_limit{};
  std::vector<std::string> environment;
  // A process of the program `by` says that `pid` breaks the rules.
  std::function<void(std::string_view by, pid_t pid)> accused;
};

class Service {
 public:
  // `stopped` is called when a stopping service has lost its last child; it may destroy the service
  // only later, not from within.
  Service(Surroundings& around, ServicePlan plan, std::vector<Listener> listeners,
          std::function<void()> stopped);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const std::string& key() const { return plan_.key; }
  State state() const { return state_; }
  bool stopped() const { return state_ == State::stopped; }

  // A child that an earlier master started. Before start().
  void inherit(pid_t pid, std::uint32_t generation, Fd status);
  const std::vector<std::unique_ptr<Child>>& children() const { return children_; }

  void start() { apply(Event::start); }
  void stop() { apply(Event::stop); }
  // A new generation: the children of the old one apply it or retire. Sockets that the plan still
  // names are kept; `fresh` holds those that it names in addition.
  void reload(ServicePlan plan, std::vector<Listener> fresh);
  const std::vector<Listener>& listeners() const { return listeners_; }

  // True when the process was a child of this service. `status` is what waitpid(2) said.
  bool reap(pid_t pid, int status);
  bool has_child(pid_t pid) const;
  // Kills the process if it is a child of this service; false: it is not.
  bool kill_misbehaving(pid_t pid, std::string_view accuser);
  proto::MasterService report() const;

 private:
  void apply(Event event);
  void perform(Act act);
  void fork_child();
  void watch();
  void unwatch() { watches_.clear(); }
  // Whether one was spoiled. `dead`: a child that has just ended.
  bool look_at_listeners(pid_t dead = 0);
  void settle(); // facts about the children -> has_free or none_free
  void died(std::string cause, Duration ready_for, bool had_clients);
  bool adopt(const std::vector<ListenAt>& wanted, std::vector<Listener> fresh);
  void news(Child& child, Child::News news);
  bool has_room() const;
  std::size_t count(Child::State state) const;
  std::string title() const { return "service " + plan_.entry.name; }

  Surroundings& around_;
  ServicePlan plan_;
  std::vector<Listener> listeners_;
  std::function<void()> on_stopped_;
  State state_ = State::stopped;
  std::vector<std::unique_ptr<Child>> children_;
  std::vector<std::unique_ptr<ev::FdWatch>> watches_;
  Deaths deaths_;
  ev::Timer backoff_;
  SteadyTime backoff_until_{};
  Duration next_pause_{};
  Wakeup wakeup_;
  bool used_ = false;
};

} // namespace postrider::master
