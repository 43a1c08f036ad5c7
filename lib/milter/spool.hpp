// SPDX-License-Identifier: MIT
// Bytes that wait for a verdict: in memory up to a limit, then in a file without a name, which is
// gone with its last descriptor. One conversation owns it.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.hpp"
#include "base/fd.hpp"

namespace postrider::milter {

class Spool {
 public:
  static constexpr std::size_t kInMemory = 256U << 10;

  Spool() = default;
  // Error io: the disk is full, or no file can be had. What was written before stays readable.
  Result<void> append(ByteView bytes);
  std::uint64_t size() const { return written_ + memory_.size(); }
  // At most `most` bytes from `offset` on; empty at the end. The view is valid until the next call.
  Result<ByteView> read(std::uint64_t offset, std::size_t most);

 private:
  Result<void> flush();

  std::string memory_; // the end of it
  std::string piece_;
  Fd file_;
  std::uint64_t written_ = 0; // bytes in the file
};

} // namespace postrider::milter
