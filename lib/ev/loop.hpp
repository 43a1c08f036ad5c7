// SPDX-License-Identifier: MIT
// The event loop of a process: owns libevent's event_base, the timers and the queue of coroutines
// that are ready to go on. One per process, one thread. Only lib/ev and lib/dns see libevent.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "ev/deadline.hpp"

struct event;
struct event_base;

namespace postrider::ev {

class Loop;
struct RootState;

// A timer in the loop's heap. Arming, moving and disarming cost O(log n) and no system call.
// Disarms itself when destroyed. The callback may destroy the Timer.
class Timer {
 public:
  using Callback = void (*)(void* owner);
  Timer(Loop& loop, Callback callback, void* owner)
      : loop_(loop), callback_(callback), owner_(owner) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { disarm(); }

  void arm(Deadline deadline); // never: disarms
  void disarm();
  bool armed() const { return slot_ != kNoSlot; }

 private:
  friend class Loop;
  static constexpr std::size_t kNoSlot = static_cast<std::size_t>(-1);
  Loop& loop_;
  Callback callback_;
  void* owner_;
  SteadyTime due_{};
  std::size_t slot_ = kNoSlot;
};

// Watches one descriptor for as long as it lives, edge-triggered: one registration with the kernel
// per descriptor, none per wait. Callers try the call first and wait only after EAGAIN.
// The callback receives which directions became ready; errors and hang-ups report both.
class FdWatch {
 public:
  using Callback = void (*)(void* owner, bool readable, bool writable);
  FdWatch(Loop& loop, int fd, Callback callback, void* owner);
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  ~FdWatch(); // before the descriptor is closed

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

class Loop {
 public:
  explicit Loop(Clock& clock = system_clock());
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop(). Each turn: events, then due timers, then ready coroutines, then turn hooks.
  void run();
  void stop() { stopping_ = true; }
  // One turn; waits for an event when `may_wait` and nothing is ready. For tests and run_task.
  void turn(bool may_wait);

  Clock& clock() { return clock_; }
  SteadyTime now() { return clock_.steady(); }
  Deadline after(Duration duration) { return Deadline::at(now() + duration); }

  // The coroutine goes on in this or the next turn, in order of calling.
  void resume_soon(std::coroutine_handle<> handle) { ready_.push_back(handle); }
  // Takes a handle back that was handed to resume_soon (its frame is about to be destroyed).
  void forget(std::coroutine_handle<> handle);

  // Called at the end of every turn: where channels flush what was gathered, and the log is
  // written. Returns a number for remove_turn_hook.
  std::size_t add_turn_hook(std::function<void()> hook);
  void remove_turn_hook(std::size_t number);

  // Calls `handler` in the loop (not in signal context) whenever the signal arrives.
  void on_signal(int number, std::function<void()> handler);

  ::event_base* base() { return base_; } // for lib/dns only

  // From now on `place` says for whom code runs: the number of the root task (Group::spawn), 0 when
  // it is no task's, or one's without a number. The memory may be another process's to read when
  // this one has died of what it ran. Null: nowhere.
  void show_running(std::uint32_t* place);
  void runs(std::uint32_t number) {
    __atomic_store_n(shown_, number, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); // before whatever it is that runs
  }

  // C6: counts awaits that did not suspend; true every 64th, when the awaiter must hop.
  bool should_hop() { return ++awaits_ % 64 == 0; }

 private:
  friend class Timer;
  void place(std::size_t slot, Timer* timer);
  void sift_up(std::size_t slot);
  void sift_down(std::size_t slot);
  void run_ready();
  void run_timers();

  struct Signal;
  Clock& clock_;
  ::event_base* base_;
  ::event* wake_; // ends the wait when the first timer is due
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> running_;
  std::size_t running_at_ = 0;
  std::vector<Timer*> heap_;
  std::vector<std::pair<std::size_t, std::function<void()>>> hooks_;
  std::size_t next_hook_ = 1;
  std::vector<std::unique_ptr<Signal>> signals_;
  std::uint32_t awaits_ = 0;
  std::uint32_t nobody_looks_ = 0;
  std::uint32_t* shown_ = &nobody_looks_;
  bool stopping_ = false;
};

} // namespace postrider::ev
