// SPDX-License-Identifier: MIT
// RootTask: where a chain of tasks begins; it alone may own parameters (C3). Group: owns root
// tasks; started by spawn, never awaited. A Group must be empty when it is destroyed, unless the
// process is ending and tear_down() has destroyed what was left.
#pragma once

#include <coroutine>
#include <list>
#include <string>

#include "ev/condition.hpp"
#include "ev/task.hpp"

namespace postrider::ev {

class Group;

class [[nodiscard]] RootTask {
 public:
  struct promise_type {
    RootState state;
    RootState* root = &state;
    std::list<std::coroutine_handle<promise_type>>::iterator place;
    bool queued = true;

    RootTask get_return_object() {
      return RootTask(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    struct Start {
      promise_type& promise;
      explicit Start(promise_type& p) : promise(p) {}
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) const noexcept {}
      void await_resume() const noexcept {
        promise.queued = false;
        promise.state.loop->runs(promise.state.number);
      }
    };
    struct Finish {
      Finish() noexcept {}
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<promise_type> self) const noexcept;
      void await_resume() const noexcept {}
    };
    Start initial_suspend() noexcept { return Start(*this); }
    Finish final_suspend() noexcept { return {}; }
    void return_void() {}
    [[noreturn]] void unhandled_exception() {
      check_failed("no exception leaves a RootTask", __FILE__, __LINE__);
    }
  };
  using Handle = std::coroutine_handle<promise_type>;

  explicit RootTask(Handle handle) : handle_(handle) {}
  RootTask(RootTask&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ~RootTask() {
    if (handle_) handle_.destroy(); // never spawned
  }

 private:
  friend class Group;
  Handle handle_;
};

class Group {
 public:
  explicit Group(Loop& loop) : loop_(loop), emptied_(loop) {}
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  Loop& loop() { return loop_; }
  // The task begins in this or the next turn of the loop. `label` is what status shows.
  // `number`: what Loop::show_running() shows while it runs. After close() the task is dropped
  // unstarted.
  void spawn(RootTask task, std::string label, std::uint32_t number = 0);
  void close() { closed_ = true; }
  bool closed() const { return closed_; }
  void cancel(); // every task of the group, now; the group may be used on unless closed
  std::size_t size() const { return tasks_.size(); }
  bool empty() const { return tasks_.empty(); }
  // Waits until no task is left.
  Task<Result<void>> wait_empty(Deadline deadline);
  // Destroys the frames of all tasks from outside. Only when the process ends.
  void tear_down();

  struct Line { // for `postrider status sessions`
    std::string label;
    std::string waits_for; // empty: running or ready
    std::string where;     // file:line
    Duration since{};
  };
  std::vector<Line> trace(std::size_t most) const;

 private:
  friend struct RootTask::promise_type::Finish;
  void finished(RootTask::Handle handle);

  Loop& loop_;
  std::list<RootTask::Handle> tasks_;
  Condition emptied_;
  bool closed_ = false;
};

} // namespace postrider::ev
