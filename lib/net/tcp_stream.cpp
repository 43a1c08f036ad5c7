// SPDX-License-Identifier: MIT
#include "net/tcp_stream.hpp"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace postrider::net {

namespace {

// Shared by all streams of the one loop thread: a read lands here and what came is copied out, so
// that a quiet connection owns no buffer.
constexpr std::size_t kScratch = 64 * 1024;
char* scratch() {
  static thread_local std::unique_ptr<char[]> buffer = std::make_unique<char[]>(kScratch);
  return buffer.get();
}

} // namespace

TcpStream::TcpStream(ev::Loop& loop, Fd fd) : loop_(loop), fd_(std::move(fd)), changed_(loop) {
  watch_ = std::make_unique<ev::FdWatch>(
      loop_, fd_.get(),
      [](void* self, bool, bool) { static_cast<TcpStream*>(self)->changed_.notify_all(); }, this);
}

TcpStream::~TcpStream() { watch_.reset(); }

Result<TcpStream::Got> TcpStream::receive_now() {
  const std::size_t want = std::min(room(), kScratch);
  if (want == 0) return Got::full;
  while (true) {
    const ssize_t n = ::recv(fd_.get(), scratch(), want, 0);
    if (n > 0) {
      received(ByteView(scratch(), static_cast<std::size_t>(n)));
      return Got::some;
    }
    if (n == 0) return Error(ErrorKind::closed, "connection closed by peer");
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Got::nothing;
    return Error::from_errno("read", errno);
  }
}

ev::Task<Result<void>> TcpStream::fill(ev::Deadline deadline) {
  while (true) {
    Result<Got> got = receive_now();
    if (!got) co_return got.error();
    if (*got == Got::some) co_return Result<void>();
    if (*got == Got::full) co_return Error(ErrorKind::limit, "input buffer full");
    Result<void> woken = co_await changed_.wait(deadline, "input");
    if (!woken) co_return woken.error();
  }
}

Result<std::size_t> TcpStream::write_now(ByteView bytes) {
  while (true) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::size_t{0};
    if (errno != EINTR) return Error::from_errno("write", errno);
  }
}

ev::Task<Result<std::size_t>> TcpStream::write_some(ByteView bytes, ev::Deadline deadline) {
  while (true) {
    Result<std::size_t> sent = write_now(bytes);
    if (!sent || *sent > 0) co_return std::move(sent);
    // C10. A full buffer or an ended input is the reader's business, later.
    Result<Got> got = receive_now();
    if (got && *got == Got::some) continue;
    Result<void> woken = co_await changed_.wait(deadline, "room to write");
    if (!woken) co_return woken.error();
  }
}

ev::Task<Result<void>> TcpStream::write(ByteView bytes, ev::Deadline deadline) {
  while (!bytes.empty()) {
    Result<std::size_t> sent = write_now(bytes);
    if (!sent) co_return sent.error();
    bytes.remove_prefix(*sent);
    if (*sent > 0) continue;
    Result<Got> got = receive_now(); // C10
    if (got && *got == Got::some) continue;
    Result<void> woken = co_await changed_.wait(deadline, "room to write");
    if (!woken) co_return woken.error();
  }
  co_return Result<void>();
}

void TcpStream::shutdown_write() { ::shutdown(fd_.get(), SHUT_WR); }

Result<bool> TcpStream::fill_now() {
  const Result<Got> got = receive_now();
  if (!got) return got.error();
  if (*got == Got::full) return Error(ErrorKind::limit, "input buffer full");
  return *got == Got::some;
}

Fd TcpStream::release() {
  POSTRIDER_CHECK(buffered().empty());
  watch_.reset();
  return std::move(fd_);
}

namespace {

// Failure is not worth a connection: the window is a wish. The kernel doubles what it is told.
void set_window(const Fd& fd, int window) {
  if (window <= 0) return;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &window, sizeof window);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
}

} // namespace

Result<Fd> client_socket(int family, int window) {
  Fd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket", errno);
  if (family == AF_INET || family == AF_INET6) {
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    set_window(fd, window);
  }
  return fd;
}

Result<void> bind_source(const Fd& socket, const Address& source) {
  if (::bind(socket.get(), source.raw(), source.raw_length()) != 0)
    return Error::from_errno("bind " + source.text(), errno);
  return {};
}

ev::Task<Result<std::unique_ptr<TcpStream>>> connect(ev::Loop& loop, const Address& target,
                                                     ev::Deadline deadline) {
  Result<Fd> fd = client_socket(target.family());
  if (!fd) co_return fd.error();
  co_return co_await connect(loop, *fd, target, deadline);
}

ev::Task<Result<std::unique_ptr<TcpStream>>> connect(ev::Loop& loop, Fd& socket,
                                                     const Address& target, ev::Deadline deadline) {
  Fd fd = std::move(socket);
  int rc;
  do
    rc = ::connect(fd.get(), target.raw(), target.raw_length());
  while (rc != 0 && errno == EINTR);
  if (rc != 0 && errno != EINPROGRESS) co_return Error::from_errno("connect", errno);
  if (rc != 0) {
    ev::Condition changed(loop);
    ev::FdWatch watch(
        loop, fd.get(),
        [](void* condition, bool, bool) { static_cast<ev::Condition*>(condition)->notify_all(); },
        &changed);
    while (true) {
      Result<void> woken = co_await changed.wait(deadline, "connection");
      if (!woken) co_return woken.error();
      int problem = 0;
      socklen_t length = sizeof problem;
      ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &problem, &length);
      if (problem != 0) co_return Error::from_errno("connect", problem);
      if (Address::peer_of(fd.get()).family() != 0) break; // else an early, empty event
    }
  }
  co_return std::make_unique<TcpStream>(loop, std::move(fd));
}

bool has_route(const Address& target) {
  if (!target.is_ip()) return true;
  const Fd fd(::socket(target.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno != EAFNOSUPPORT;
  return ::connect(fd.get(), target.raw(), target.raw_length()) == 0;
}

Result<Fd> listen(const Address& address, const ListenOptions& options) {
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket", errno);
  const int on = 1;
  if (address.is_ip()) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const int only = options.v6_only ? 1 : 0;
    if (address.family() == AF_INET6)
      ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    set_window(fd, options.window);
  } else {
    ::unlink(address.text().c_str());
  }
  const std::string shown =
      address.text() + (address.is_ip() ? ":" + std::to_string(address.port()) : "");
  if (::bind(fd.get(), address.raw(), address.raw_length()) != 0)
    return Error::from_errno("bind " + shown, errno);
  if (!address.is_ip() && ::chmod(address.text().c_str(), options.unix_mode) != 0)
    return Error::from_errno("chmod " + shown, errno);
  if (::listen(fd.get(), options.backlog) != 0) return Error::from_errno("listen " + shown, errno);
  return fd;
}

Result<std::pair<Fd, Fd>> socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
    return Error::from_errno("socketpair", errno);
  return std::pair<Fd, Fd>(Fd(fds[0]), Fd(fds[1]));
}

} // namespace postrider::net
