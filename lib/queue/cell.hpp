// SPDX-License-Identifier: MIT
// Cells: how the ledger and the tail of a message file store one entry each. A cell carries secret
// bits of the file it stands in and its own place, all under the checksum, so that neither old
// bytes beneath, nor a cell copied from elsewhere, nor reply text inside another cell can be taken
// for one. After damage the reader goes on at the next multiple of 8 that holds a cell.
//
//   cell = mark(4) crc32c(4) length(4) kind(1) zero(3) body padding-to-8
//   mark = low half of tag xor (offset / 8);  crc over tag, offset, length..body
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.hpp"

namespace postrider::queue {

constexpr std::size_t kCellHeader = 16;
constexpr std::size_t kMaxCellBody = 4U << 20;

// Appends the cell that will stand at file offset `offset`. REQUIRES offset % 8 == 0.
void put_cell(std::string& out, std::uint64_t tag, std::uint64_t offset, std::uint8_t kind,
              ByteView body);

struct Cell {
  std::uint8_t kind = 0;
  std::uint64_t offset = 0;
  ByteView body;
};

// Reads cells from bytes that begin at file offset `base`.
class CellReader {
 public:
  CellReader(ByteView bytes, std::uint64_t tag, std::uint64_t base)
      : bytes_(bytes), tag_(tag), base_(base) {}

  bool next(Cell& cell);                             // false: no further cell
  std::uint64_t end() const { return base_ + end_; } // file offset behind the last good cell
  std::uint64_t damaged() const { return damaged_; } // gaps that had a good cell behind them

 private:
  bool at(std::size_t position, Cell& cell) const;
  ByteView bytes_;
  std::uint64_t tag_;
  std::uint64_t base_;
  std::size_t position_ = 0;
  std::size_t end_ = 0;
  std::uint64_t damaged_ = 0;
};

} // namespace postrider::queue
