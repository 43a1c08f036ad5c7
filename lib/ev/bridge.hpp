// SPDX-License-Identifier: MIT
// Bridge<T>: from a C library's callback to an awaiter. The Bridge stands in the waiting task's
// frame; the C callback calls complete() at most once, possibly before the wait begins. When the
// wait ends otherwise (deadline, cancellation) the caller must cancel the C operation before the
// Bridge goes out of scope.
#pragma once

#include <optional>

#include "ev/condition.hpp"
#include "ev/task.hpp"

namespace postrider::ev {

template <typename T>
class Bridge {
 public:
  explicit Bridge(Loop& loop) : done_(loop) {}
  void complete(T value) {
    value_.emplace(std::move(value));
    done_.notify_all();
  }
  bool completed() const { return value_.has_value(); }
  // REQUIRES: `what` is a literal.
  Task<Result<T>> wait(Deadline deadline, std::string_view what) {
    while (!value_) {
      Result<void> woken = co_await done_.wait(deadline, what);
      if (!woken) co_return woken.error();
    }
    co_return std::move(*value_);
  }

 private:
  std::optional<T> value_;
  Condition done_;
};

} // namespace postrider::ev
