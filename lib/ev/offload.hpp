// SPDX-License-Identifier: MIT
// A small thread pool for the few blocking calls (fdatasync, getaddrinfo). A job owns what it uses,
// touches no object of the program and logs nothing; its result returns through the loop, so no
// other code knows threads exist. The deadline ends the wait, not the job: a late result is dropped
// and counted. Bounded: when full, Error busy. Not for master, because master forks.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "ev/condition.hpp"
#include "ev/task.hpp"

namespace postrider::ev {

class Offload {
 public:
  struct Limits {
    std::size_t threads = 2;
    std::size_t queue = 1024;
  };
  explicit Offload(Loop& loop);
  Offload(Loop& loop, Limits limits);
  ~Offload(); // waits for the jobs that run; those still queued are dropped
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  // `job` runs on a pool thread, `done` later on the loop. False when the queue is full.
  bool submit(std::function<void()> job, std::function<void()> done);

  // R must be default-constructible. `job` must be a named std::function (C5).
  template <typename R>
  Task<Result<R>> run(std::function<R()>& job, Deadline deadline,
                      std::string_view what = "a blocking call");

  std::size_t late_results() const { return late_; }
  Loop& loop() { return loop_; }

 private:
  struct Impl;
  Loop& loop_;
  std::unique_ptr<Impl> impl_;
  std::size_t late_ = 0;
};

template <typename R>
Task<Result<R>> Offload::run(std::function<R()>& job, Deadline deadline, std::string_view what) {
  struct Shared {
    explicit Shared(Loop& loop) : done(loop) {}
    std::optional<R> value;
    Condition done;
    bool abandoned = false;
  };
  auto shared = std::make_shared<Shared>(loop_);
  std::function<void()> work = [shared, job] { shared->value.emplace(job()); };
  std::function<void()> finish = [this, shared] {
    if (shared->abandoned) ++late_;
    shared->done.notify_all();
  };
  const bool accepted = submit(std::move(work), finish);
  if (!accepted) co_return Error(ErrorKind::busy, "too many blocking calls wait already");
  // `value` belongs to the pool thread until `finish` has run on the loop, so wait even when set.
  Result<void> woken = co_await shared->done.wait(deadline, what);
  if (!woken) {
    shared->abandoned = true;
    co_return woken.error();
  }
  co_return std::move(*shared->value);
}

} // namespace postrider::ev
