// SPDX-License-Identifier: MIT
// Two ends of a connection in memory: with back-pressure, short reads and short writes, a cut
// behind any byte, and a hook that sees, changes or drops what passes. Waits are real waits of the
// loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "ev/condition.hpp"
#include "net/stream.hpp"

namespace postrider::test {

class MemoryStream final : public net::Stream {
 public:
  // Of what this end receives.
  struct Mode {
    std::size_t piece = 1 << 20;           // bytes that one fill brings at most
    std::size_t window = 1 << 20;          // bytes that wait here before the writer must wait
    std::size_t accepts = 1 << 20;         // bytes of the writer that are taken at a time
    std::size_t cut = std::string::npos;   // behind this byte the stream ends, as by a FIN
    std::size_t stall = std::string::npos; // behind this byte nothing comes any more
    bool bumpy = false;                    // every second write and read waits although it need not
    std::function<void(std::string&)> change; // sees each piece that is written
  };
  using Pair = std::pair<std::unique_ptr<MemoryStream>, std::unique_ptr<MemoryStream>>;
  static Pair make(ev::Loop& loop, Mode first, Mode second);
  ~MemoryStream() override; // the other end sees the end of the stream

  ev::Task<Result<void>> fill(ev::Deadline deadline) override;
  ev::Task<Result<void>> write(ByteView bytes, ev::Deadline deadline) override;
  ev::Task<Result<std::size_t>> write_some(ByteView bytes, ev::Deadline deadline) override;
  void shutdown_write() override;
  Result<bool> fill_now() override;
  Result<std::size_t> write_now(ByteView bytes) override;

  std::size_t sent() const { return out_->passed; } // bytes, before any change
  std::size_t waiting() const { return in_->bytes.size(); }
  Mode& mode() { return in_->mode; }

 private:
  struct Pipe {
    Pipe(std::shared_ptr<ev::Condition> c, Mode m) : mode(std::move(m)), changed(std::move(c)) {}
    Mode mode;
    std::shared_ptr<ev::Condition> changed; // one for both directions
    std::string bytes;
    std::size_t passed = 0, delivered = 0;
    bool closed = false;
    bool bump = false;
  };
  MemoryStream(ev::Loop& loop, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out)
      : loop_(loop), in_(std::move(in)), out_(std::move(out)) {}
  ev::Task<void> stumble(Pipe& pipe);

  ev::Loop& loop_;
  std::shared_ptr<Pipe> in_, out_;
};

} // namespace postrider::test
