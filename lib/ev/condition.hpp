// SPDX-License-Identifier: MIT
// Condition: tasks wait, somebody notifies. As with every condition variable the waiter re-checks
// what it waited for. Destroying a Condition ends its waits as if notified.
#pragma once

#include <source_location>

#include "ev/wait.hpp"

namespace postrider::ev {

class Condition {
 public:
  explicit Condition(Loop& loop) : loop_(loop) {}
  ~Condition() { notify_all(); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  class Awaiter : public Wait {
   public:
    Awaiter(Condition& condition, std::string_view what, Deadline deadline,
            std::source_location where)
        : Wait(condition.loop_, what, deadline, where), condition_(condition) {}
    ~Awaiter() override { detach(); }
    bool await_ready() const { return false; }
    template <typename P>
    bool await_suspend(std::coroutine_handle<P> handle) {
      link();
      return suspend(handle);
    }
    Result<void> await_resume() const { return result(); }

   protected:
    void detach() override { unlink(); }

   private:
    friend class Condition;
    void link();
    void unlink();
    Condition& condition_;
    Awaiter* next_ = nullptr;
    Awaiter* previous_ = nullptr;
    bool linked_ = false;
  };

  Awaiter wait(Deadline deadline, std::string_view what = "condition",
               std::source_location where = std::source_location::current()) {
    return Awaiter(*this, what, deadline, where);
  }
  void notify_one();
  void notify_all();
  bool has_waiters() const { return first_ != nullptr; }

 private:
  Loop& loop_;
  Awaiter* first_ = nullptr;
  Awaiter* last_ = nullptr;
};

} // namespace postrider::ev
