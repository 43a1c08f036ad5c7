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
    virtual void stop() = 0;
  };
  Control(ev::Loop& loop, Fd listener, Mediator& mediator);
  ~Control();

 private:
  static constexpr std::size_t kMostClients = 16;
  ev::RootTask serve(Fd client);
  ev::Loop& loop_;
  Mediator& mediator_;
  ev::Group clients_;
  daemon::Acceptor acceptor_;
};

} // namespace postrider::master
