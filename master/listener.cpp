// SPDX-License-Identifier: MIT
#include "listener.hpp"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "net/tcp_stream.hpp"

namespace postrider::master {

namespace {

std::string describe(const net::Address& address) {
  if (!address.is_ip()) return address.text();
  const std::string port = ":" + std::to_string(address.port());
  return address.family() == AF_INET6 ? "[" + address.text() + "]" + port : address.text() + port;
}

} // namespace

Result<Listener> Listener::open(const ListenAt& at, Duration patience) {
  constexpr std::chrono::milliseconds kPause{50};
  const SteadyTime until = system_clock().steady() + patience;
  while (true) {
    auto fd = net::listen(at.address, {.window = at.window});
    if (fd) return Listener(at, std::move(*fd));
    if (fd.error().saved_errno() != EADDRINUSE || system_clock().steady() >= until)
      return fd.error();
    std::this_thread::sleep_for(kPause); // before the loop runs
  }
}

Result<Listener> Listener::duplicate() const {
  POSTRIDER_TRY(Fd copy, fd_.duplicate());
  return Listener(at_, std::move(copy));
}

std::string Listener::name() const {
  const net::Address local = net::Address::local_of(fd_.get());
  return describe(local.is_ip() ? local : at_.address);
}

std::string_view Listener::harm() const {
  pollfd look{.fd = fd_.get(), .events = POLLRDHUP, .revents = 0};
  if (::poll(&look, 1, 0) == 1 && (look.revents & (POLLHUP | POLLRDHUP)) != 0) return "shut down";
  return (::fcntl(fd_.get(), F_GETFL) & O_NONBLOCK) == 0 ? "made to block" : "";
}

Result<void> Listener::open_anew() {
  // The old one keeps its address as long as anybody holds it, but not for itself.
  const int on = 1;
  ::shutdown(fd_.get(), SHUT_RDWR);
  if (at_.address.is_ip()) ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  POSTRIDER_TRY(Fd fresh, net::listen(at_.address, {.window = at_.window}));
  fd_ = std::move(fresh);
  return {};
}

void Listener::remove_path() {
  if (!at_.address.is_ip()) ::unlink(at_.address.text().c_str());
}

} // namespace postrider::master
