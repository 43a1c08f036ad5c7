// SPDX-License-Identifier: MIT
#include "ev/wait.hpp"

namespace postrider::ev {

Wait::~Wait() {
  if (root_ != nullptr && root_->wait == this) root_->wait = nullptr;
  if (queued_) loop_.forget(handle_);
}

bool Wait::begin(std::coroutine_handle<> handle, RootState& root) {
  if (root.cancelled) {
    detach();
    state_ = State::cancelled;
    return false;
  }
  handle_ = handle;
  root_ = &root;
  root.wait = this;
  state_ = State::waiting;
  since_ = loop_.now();
  timer_.arm(deadline_);
  return true;
}

void Wait::finish(State state) {
  if (state_ != State::waiting) return;
  state_ = state;
  timer_.disarm();
  root_->wait = nullptr;
  queued_ = true;
  loop_.resume_soon(handle_);
}

Result<void> Wait::result() const {
  // await_resume runs in the resumed coroutine: the ready queue no longer holds the handle.
  const_cast<Wait*>(this)->queued_ = false;
  if (root_ != nullptr) loop_.runs(root_->number);
  switch (state_) {
  case State::timed_out: return Error(ErrorKind::timeout, std::string(what_) + " timed out");
  case State::cancelled: return Error(ErrorKind::cancelled, std::string(what_) + " cancelled");
  case State::idle:
  case State::waiting:
  case State::woken: break;
  }
  return {};
}

void Wait::cancel() {
  if (state_ != State::waiting) return;
  detach();
  finish(State::cancelled);
}

void Wait::on_timer(void* self) {
  auto* wait = static_cast<Wait*>(self);
  wait->detach();
  wait->finish(State::timed_out);
}

} // namespace postrider::ev
