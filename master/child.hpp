// SPDX-License-Identifier: MIT
// One child process as master sees it. What the child says about itself is a rumour: it is checked
// against pid, generation and the state that master knows, and what cannot be is ignored.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/fd.hpp"
#include "ev/loop.hpp"
#include "proto/child_status.hpp"

namespace postrider::master {

class Child {
 public:
  enum class State { starting, free, busy, leaving };
  enum class News { ready, busy, free, leaving, reloaded, alive, hangs, accuses };
  using Tell = std::function<void(Child&, News)>;

  // `status` is the read end, non-blocking. `silence`: longest time without a sign of life.
  Child(ev::Loop& loop, pid_t pid, std::uint32_t generation, Fd status, Duration silence,
        Tell tell);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  State state() const { return state_; }
  std::uint32_t generation() const { return generation_; }
  std::uint32_t clients() const { return clients_; }
  pid_t accused() const { return accused_; } // with News::accuses
  // Its death counts as one at once: it was killed because it broke rules.
  void disgrace() { disgraced_ = true; }
  bool disgraced() const { return disgraced_; }
  std::uint16_t jail() const { return jail_; }
  SteadyTime started() const { return started_; }
  // How long it has been ready; negative when it never was.
  Duration ready_for() const;

  // One that an earlier master started: from now on it leaves, with its clients, as fast as they
  // do.
  void dismiss();
  // What its status records say, and where they are read.
  std::uint32_t born_generation() const { return born_generation_; }
  int status_fd() const { return status_.get(); }

  // Told to retire, or to stop. A child that is still starting is told as soon as it is ready.
  void retire(std::uint32_t next_generation);
  void stop();
  // The same, because it is of no more use: it counts as leaving from now on, whatever it says.
  void give_up();
  void kill();
  bool asked_to_go() const { return stop_asked_ || retire_asked_; }
  // Reads what it said last, before its death is judged.
  void drain_status();

 private:
  void readable();
  void heard(const proto::StatusRecord& record);
  void signal(int number);

  ev::Loop& loop_;
  pid_t pid_;
  std::uint32_t generation_;      // whose configuration it serves
  std::uint32_t born_generation_; // what its records say
  std::uint32_t next_generation_ = 0;
  Fd status_;
  Duration silence_;
  Tell tell_;
  std::string partial_;
  State state_ = State::starting;
  SteadyTime started_;
  SteadyTime ready_at_{};
  std::uint32_t clients_ = 0;
  std::uint16_t jail_ = 0;
  pid_t accused_ = 0;
  bool disgraced_ = false;
  bool retire_asked_ = false;
  bool stop_asked_ = false;
  bool bad_record_logged_ = false;
  std::unique_ptr<ev::FdWatch> watch_;
  ev::Timer silence_timer_;
  ev::Timer more_; // there is more to read than one turn should spend on it
  ev::Timer kill_timer_;
};

std::string_view to_string(Child::State state);

} // namespace postrider::master
