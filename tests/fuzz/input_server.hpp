// SPDX-License-Identifier: MIT
// A server of the administrator's on a UNIX socket that answers with an input.
#pragma once

#include <sys/socket.h>

#include "ev/group.hpp"
#include "net/tcp_stream.hpp"
#include "support/scratch_dir.hpp"
#include "target.hpp"

namespace postrider::fuzz {

// Gives each connection its pieces, once it has said something, and closes.
class InputServer {
 public:
  explicit InputServer(ev::Loop& loop) : loop_(loop), group_(loop) {
    listener_ = std::move(*net::listen(*net::Address::unix_path(path()), {}));
    watch_ = std::make_unique<ev::FdWatch>(
        loop_, listener_.get(),
        [](void* self, bool, bool) { static_cast<InputServer*>(self)->accept_all(); }, this);
  }
  std::string path() const { return directory_.path() + "/socket"; }
  std::vector<std::string> pieces;
  void settle() {
    while (!group_.empty())
      loop_.turn(true);
  }

 private:
  void accept_all() {
    while (true) {
      Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      group_.spawn(serve(std::make_unique<net::TcpStream>(loop_, std::move(fd)), pieces), "server");
    }
  }
  static ev::RootTask serve(std::unique_ptr<net::TcpStream> stream,
                            std::vector<std::string> pieces) {
    Result<void> asked = co_await stream->fill(ev::Deadline::never());
    if (!asked) co_return;
    for (const std::string& piece : pieces) {
      Result<void> sent = co_await stream->write(piece, ev::Deadline::never());
      if (!sent) co_return;
    }
  }

  test::ScratchDir directory_;
  ev::Loop& loop_;
  ev::Group group_;
  Fd listener_;
  std::unique_ptr<ev::FdWatch> watch_;
};

} // namespace postrider::fuzz
