// SPDX-License-Identifier: MIT
// A connection whose other end is the input: pieces come one after the other, then the end. Nothing
// waits, so no time limit passes.
#pragma once

#include "net/stream.hpp"
#include "target.hpp"

namespace postrider::fuzz {

class FedStream final : public net::Stream {
 public:
  struct Mode {
    bool bytewise = false;
    // The next piece is an answer: it is not there before something was said, or waited for.
    bool answers = false;
    // Behind the last piece nothing can be written.
    bool hangs_up = false;
    // It does not end: nothing more comes, and time passes.
    bool stalls = false;
  };
  // `said` gets what is written; it outlives the stream.
  FedStream(std::vector<std::string> pieces, std::string& said, Mode mode)
      : pieces_(std::move(pieces)), said_(said), mode_(mode) {}

  Result<bool> fill_now() override {
    if (piece_ == pieces_.size() && mode_.stalls) return false;
    if (piece_ == pieces_.size()) return Error(ErrorKind::closed, "connection closed by peer");
    if (mode_.answers && at_ == 0 && !released_) return false;
    return advance();
  }
  ev::Task<Result<void>> fill(ev::Deadline) override {
    if (room() == 0) co_return Error(ErrorKind::limit, "input buffer full");
    if (piece_ == pieces_.size() && mode_.stalls)
      co_return Error(ErrorKind::timeout, "time limit exceeded");
    if (piece_ == pieces_.size()) co_return Error(ErrorKind::closed, "connection closed by peer");
    (void)advance();
    co_return Result<void>();
  }
  ev::Task<Result<void>> write(ByteView bytes, ev::Deadline) override {
    if (shut_ || (mode_.hangs_up && piece_ == pieces_.size()))
      co_return Error(ErrorKind::closed, "write: Broken pipe");
    said_.append(bytes);
    released_ = true;
    co_return Result<void>();
  }
  ev::Task<Result<std::size_t>> write_some(ByteView bytes, ev::Deadline deadline) override {
    Result<void> written = co_await write(bytes, deadline);
    if (!written) co_return written.error();
    co_return bytes.size();
  }
  Result<std::size_t> write_now(ByteView bytes) override {
    said_.append(bytes);
    return bytes.size();
  }
  void shutdown_write() override { shut_ = true; }

 private:
  bool advance() {
    const ByteView rest = ByteView(pieces_[piece_]).substr(at_);
    const std::size_t count = mode_.bytewise ? 1 : std::min(rest.size(), room());
    received(rest.substr(0, count));
    at_ += count;
    released_ = false;
    if (at_ < pieces_[piece_].size()) return true;
    ++piece_;
    at_ = 0;
    return true;
  }

  std::vector<std::string> pieces_; // none is empty
  std::string& said_;
  Mode mode_;
  std::size_t piece_ = 0, at_ = 0;
  bool released_ = false;
  bool shut_ = false;
};

} // namespace postrider::fuzz
