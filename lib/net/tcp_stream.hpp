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

  int fd() const { return fd_.get(); }
  // True when the connection is open and the peer has sent nothing unasked: may be reused.
  bool is_quiet() const;
  // The descriptor, for another owner. The stream is unusable afterwards. REQUIRES
  // buffered().empty().
  Fd release();

 private:
  enum class Got { some, nothing, full };
  Result<Got> receive_now();
  Result<std::size_t> send_now(ByteView bytes); // 0: no room

  ev::Loop& loop_;
  Fd fd_;
  std::unique_ptr<ev::FdWatch> watch_;
  ev::Condition changed_;
};

// WAITS for the connection. `source`: local address to bind (port 0), or unspecified family for
// none. Error refused, timeout, io, cancelled. Unix sockets too.
ev::Task<Result<std::unique_ptr<TcpStream>>> connect(ev::Loop& loop, const Address& target,
                                                     const Address& source, ev::Deadline deadline);

struct ListenOptions {
  int backlog = 4096; // the kernel caps it at net.core.somaxconn
  bool v6_only = true;
  std::uint32_t unix_mode = 0666;
};
// A bound, listening, non-blocking, close-on-exec socket. A stale UNIX socket file is replaced.
Result<Fd> listen(const Address& address, const ListenOptions& options);

// A pair of connected non-blocking UNIX sockets.
Result<std::pair<Fd, Fd>> socket_pair();

} // namespace postrider::net
