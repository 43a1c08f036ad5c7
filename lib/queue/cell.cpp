// SPDX-License-Identifier: MIT
#include "queue/cell.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/crc32c.hpp"

namespace postrider::queue {

namespace {

std::uint32_t mark_of(std::uint64_t tag, std::uint64_t offset) {
  return static_cast<std::uint32_t>(tag) ^ static_cast<std::uint32_t>(offset / 8);
}

std::uint32_t seed_of(std::uint64_t tag, std::uint64_t offset) {
  char bytes[16];
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<char>(tag >> (8 * i));
    bytes[8 + i] = static_cast<char>(offset >> (8 * i));
  }
  return crc32c({bytes, sizeof bytes});
}

std::size_t padded(std::size_t size) { return (size + 7) & ~std::size_t{7}; }

} // namespace

void put_cell(std::string& out, std::uint64_t tag, std::uint64_t offset, std::uint8_t kind,
              ByteView body) {
  POSTRIDER_CHECK(offset % 8 == 0 && body.size() <= kMaxCellBody);
  const std::size_t start = out.size();
  put_le<std::uint32_t>(out, mark_of(tag, offset));
  put_le<std::uint32_t>(out, 0);
  put_le<std::uint32_t>(out, static_cast<std::uint32_t>(body.size()));
  out.push_back(static_cast<char>(kind));
  out.append(3, '\0');
  out.append(body);
  const std::uint32_t crc = crc32c(ByteView(out).substr(start + 8), seed_of(tag, offset));
  for (std::size_t i = 0; i < 4; ++i)
    out[start + 4 + i] = static_cast<char>(crc >> (8 * i));
  out.append(padded(body.size()) - body.size(), '\0');
}

bool CellReader::at(std::size_t position, Cell& cell) const {
  const ByteView in = bytes_.substr(position);
  const std::uint64_t offset = base_ + position;
  if (in.size() < kCellHeader) return false;
  if (get_le<std::uint32_t>(in) != mark_of(tag_, offset)) return false;
  const std::uint32_t length = get_le<std::uint32_t>(in.substr(8));
  if (length > kMaxCellBody || length > in.size() - kCellHeader) return false;
  if (crc32c(in.substr(8, 8 + length), seed_of(tag_, offset)) !=
      get_le<std::uint32_t>(in.substr(4)))
    return false;
  cell = {static_cast<std::uint8_t>(in[12]), offset, in.substr(kCellHeader, length)};
  return true;
}

bool CellReader::next(Cell& cell) {
  for (std::size_t position = position_; position + kCellHeader <= bytes_.size(); position += 8) {
    if (!at(position, cell)) continue;
    if (position != position_) ++damaged_;
    position_ = std::min(bytes_.size(), position + kCellHeader + padded(cell.body.size()));
    end_ = position_;
    return true;
  }
  position_ = bytes_.size();
  return false;
}

} // namespace postrider::queue
