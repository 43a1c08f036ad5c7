// SPDX-License-Identifier: MIT
#include "daemon/status.hpp"

#include <unistd.h>

namespace postrider::daemon {

using proto::ChildState;

void StatusReporter::say(ChildState state) {
  if (state == ChildState::busy || state == ChildState::free) {
    const bool busy = state == ChildState::busy;
    if (busy == busy_) return;
    busy_ = busy;
  }
  if (!write(state)) unsent_ = state;
}

void StatusReporter::beat() {
  if (unsent_ && write(*unsent_)) {
    unsent_.reset();
    return;
  }
  write(ChildState::alive);
}

// Lost when the pipe is full: who misbehaves will be met again.
void StatusReporter::accuse(pid_t pid) {
  write(ChildState::accuses, static_cast<std::uint32_t>(pid));
}

bool StatusReporter::write(ChildState state) { return write(state, clients_); }

bool StatusReporter::write(ChildState state, std::uint32_t clients) {
  if (!pipe_) return true;
  const auto bytes = proto::to_bytes({.pid = static_cast<std::uint32_t>(::getpid()),
                                      .generation = generation_,
                                      .state = state,
                                      .jail = jail_,
                                      .clients = clients});
  // A record is far below PIPE_BUF: written whole or not at all. When master is gone (EPIPE) the
  // lifeline says so.
  return ::write(pipe_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
}

} // namespace postrider::daemon
