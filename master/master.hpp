// SPDX-License-Identifier: MIT
// Supervises the services of master.cf: opens their sockets, starts, limits, watches and restarts
// their processes, reloads without closing a socket, stops with a limit. It parses nothing that
// comes from the network or from mail, and makes no decision about mail.
//
// M1: whatever can fail at start fails in prepare(), before the process goes to the background.
// M2: a reload that cannot be completed changes nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control.hpp"
#include "handover.hpp"
#include "instance.hpp"
#include "service.hpp"

namespace postrider::master {

struct MasterOptions {
  std::string config_directory;
  bool foreground = false;
  bool verbose = false;
};

class Master final : public Control::Mediator {
 public:
  Master(MasterOptions options, std::optional<Inheritance> inherited);
  ~Master() override;

  // Configuration, directories, lock, log, listening sockets. `problems` gets every line that is
  // worth showing to who started us.
  Result<void> prepare(std::vector<std::string>& problems);
  // Runs until stopped. `ready` is called when everything is set up. Returns the exit status.
  int run(const std::function<void()>& ready);

  proto::MasterStatus status() override;
  Result<void> reload() override;
  Error upgrade() override;
  void stop() override;
  bool is_worker(pid_t pid) const override;

 private:
  using Sockets = std::vector<std::vector<Listener>>; // by service of a plan

  // An earlier master's children: they go, and those that no service has an interest in at once.
  void take_over_children();
  Handover make_handover();
  // Opens those points of the plan that no service holds yet.
  Result<Sockets> open_listeners(const Plan& plan, Duration patience);
  const Listener* find_listener(const ListenAt& at) const;
  Service* find_service(std::string_view key);
  void apply_settings();
  void add_service(ServicePlan plan, std::vector<Listener> listeners);
  void reap();
  void accused(std::string_view by, pid_t pid);
  void service_stopped();
  std::vector<std::string> make_environment() const;

  MasterOptions options_;
  std::optional<Inheritance> inherited_; // until run()
  Host host_;
  std::optional<config::Settings> settings_;
  std::optional<Plan> plan_; // until run()
  Sockets sockets_;          // the same
  std::optional<InstanceLock> lock_;
  Fd log_file_;
  Fd control_socket_;
  Fd lifeline_read_;
  Fd lifeline_write_; // closes with this process: the children's end of file
  std::unique_ptr<ev::Loop> loop_;
  std::optional<Surroundings> around_;
  std::vector<std::unique_ptr<Service>> services_;
  std::vector<std::unique_ptr<Service>> leaving_; // no longer in master.cf, children drain
  std::unique_ptr<Control> control_;
  std::string sharing_; // a warning, from the start on
  SteadyTime started_{};
  bool stopping_ = false;
};

} // namespace postrider::master
