// SPDX-License-Identifier: MIT
// Views of bytes and little-endian integers in them. The on-disk and IPC formats are little-endian.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace postrider {

using ByteView = std::string_view; // bytes as we read them; mail is bytes, not text
using MutableBytes = std::span<char>;

template <std::unsigned_integral T>
void put_le(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out.push_back(static_cast<char>(value >> (8 * i)));
}

// REQUIRES in.size() >= sizeof(T).
template <std::unsigned_integral T>
T get_le(ByteView in) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(in[i])) << (8 * i));
  return value;
}

} // namespace postrider
