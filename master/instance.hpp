// SPDX-License-Identifier: MIT
// What makes this master the only one of its queue directory, and the places that it prepares
// there.
#pragma once

#include <chrono>
#include <string>

#include "base/fd.hpp"
#include "config/settings.hpp"

namespace postrider::master {

// flock(2) on pid/master.pid, held as long as this lives (and by the process forked to go on in the
// background, which shares it).
class InstanceLock {
 public:
  // BLOCKS up to `patience`: a master that was just killed holds it until it is quite gone. Error
  // busy names the process that holds it.
  static Result<InstanceLock> take(const std::string& path, std::chrono::milliseconds patience);
  Result<void> write_pid();
  void clear_pid();

 private:
  explicit InstanceLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// Makes queue and data directory and the directories of sockets where they are missing, and gives
// them to mail_owner when master is root's. Enters the queue directory.
Result<void> prepare_directories(const config::Settings& settings, bool root);

// pid/master.pid, relative to the queue directory.
std::string pid_path(const config::Settings& settings);

// The log file that all processes write to; no Fd when the log goes to syslog. `foreground` allows
// /dev/stdout.
Result<Fd> open_log_file(const config::Settings& settings, bool foreground, bool root);

} // namespace postrider::master
