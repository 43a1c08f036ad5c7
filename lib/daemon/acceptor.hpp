// SPDX-License-Identifier: MIT
// Accepts connections on the inherited listening sockets. Out of descriptors or memory it pauses
// with back-off and says so once; connections wait in the kernel's queue meanwhile. A flood cannot
// starve the rest of the process: after kBurst connections others have their turn.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/fd.hpp"
#include "ev/loop.hpp"

namespace postrider::daemon {

class Acceptor {
 public:
  static constexpr int kBurst = 64;
  static constexpr std::chrono::milliseconds kFirstPause{50};
  static constexpr std::chrono::milliseconds kLongestPause{1000};

  // Returns an errno value or 0, as accept4(2); a seam for tests.
  using AcceptCall = int (*)(int listener, Fd& client);
  using Handler = std::function<void(Fd client, std::size_t listener)>;

  Acceptor(ev::Loop& loop, std::vector<Fd> listeners, Handler handler, AcceptCall call = nullptr);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  void pause();
  void resume(); // takes what came meanwhile
  // Closes the listening sockets. May be called by the handler.
  void close();
  bool backing_off() const { return !calm_; }

 private:
  struct Watched {
    Watched(Acceptor& o, std::size_t i) : owner(o), index(i) {}
    Acceptor& owner;
    std::size_t index;
    std::unique_ptr<ev::FdWatch> watch;
  };
  void accept_all();
  void accept_from(std::size_t index);
  void back_off(int error);

  ev::Loop& loop_;
  std::vector<Fd> listeners_;
  std::vector<std::unique_ptr<Watched>> watches_;
  Handler handler_;
  AcceptCall call_;
  ev::Timer again_;
  std::chrono::milliseconds wait_ = kFirstPause;
  bool paused_ = true;
  bool calm_ = true; // no shortage since the last accepted connection
};

} // namespace postrider::daemon
