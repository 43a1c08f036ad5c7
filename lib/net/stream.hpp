// SPDX-License-Identifier: MIT
// Stream: a two-way flow of bytes with a bounded input buffer. One conversation owns it; it is not
// for two tasks at once. Implementations: TcpStream here (TCP and UNIX sockets), tls::TlsStream,
// MemoryStream in tests.
// While it waits to write, a Stream keeps draining input into its buffer (C10): a pipelining client
// and a server that are both blocked on full windows would otherwise wait for ever (RFC 2920).
#pragma once

#include <cstddef>
#include <string>

#include "base/bytes.hpp"
#include "ev/task.hpp"

namespace postrider::net {

class Stream {
 public:
  static constexpr std::size_t kInputLimit = 256 * 1024; // bytes received and not yet consumed

  virtual ~Stream() = default;

  // Received and not yet consumed. The view is valid until the next fill, write or consume.
  ByteView buffered() const { return ByteView(input_).substr(start_); }
  void consume(std::size_t count);

  // WAITS until at least one more byte is buffered. Error closed at the end of the stream (bytes
  // buffered before stay readable), Error limit when kInputLimit bytes wait already.
  virtual ev::Task<Result<void>> fill(ev::Deadline deadline) = 0;
  // WAITS until every byte is handed to the kernel.
  virtual ev::Task<Result<void>> write(ByteView bytes, ev::Deadline deadline) = 0;
  // WAITS until at least one is, and returns how many are. REQUIRES !bytes.empty(). On an Error
  // none was.
  virtual ev::Task<Result<std::size_t>> write_some(ByteView bytes, ev::Deadline deadline) = 0;
  virtual void shutdown_write() = 0; // half-close

  // fill() without waiting. True: something came, and is buffered.
  virtual Result<bool> fill_now() = 0;
  // write_some() without waiting, for a stream above this one: how many bytes were handed to the
  // kernel, perhaps none.
  virtual Result<std::size_t> write_now(ByteView) { return std::size_t{0}; }
  // True when the connection is open and the peer has sent nothing unasked: may be reused. Does not
  // wait.
  bool is_quiet();

  // WAITS for one line. The result is without its line end and is consumed; `bare` tells that it
  // ended in LF alone. Error limit when no line end comes within `most` bytes (nothing consumed).
  struct Line {
    std::string text;
    bool bare_lf = false;
    explicit Line(std::string t, bool bare) : text(std::move(t)), bare_lf(bare) {}
  };
  ev::Task<Result<Line>> read_line(std::size_t most, ev::Deadline deadline);

 protected:
  void received(ByteView bytes) { input_.append(bytes); }
  std::size_t room() const { return kInputLimit - std::min(kInputLimit, buffered().size()); }

 private:
  std::string input_;
  std::size_t start_ = 0;
};

} // namespace postrider::net
