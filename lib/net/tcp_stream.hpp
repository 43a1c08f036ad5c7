// SPDX-License-Identifier: MIT
// A Stream over a non-blocking socket (TCP or UNIX), and how to get one.
#pragma once

#include <memory>

#include "ev/condition.hpp"
#include "net/address.hpp"
#include "net/stream.hpp"

namespace postrider::net {

class TcpStream final : public Stream {
 public:
  // REQUIRES: fd is a connected, non-blocking stream socket.
  TcpStream(ev::Loop& loop, Fd fd);
  ~TcpStream() override;

  ev::Task<Result<void>> fill(ev::Deadline deadline) override;
  ev::Task<Result<void>> write(ByteView bytes, ev::Deadline deadline) override;
  ev::Task<Result<std::size_t>> write_some(ByteView bytes, ev::Deadline deadline) override;
  void shutdown_write() override;
  Result<bool> fill_now() override;
  Result<std::size_t> write_now(ByteView bytes) override;

  int fd() const { return fd_.get(); }
  // The descriptor, for another owner. The stream is unusable afterwards. REQUIRES
  // buffered().empty().
  Fd release();

 private:
  enum class Got { some, nothing, full };
  Result<Got> receive_now();

  ev::Loop& loop_;
  Fd fd_;
  std::unique_ptr<ev::FdWatch> watch_;
  ev::Condition changed_;
};

// A non-blocking, close-on-exec stream socket for a connection to an address of this family.
// `window` (bytes; 0: the system's) fixes the TCP window, which must be done before connecting.
Result<Fd> client_socket(int family, int window = 0);
// Gives the socket a local address. The Error's text begins with "bind <address>".
Result<void> bind_source(const Fd& socket, const Address& source);
// WAITS for the connection. Error refused, timeout, io, cancelled. Unix sockets too. The socket is
// taken.
ev::Task<Result<std::unique_ptr<TcpStream>>> connect(ev::Loop& loop, Fd& socket,
                                                     const Address& target, ev::Deadline deadline);
// The same with a fresh socket.
ev::Task<Result<std::unique_ptr<TcpStream>>> connect(ev::Loop& loop, const Address& target,
                                                     ev::Deadline deadline);

// Whether the kernel knows a way to the address. Sends nothing.
bool has_route(const Address& target);

struct ListenOptions {
  int backlog = 4096; // the kernel caps it at net.core.somaxconn
  bool v6_only = true;
  std::uint32_t unix_mode = 0666;
  int window = 0; // bytes: a fixed TCP window for all its connections; 0: the system's
};
// A bound, listening, non-blocking, close-on-exec socket. A stale UNIX socket file is replaced.
Result<Fd> listen(const Address& address, const ListenOptions& options);

// A pair of connected non-blocking UNIX sockets.
Result<std::pair<Fd, Fd>> socket_pair();

} // namespace postrider::net
