// SPDX-License-Identifier: MIT
// The listening sockets of one service. Master opens them, keeps them across reloads and restarts
// of children, and never accepts on them.
#pragma once

#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "service_table.hpp"

namespace postrider::master {

class Listener {
 public:
  // REQUIRES the working directory is the queue directory. An address that is still taken (by a
  // child of a master that was killed) is tried again until `patience` is over.
  static Result<Listener> open(const ListenAt& at, Duration patience);

  // One that an earlier master opened.
  static Listener of(const ListenAt& at, Fd fd) { return Listener(at, std::move(fd)); }

  // The same socket a second time, for a service that was renamed.
  Result<Listener> duplicate() const;

  const ListenAt& at() const { return at_; }
  int fd() const { return fd_.get(); }
  // "127.0.0.1:2525" with the port that the kernel chose, or the path.
  std::string name() const;
  // What a process that holds it has done to it, and so to all who do: "shut down" (nobody can
  // connect any more, and a UNIX socket cannot be brought back), "made to block"; empty: nothing.
  std::string_view harm() const;
  // Another socket in its place. On error the old one stays.
  Result<void> open_anew();
  // The UNIX path is taken away: nobody can connect any more.
  void remove_path();

 private:
  Listener(const ListenAt& at, Fd fd) : at_(at), fd_(std::move(fd)) {}
  ListenAt at_;
  Fd fd_;
};

} // namespace postrider::master
