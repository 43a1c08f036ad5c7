// SPDX-License-Identifier: MIT
// How entries of a Store stand in its file: see the grammar in store.hpp. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/crc32c.hpp"
#include "tls/digest.hpp"

namespace postrider::tlsmgr {

inline constexpr std::string_view kVersionKey = "version";
inline constexpr std::string_view kFormat = "postrider tlsmgr 1";
inline constexpr std::size_t kEntryKey = 1 + tls::kSha256 + 8;

inline std::string to_big_endian(WallTime time) {
  const auto number = static_cast<std::uint64_t>(to_unix_micros(time));
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(number >> shift));
  return out;
}
// REQUIRES: 8 bytes.
inline WallTime from_big_endian(std::string_view bytes) {
  std::uint64_t number = 0;
  for (const char c : bytes)
    number = number << 8 | static_cast<unsigned char>(c);
  return from_unix_micros(static_cast<std::int64_t>(number));
}

inline std::string entry_key(std::string_view digest, WallTime expires) {
  return "e" + std::string(digest) + to_big_endian(expires);
}
inline std::string time_key(std::string_view digest, WallTime expires) {
  return "t" + to_big_endian(expires) + std::string(digest);
}
inline std::string_view digest_of(std::string_view entry) { return entry.substr(1, tls::kSha256); }
inline WallTime expires_of(std::string_view entry) {
  return from_big_endian(entry.substr(1 + tls::kSha256));
}

inline std::string seal(std::string_view entry, std::string_view value) {
  std::string out;
  put_le<std::uint32_t>(out, crc32c(value, crc32c(entry)));
  return out.append(value);
}
// Nothing: the bytes are not those that were written.
inline std::optional<std::string_view> unseal(std::string_view entry, std::string_view sealed) {
  if (entry.size() != kEntryKey || entry[0] != 'e' || sealed.size() < 4) return std::nullopt;
  const std::string_view value = sealed.substr(4);
  if (get_le<std::uint32_t>(sealed) != crc32c(value, crc32c(entry))) return std::nullopt;
  return value;
}

// What an entry takes in the file: LMDB gives values of more than half a page pages of their own.
inline std::uint64_t cost_of(std::size_t sealed) {
  constexpr std::uint64_t kPage = 4096, kBoth = 2 * kEntryKey + 2 * 16;
  if (sealed < kPage / 2 - 64) return sealed + kBoth;
  return (sealed + 16 + kPage - 1) / kPage * kPage + kBoth;
}

} // namespace postrider::tlsmgr
