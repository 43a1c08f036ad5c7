// SPDX-License-Identifier: MIT
#include "daemon/acceptor.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

#include "base/log.hpp"

namespace postrider::daemon {

namespace {

int accept_call(int listener, Fd& client) {
  client = Fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  return client ? 0 : errno;
}

} // namespace

Acceptor::Acceptor(ev::Loop& loop, std::vector<Fd> listeners, Handler handler, AcceptCall call)
    : loop_(loop), listeners_(std::move(listeners)), handler_(std::move(handler)),
      call_(call != nullptr ? call : accept_call),
      again_(
          loop, [](void* self) { static_cast<Acceptor*>(self)->accept_all(); }, this) {
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    auto watched = std::make_unique<Watched>(*this, i);
    watched->watch = std::make_unique<ev::FdWatch>(
        loop, listeners_[i].get(),
        [](void* w, bool, bool) {
          auto* self = static_cast<Watched*>(w);
          self->owner.accept_from(self->index);
        },
        watched.get());
    watches_.push_back(std::move(watched));
  }
}

void Acceptor::pause() {
  paused_ = true;
  again_.disarm();
}

void Acceptor::resume() {
  if (!paused_ || listeners_.empty()) return;
  paused_ = false;
  again_.arm(loop_.after(Duration::zero()));
}

void Acceptor::close() {
  paused_ = true;
  again_.disarm();
  for (auto& watched : watches_)
    watched->watch.reset(); // the struct may be in use by our caller
  listeners_.clear();
}

void Acceptor::accept_all() {
  for (std::size_t i = 0; i < listeners_.size() && !paused_; ++i)
    accept_from(i);
}

void Acceptor::accept_from(std::size_t index) {
  for (int taken = 0; !paused_ && index < listeners_.size(); ++taken) {
    if (!calm_ && again_.armed()) return; // a new connection does not shorten the pause
    // Not due at once: timers that are run before other events have their turn.
    if (taken == kBurst) return again_.arm(loop_.after(std::chrono::microseconds(1)));
    Fd client;
    const int error = call_(listeners_[index].get(), client);
    switch (error) {
    case 0: break;
    case EAGAIN: return;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return back_off(error);
    case EBADF:
    case EINVAL:
    case ENOTSOCK: log::error(std::string("accept: ") + std::strerror(error)); return;
    default: continue; // this connection's own trouble (ECONNABORTED, EPERM, network errors)
    }
    if (!calm_) log::info("accepting connections again");
    calm_ = true;
    wait_ = kFirstPause;
    handler_(std::move(client), index);
  }
}

void Acceptor::back_off(int error) {
  if (calm_)
    log::warning(std::string("cannot accept connections for now: ") + std::strerror(error));
  calm_ = false;
  again_.arm(loop_.after(wait_));
  wait_ = std::min(wait_ * 2, kLongestPause);
}

} // namespace postrider::daemon
