// SPDX-License-Identifier: MIT
// Tells master how this process is doing. Never waits: when the pipe is full the newest state is
// kept and sent with the next beat. Without a master it does nothing.
#pragma once

#include <optional>
#include <sys/types.h>

#include "base/fd.hpp"
#include "proto/child_status.hpp"

namespace postrider::daemon {

class StatusReporter {
 public:
  StatusReporter(Fd pipe, std::uint32_t generation)
      : pipe_(std::move(pipe)), generation_(generation) {}

  void set_jail(std::uint16_t bits) { jail_ = bits; }
  void set_clients(std::uint32_t clients) { clients_ = clients; }
  // busy and free are told only when they change something.
  void say(proto::ChildState state);
  // A process of the suite that broke the rules of a conversation: master may kill it.
  void accuse(pid_t pid);
  // Proof of life; retries what did not fit before.
  void beat();

 private:
  bool write(proto::ChildState state);
  bool write(proto::ChildState state, std::uint32_t clients);
  Fd pipe_;
  std::uint32_t generation_;
  std::uint16_t jail_ = 0;
  std::uint32_t clients_ = 0;
  bool busy_ = false;
  std::optional<proto::ChildState> unsent_;
};

} // namespace postrider::daemon
