// SPDX-License-Identifier: MIT
#include "support/memory_stream.hpp"

#include <algorithm>

namespace postrider::test {

MemoryStream::Pair MemoryStream::make(ev::Loop& loop, Mode first, Mode second) {
  const auto changed = std::make_shared<ev::Condition>(loop);
  auto to_first = std::make_shared<Pipe>(changed, std::move(first));
  auto to_second = std::make_shared<Pipe>(changed, std::move(second));
  return {std::unique_ptr<MemoryStream>(new MemoryStream(loop, to_first, to_second)),
          std::unique_ptr<MemoryStream>(new MemoryStream(loop, to_second, to_first))};
}

MemoryStream::~MemoryStream() {
  shutdown_write();
  in_->closed = true; // nobody reads: the writer must not wait
  in_->changed->notify_all();
}

Result<bool> MemoryStream::fill_now() {
  Pipe& pipe = *in_;
  const std::size_t end = std::min(pipe.mode.cut, pipe.mode.stall);
  const std::size_t left = end - std::min(end, pipe.delivered);
  const std::size_t count = std::min({pipe.mode.piece, pipe.bytes.size(), left, room()});
  if (count > 0) {
    received(ByteView(pipe.bytes).substr(0, count));
    pipe.bytes.erase(0, count);
    pipe.delivered += count;
    pipe.changed->notify_all();
    return true;
  }
  if (room() == 0) return Error(ErrorKind::limit, "input buffer full");
  const bool stalled = left == 0 && end != pipe.mode.cut;
  if (!stalled && (left == 0 || pipe.closed))
    return Error(ErrorKind::closed, "connection closed by peer");
  return false;
}

ev::Task<void> MemoryStream::stumble(Pipe& pipe) {
  if (!pipe.mode.bumpy || !(pipe.bump = !pipe.bump)) co_return;
  (void)co_await pipe.changed->wait(ev::Deadline::at(loop_.now()), "nothing");
}

ev::Task<Result<void>> MemoryStream::fill(ev::Deadline deadline) {
  Pipe& pipe = *in_;
  co_await stumble(pipe);
  while (true) {
    Result<bool> some = fill_now();
    if (!some) co_return some.error();
    if (*some) co_return Result<void>();
    Result<void> woken = co_await pipe.changed->wait(deadline, "input");
    if (!woken) co_return woken.error();
  }
}

Result<std::size_t> MemoryStream::write_now(ByteView bytes) {
  Pipe& pipe = *out_;
  if (pipe.closed) return Error(ErrorKind::closed, "write: Broken pipe");
  const std::size_t space = pipe.mode.window - std::min(pipe.mode.window, pipe.bytes.size());
  std::string some(bytes.substr(0, std::min(space, pipe.mode.accepts)));
  const std::size_t count = some.size();
  pipe.passed += count;
  if (pipe.mode.change) pipe.mode.change(some);
  pipe.bytes += some;
  pipe.changed->notify_all();
  return count;
}

ev::Task<Result<std::size_t>> MemoryStream::write_some(ByteView bytes, ev::Deadline deadline) {
  co_await stumble(*out_);
  while (true) {
    Result<std::size_t> sent = write_now(bytes);
    if (!sent || *sent > 0) co_return std::move(sent);
    const Result<bool> drained = fill_now(); // C10
    if (drained && *drained) continue;
    Result<void> woken = co_await out_->changed->wait(deadline, "room to write");
    if (!woken) co_return woken.error();
  }
}

ev::Task<Result<void>> MemoryStream::write(ByteView bytes, ev::Deadline deadline) {
  while (!bytes.empty()) {
    Result<std::size_t> sent = co_await write_some(bytes, deadline);
    if (!sent) co_return sent.error();
    bytes.remove_prefix(*sent);
  }
  co_return Result<void>();
}

void MemoryStream::shutdown_write() {
  out_->closed = true;
  out_->changed->notify_all();
}

} // namespace postrider::test
