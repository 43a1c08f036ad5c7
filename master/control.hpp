// SPDX-License-Identifier: MIT
// Answers `postrider` over private/master (proto/ctl_master.hpp).
#pragma once

#include <memory>

#include "daemon/acceptor.hpp"
#include "ev/group.hpp"
#include "ipc/channel.hpp"
#include "proto/ctl_master.hpp"

namespace postrider::master {

class Control {
 public:
  class Mediator {
   public:
    virtual ~Mediator() = default;
    virtual proto::MasterStatus status() = 0;
    virtual Result<void> reload() = 0;
    // Returns only when it is not possible.
    virtual Error upgrade() = 0;
    virtual void stop() = 0;
    // Those who are controlled do not control, whatever their user is.
    virtual bool is_worker(pid_t pid) const = 0;
  };
  Control(ev::Loop& loop, Fd listener, Mediator& mediator);
  ~Control();
  int listener() const { return listener_; }

 private:
  static constexpr std::size_t kMostClients = 16;
  ev::RootTask serve(Fd client);
  ev::Loop& loop_;
  Mediator& mediator_;
  int listener_; // the acceptor's
  ev::Group clients_;
  daemon::Acceptor acceptor_;
};

} // namespace postrider::master
