// SPDX-License-Identifier: MIT
// Task<T>: a lazy coroutine that is awaited exactly once, where it was made (C1). Its parameters
// outlive it because its caller waits; what may be a parameter is checked by the compiler (C2).
// RootTask (root.hpp) is where a chain of tasks begins.
#pragma once

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/check.hpp"
#include "ev/lent.hpp"
#include "ev/wait.hpp"

namespace postrider::ev {

template <typename T>
class Task;

namespace task_detail {

struct PromiseBase {
  RootState* root = nullptr;
  std::coroutine_handle<> continuation;
  bool started = false;
  bool queued = false; // hops through the ready queue before its first line (C6)

  struct Start {
    PromiseBase& promise;
    explicit Start(PromiseBase& p) : promise(p) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {
      promise.started = true;
      promise.queued = false;
      promise.root->loop->runs(promise.root->number);
    }
  };
  struct Finish {
    Finish() noexcept {}
    bool await_ready() const noexcept { return false; }
    template <typename P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> self) const noexcept {
      return self.promise().continuation;
    }
    void await_resume() const noexcept {}
  };
  Start initial_suspend() noexcept { return Start(*this); }
  Finish final_suspend() noexcept { return {}; }
  [[noreturn]] void unhandled_exception() {
    check_failed("no exception leaves a Task", __FILE__, __LINE__);
  }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

// C2 as code.
template <typename Arg>
constexpr bool may_be_parameter() {
  using Bare = std::remove_cvref_t<Arg>;
  if constexpr (std::is_rvalue_reference_v<Arg>)
    return false;
  else if constexpr (std::is_lvalue_reference_v<Arg>)
    return !std::is_const_v<std::remove_reference_t<Arg>> || !std::is_class_v<Bare> ||
           !std::is_aggregate_v<Bare>;
  else
    return std::is_trivially_destructible_v<Arg>;
}

} // namespace task_detail

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = task_detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (!handle_) return;
    promise_type& promise = handle_.promise();
    if (promise.queued) promise.root->loop->forget(handle_);
    POSTRIDER_CHECK(!promise.started || handle_.done() || promise.root->torn_down);
    handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  template <typename ParentPromise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<ParentPromise> parent) {
    promise_type& promise = handle_.promise();
    promise.root = parent.promise().root;
    promise.continuation = parent;
    if (promise.root->loop->should_hop()) {
      promise.queued = true;
      promise.root->loop->resume_soon(handle_);
      return std::noop_coroutine();
    }
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  Handle handle_;
};

template <typename T>
Task<T> task_detail::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> task_detail::Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

} // namespace postrider::ev

template <typename T, typename... Args>
struct std::coroutine_traits<postrider::ev::Task<T>, Args...> {
  static_assert((postrider::ev::task_detail::may_be_parameter<Args>() && ...),
                "a Task takes trivially destructible values, T&, const T& of a class with a "
                "constructor, or ev::Lent<T> (C2)");
  using promise_type = typename postrider::ev::Task<T>::promise_type;
};
