// SPDX-License-Identifier: MIT
// Channel<T>: a bounded first-in first-out queue between tasks. close() lets readers take what is
// left and then see Error closed.
#pragma once

#include <deque>

#include "ev/condition.hpp"
#include "ev/task.hpp"

namespace postrider::ev {

template <typename T>
class Channel {
 public:
  Channel(Loop& loop, std::size_t capacity) : capacity_(capacity), filled_(loop), drained_(loop) {}

  bool full() const { return items_.size() >= capacity_; }
  std::size_t size() const { return items_.size(); }
  // False when full or closed.
  bool try_push(T item) {
    if (full() || closed_) return false;
    items_.push_back(std::move(item));
    filled_.notify_one();
    return true;
  }
  // Waits for room, then leaves pushing to the caller (an owning parameter is not for a Task).
  Task<Result<void>> wait_room(Deadline deadline) {
    while (full() && !closed_) {
      Result<void> woken = co_await drained_.wait(deadline, "room in a channel");
      if (!woken) co_return woken.error();
    }
    if (closed_) co_return Error(ErrorKind::closed, "channel closed");
    co_return Result<void>();
  }
  Task<Result<T>> pop(Deadline deadline) {
    while (items_.empty()) {
      if (closed_) co_return Error(ErrorKind::closed, "channel closed");
      Result<void> woken = co_await filled_.wait(deadline, "an item of a channel");
      if (!woken) co_return woken.error();
    }
    T item = std::move(items_.front());
    items_.pop_front();
    drained_.notify_one();
    co_return std::move(item);
  }
  void close() {
    closed_ = true;
    filled_.notify_all();
    drained_.notify_all();
  }

 private:
  std::size_t capacity_;
  std::deque<T> items_;
  Condition filled_;
  Condition drained_;
  bool closed_ = false;
};

} // namespace postrider::ev
