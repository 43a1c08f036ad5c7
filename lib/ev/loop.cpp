// SPDX-License-Identifier: MIT
#include "ev/loop.hpp"

#include <algorithm>
#include <cstdlib>
#include <event2/event.h>
#include <new>

#include "base/log.hpp"

namespace postrider::ev {

// --- timers -------------------------------------------------------------------------------------

void Timer::arm(Deadline deadline) {
  if (deadline.is_never()) return disarm();
  due_ = deadline.time();
  if (slot_ == kNoSlot) {
    loop_.heap_.push_back(this);
    slot_ = loop_.heap_.size() - 1;
    loop_.sift_up(slot_);
  } else {
    loop_.sift_up(slot_);
    loop_.sift_down(slot_);
  }
}

void Timer::disarm() {
  if (slot_ == kNoSlot) return;
  const std::size_t hole = slot_;
  slot_ = kNoSlot;
  Timer* last = loop_.heap_.back();
  loop_.heap_.pop_back();
  if (last == this) return;
  loop_.place(hole, last);
  loop_.sift_up(hole);
  loop_.sift_down(last->slot_);
}

void Loop::place(std::size_t slot, Timer* timer) {
  heap_[slot] = timer;
  timer->slot_ = slot;
}

void Loop::sift_up(std::size_t slot) {
  Timer* timer = heap_[slot];
  while (slot > 0 && timer->due_ < heap_[(slot - 1) / 2]->due_) {
    place(slot, heap_[(slot - 1) / 2]);
    slot = (slot - 1) / 2;
  }
  place(slot, timer);
}

void Loop::sift_down(std::size_t slot) {
  Timer* timer = heap_[slot];
  for (std::size_t child; (child = 2 * slot + 1) < heap_.size(); slot = child) {
    if (child + 1 < heap_.size() && heap_[child + 1]->due_ < heap_[child]->due_) ++child;
    if (timer->due_ <= heap_[child]->due_) break;
    place(slot, heap_[child]);
  }
  place(slot, timer);
}

void Loop::run_timers() {
  if (heap_.empty()) return;
  const SteadyTime now = clock_.steady();
  while (!heap_.empty() && heap_.front()->due_ <= now) {
    Timer* timer = heap_.front();
    timer->disarm();
    timer->callback_(timer->owner_);
  }
}

// --- descriptors --------------------------------------------------------------------------------

struct FdWatch::Impl {
  Callback callback;
  void* owner;
  ::event* event = nullptr;
};

FdWatch::FdWatch(Loop& loop, int fd, Callback callback, void* owner)
    : impl_(std::make_unique<Impl>()) {
  impl_->callback = callback;
  impl_->owner = owner;
  const auto on_event = [](evutil_socket_t, short what, void* arg) {
    auto* impl = static_cast<Impl*>(arg);
    impl->callback(impl->owner, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
  };
  impl_->event =
      ::event_new(loop.base(), fd, EV_READ | EV_WRITE | EV_PERSIST | EV_ET, on_event, impl_.get());
  POSTRIDER_CHECK(impl_->event != nullptr);
  if (::event_add(impl_->event, nullptr) != 0)
    log::warning("cannot watch descriptor " + std::to_string(fd));
}

FdWatch::~FdWatch() {
  if (impl_) ::event_free(impl_->event);
}

// --- the loop -----------------------------------------------------------------------------------

struct Loop::Signal {
  std::function<void()> handler;
  ::event* event = nullptr;
  ~Signal() { ::event_free(event); }
};

namespace {

// libevent says only that something failed. There is no memory for it: what operator new does then.
void* or_else(void* made) {
  if (made == nullptr)
    if (const std::new_handler handler = std::get_new_handler()) handler();
  return made;
}

} // namespace

Loop::Loop(Clock& clock) : clock_(clock) {
  ::event_set_mem_functions(
      [](std::size_t size) { return or_else(std::malloc(size)); },
      [](void* old, std::size_t size) { return or_else(std::realloc(old, size)); }, std::free);
  ::event_config* config = ::event_config_new();
  ::event_config_require_features(config, EV_FEATURE_ET);
  ::event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
  base_ = ::event_base_new_with_config(config);
  ::event_config_free(config);
  POSTRIDER_CHECK(base_ != nullptr, "libevent has no edge-triggered back end");
  wake_ = evtimer_new(
      base_, [](evutil_socket_t, short, void*) {}, nullptr);
  add_turn_hook([] { log::flush(); });
}

Loop::~Loop() {
  signals_.clear();
  ::event_free(wake_);
  ::event_base_free(base_);
}

std::size_t Loop::add_turn_hook(std::function<void()> hook) {
  hooks_.emplace_back(next_hook_, std::move(hook));
  return next_hook_++;
}

void Loop::remove_turn_hook(std::size_t number) {
  std::erase_if(hooks_, [&](const auto& entry) { return entry.first == number; });
}

void Loop::on_signal(int number, std::function<void()> handler) {
  auto signal = std::make_unique<Signal>();
  signal->handler = std::move(handler);
  signal->event = evsignal_new(
      base_, number,
      [](evutil_socket_t, short, void* arg) { static_cast<Signal*>(arg)->handler(); },
      signal.get());
  ::event_add(signal->event, nullptr);
  signals_.push_back(std::move(signal));
}

void Loop::forget(std::coroutine_handle<> handle) {
  std::replace(ready_.begin(), ready_.end(), handle, std::coroutine_handle<>());
  for (std::size_t i = running_at_; i < running_.size(); ++i)
    if (running_[i] == handle) running_[i] = nullptr;
}

void Loop::show_running(std::uint32_t* place) {
  shown_ = place != nullptr ? place : &nobody_looks_;
  runs(0);
}

void Loop::run_ready() {
  // What becomes ready meanwhile runs in the next turn, so that sockets are never starved.
  running_.swap(ready_);
  for (running_at_ = 0; running_at_ < running_.size();) {
    const std::coroutine_handle<> handle = running_[running_at_++];
    if (!handle) continue;
    handle.resume();
    runs(0);
  }
  running_.clear();
  running_at_ = 0;
}

void Loop::turn(bool may_wait) {
  timeval wait{};
  if (ready_.empty() && may_wait && !stopping_) {
    std::chrono::microseconds pause = std::chrono::minutes(1);
    if (!heap_.empty())
      pause = std::clamp(
          std::chrono::duration_cast<std::chrono::microseconds>(heap_.front()->due_ - now()),
          std::chrono::microseconds(0), pause);
    // Rounded up, or a timer due in less than a microsecond would spin.
    if (pause.count() > 0) pause += std::chrono::microseconds(1);
    wait.tv_sec = static_cast<time_t>(pause.count() / 1'000'000);
    wait.tv_usec = static_cast<suseconds_t>(pause.count() % 1'000'000);
  }
  if (wait.tv_sec == 0 && wait.tv_usec == 0) {
    ::event_base_loop(base_, EVLOOP_NONBLOCK);
  } else {
    ::event_add(wake_, &wait);
    ::event_base_loop(base_, EVLOOP_ONCE);
  }
  run_timers();
  run_ready();
  for (std::size_t i = 0; i < hooks_.size(); ++i)
    hooks_[i].second();
}

void Loop::run() {
  stopping_ = false;
  while (!stopping_)
    turn(true);
}

} // namespace postrider::ev
