// SPDX-License-Identifier: MIT
#include "child.hpp"

#include <csignal>
#include <unistd.h>

#include "base/check.hpp"
#include "base/log.hpp"

namespace postrider::master {

using proto::ChildState;

namespace {
constexpr int kReadsPerTurn = 16;
constexpr int kTurnsToDrain = 128;
} // namespace

Child::Child(ev::Loop& loop, pid_t pid, std::uint32_t generation, Fd status, Duration silence,
             Tell tell)
    : loop_(loop), pid_(pid), generation_(generation), born_generation_(generation),
      status_(std::move(status)), silence_(silence), tell_(std::move(tell)), started_(loop.now()),
      silence_timer_(
          loop,
          [](void* self) {
            auto* child = static_cast<Child*>(self);
            child->tell_(*child, News::hangs);
          },
          this),
      more_(
          loop, [](void* self) { static_cast<Child*>(self)->readable(); }, this),
      kill_timer_(
          loop, [](void* self) { static_cast<Child*>(self)->kill(); }, this) {
  watch_ = std::make_unique<ev::FdWatch>(
      loop, status_.get(), [](void* self, bool, bool) { static_cast<Child*>(self)->readable(); },
      this);
  silence_timer_.arm(loop.after(silence_));
}

Duration Child::ready_for() const {
  return ready_at_ == SteadyTime{} ? Duration(-1) : loop_.now() - ready_at_;
}

void Child::readable() {
  // What is left is read in the next turn: a child that never stops talking keeps master from
  // nothing else.
  char buffer[proto::kStatusRecordSize * 64];
  for (int n_reads = 0; status_ && n_reads < kReadsPerTurn; ++n_reads) {
    const ssize_t n = ::read(status_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    if (n == 0) { // its death follows, or it closed the pipe and will be taken for silent
      watch_.reset();
      status_.reset();
      return;
    }
    partial_.append(buffer, static_cast<std::size_t>(n));
    std::size_t used = 0;
    for (; partial_.size() - used >= proto::kStatusRecordSize; used += proto::kStatusRecordSize) {
      const auto record =
          proto::from_bytes(ByteView(partial_).substr(used, proto::kStatusRecordSize));
      if (record && record->pid == static_cast<std::uint32_t>(pid_) &&
          record->generation == born_generation_) {
        heard(*record);
      } else if (!bad_record_logged_) {
        bad_record_logged_ = true;
        log::warning("process " + std::to_string(pid_) + ": status record ignored");
      }
    }
    partial_.erase(0, used);
  }
  if (status_) more_.arm(loop_.after(std::chrono::milliseconds(1)));
}

// It is dead: what it left in the pipe is bounded.
void Child::drain_status() {
  for (int turn = 0; status_ && turn < kTurnsToDrain; ++turn)
    readable();
}

void Child::heard(const proto::StatusRecord& record) {
  silence_timer_.arm(loop_.after(silence_));
  if (record.state == ChildState::accuses) {
    accused_ = static_cast<pid_t>(record.clients);
    return tell_(*this, News::accuses);
  }
  clients_ = record.clients;
  jail_ = record.jail;
  switch (record.state) {
  case ChildState::alive: return tell_(*this, News::alive);
  case ChildState::accuses: return;
  case ChildState::ready:
    if (state_ != State::starting) return;
    state_ = State::free;
    ready_at_ = loop_.now();
    if (retire_asked_) signal(SIGUSR1);
    return tell_(*this, News::ready);
  case ChildState::busy:
    if (state_ != State::free) return;
    state_ = State::busy;
    return tell_(*this, News::busy);
  case ChildState::free:
    if (state_ != State::busy) return;
    state_ = State::free;
    return tell_(*this, News::free);
  case ChildState::reloaded:
    if (!retire_asked_ || (state_ != State::free && state_ != State::busy)) return;
    retire_asked_ = false;
    generation_ = next_generation_;
    return tell_(*this, News::reloaded);
  case ChildState::leaving:
    if (state_ == State::starting || state_ == State::leaving) return;
    state_ = State::leaving;
    return tell_(*this, News::leaving);
  }
  POSTRIDER_UNREACHABLE();
}

void Child::retire(std::uint32_t next_generation) {
  next_generation_ = next_generation;
  retire_asked_ = true;
  if (state_ != State::starting) signal(SIGUSR1);
}

void Child::dismiss() {
  state_ = State::leaving;
  signal(SIGUSR2);
}

void Child::stop() {
  if (!stop_asked_) kill_timer_.arm(loop_.after(proto::kKillAfter));
  stop_asked_ = true;
  signal(SIGTERM);
}

void Child::give_up() {
  state_ = State::leaving;
  stop();
}

void Child::kill() { signal(SIGKILL); }

// The process is ours and not reaped yet, so the number cannot mean another one.
void Child::signal(int number) { ::kill(pid_, number); }

std::string_view to_string(Child::State state) {
  switch (state) {
  case Child::State::starting: return "starting";
  case Child::State::free: return "free";
  case Child::State::busy: return "busy";
  case Child::State::leaving: return "leaving";
  }
  POSTRIDER_UNREACHABLE();
}

} // namespace postrider::master
