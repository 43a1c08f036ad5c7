// SPDX-License-Identifier: MIT
#include "ev/offload.hpp"

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace postrider::ev {

struct Offload::Impl {
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };
  Limits limits;
  Fd wake;
  std::mutex mutex; // protects the five below
  std::condition_variable arrived;
  std::deque<Job> waiting;
  std::deque<std::function<void()>> finished;
  bool stopping = false;
  std::size_t pending = 0; // waiting or running
  std::vector<std::thread> threads;
  std::unique_ptr<FdWatch> watch;

  void serve() {
    std::unique_lock lock(mutex);
    while (true) {
      arrived.wait(lock, [&] { return stopping || !waiting.empty(); });
      if (stopping) return;
      Job job = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      job.work();
      job.work = nullptr;
      lock.lock();
      finished.push_back(std::move(job.done));
      const std::uint64_t one = 1;
      if (::write(wake.get(), &one, sizeof one) < 0) {
      } // full counter wakes just as well
    }
  }

  void deliver() {
    std::uint64_t count;
    if (::read(wake.get(), &count, sizeof count) < 0) {
    }
    std::deque<std::function<void()>> batch;
    {
      const std::lock_guard lock(mutex);
      batch.swap(finished);
      pending -= batch.size();
    }
    for (auto& done : batch)
      done();
  }
};

Offload::Offload(Loop& loop) : Offload(loop, Limits{}) {}

Offload::Offload(Loop& loop, Limits limits) : loop_(loop), impl_(std::make_unique<Impl>()) {
  impl_->limits = limits;
  impl_->wake = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  POSTRIDER_CHECK(bool(impl_->wake));
  impl_->watch = std::make_unique<FdWatch>(
      loop, impl_->wake.get(), [](void* self, bool, bool) { static_cast<Impl*>(self)->deliver(); },
      impl_.get());
  // Signals are the loop thread's business.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigdelset(&all, SIGSYS); // of the thread that it is about: a refused call (lib/sandbox)
  pthread_sigmask(SIG_BLOCK, &all, &before);
  for (std::size_t i = 0; i < limits.threads; ++i)
    impl_->threads.emplace_back([impl = impl_.get()] { impl->serve(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Offload::~Offload() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->arrived.notify_all();
  for (std::thread& thread : impl_->threads)
    thread.join();
}

bool Offload::submit(std::function<void()> job, std::function<void()> done) {
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->pending >= impl_->limits.queue + impl_->limits.threads) return false;
    ++impl_->pending;
    impl_->waiting.push_back({std::move(job), std::move(done)});
  }
  impl_->arrived.notify_one();
  return true;
}

} // namespace postrider::ev
