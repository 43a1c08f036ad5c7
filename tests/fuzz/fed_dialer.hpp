// SPDX-License-Identifier: MIT
// A mail filter that says what an input says: on its first connection; another one is refused.
#pragma once

#include "fed_stream.hpp"
#include "milter/chain.hpp"

namespace postrider::milter {

class FedDialer final : public Dialer {
 public:
  FedDialer(std::vector<std::string> pieces, bool by_byte)
      : pieces_(std::move(pieces)), by_byte_(by_byte) {}
  ev::Task<Result<std::unique_ptr<net::Stream>>> dial(ev::Loop&, ev::Lent<const FilterOptions>,
                                                      ev::Deadline) override {
    if (pieces_.empty()) co_return Error(ErrorKind::refused, "Connection refused");
    fuzz::FedStream::Mode mode;
    mode.bytewise = by_byte_;
    mode.answers = true;
    auto stream = std::make_unique<fuzz::FedStream>(std::move(pieces_), said, mode);
    pieces_.clear();
    co_return std::unique_ptr<net::Stream>(std::move(stream));
  }
  std::string said;

 private:
  std::vector<std::string> pieces_;
  bool by_byte_;
};

// A packet for each piece.
inline std::vector<std::string> packets(std::vector<std::string> pieces) {
  for (std::string& piece : pieces) {
    std::string length;
    put_u32(length, static_cast<std::uint32_t>(piece.size()));
    piece.insert(0, length);
  }
  return pieces;
}

} // namespace postrider::milter
