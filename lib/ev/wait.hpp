// SPDX-License-Identifier: MIT
// Wait: what every leaf awaiter of the suite is. It lives in the frame of the waiting coroutine,
// ends by being woken, by its deadline, or by cancellation of its root task (C7), and unregisters
// itself when the frame is destroyed (C8). Cancellation is sticky: once a root is cancelled, every
// further wait of it returns Error cancelled at once, so clean-up code runs but does not linger.
#pragma once

#include <coroutine>
#include <source_location>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "ev/loop.hpp"

namespace postrider::ev {

class Group;
class Wait;

// What the tasks of one root share. Owned by the root's promise.
struct RootState {
  Loop* loop = nullptr;
  Group* group = nullptr;
  Wait* wait = nullptr; // the leaf it waits in now; null while it runs or is ready
  std::string label;
  std::uint32_t number = 0; // see Loop::show_running
  bool cancelled = false;
  bool torn_down = false; // frames are being destroyed from outside
};

class Wait {
 public:
  Wait(Loop& loop, std::string_view what, Deadline deadline, std::source_location where)
      : loop_(loop), what_(what), deadline_(deadline), where_(where), timer_(loop, on_timer, this) {
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  virtual ~Wait();

  // REQUIRES: `what` outlives the wait (a literal).
  std::string_view what() const { return what_; }
  Deadline deadline() const { return deadline_; }
  SteadyTime since() const { return since_; }
  const std::source_location& where() const { return where_; }

  void cancel(); // by Group

 protected:
  enum class State { idle, waiting, woken, timed_out, cancelled };

  // For await_suspend: false when the coroutine must go on at once (cancelled already).
  template <typename Promise>
  bool suspend(std::coroutine_handle<Promise> handle) {
    return begin(handle, *handle.promise().root);
  }
  // Ends the wait well; the coroutine goes on from the ready queue.
  void wake() { finish(State::woken); }
  bool waiting() const { return state_ == State::waiting; }
  // For await_resume.
  Result<void> result() const;
  Loop& loop() { return loop_; }

  // Leave whatever list the derived class stands in. Called once, before the coroutine goes on
  // after time-out or cancellation, and from destructors of derived classes.
  virtual void detach() = 0;

 private:
  bool begin(std::coroutine_handle<> handle, RootState& root);
  void finish(State state);
  static void on_timer(void* self);

  Loop& loop_;
  std::string_view what_;
  Deadline deadline_;
  std::source_location where_;
  SteadyTime since_{};
  Timer timer_;
  std::coroutine_handle<> handle_;
  RootState* root_ = nullptr;
  State state_ = State::idle;
  bool queued_ = false; // handed to the ready queue, not resumed yet
};

// co_await sleep_until(loop, deadline): Error cancelled, or ok when the time has come.
class SleepUntil : public Wait {
 public:
  SleepUntil(Loop& loop, Deadline deadline,
             std::source_location where = std::source_location::current())
      : Wait(loop, "sleep", deadline, where) {}
  bool await_ready() const { return false; }
  template <typename P>
  bool await_suspend(std::coroutine_handle<P> h) {
    return suspend(h);
  }
  Result<void> await_resume() const {
    auto ended = result();
    if (!ended && ended.error().kind() == ErrorKind::timeout) return {};
    return ended;
  }

 protected:
  void detach() override {}
};

inline SleepUntil sleep_for(Loop& loop, Duration duration,
                            std::source_location where = std::source_location::current()) {
  return SleepUntil(loop, loop.after(duration), where);
}

} // namespace postrider::ev
