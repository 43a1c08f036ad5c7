// SPDX-License-Identifier: MIT
#include "daemon/watchdog.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <unistd.h>

#include "proto/child_status.hpp"

namespace postrider::daemon {

namespace {

// In signal context: the log's buffers are out of reach.
void bark(int) {
  static constexpr char kText[] = "watchdog: no progress; giving up\n";
  if (::write(2, kText, sizeof kText - 1) < 0) {
  }
  ::_exit(70); // EX_SOFTWARE of sysexits.h
}

} // namespace

Watchdog::Watchdog(Duration limit)
    : seconds_(static_cast<unsigned>(
          std::chrono::ceil<std::chrono::seconds>(
              std::clamp<Duration>(limit, std::chrono::seconds(1), proto::kSilenceLimit))
              .count())) {
  struct sigaction action {};
  action.sa_handler = bark;
  ::sigaction(SIGALRM, &action, nullptr);
  pat();
}

Watchdog::~Watchdog() {
  ::alarm(0);
  ::signal(SIGALRM, SIG_DFL);
}

void Watchdog::pat() { ::alarm(seconds_); }

} // namespace postrider::daemon
