// SPDX-License-Identifier: MIT
// Logins that servers refused, in an LMDB file, until their time. Keys are digests, and are kept as
// digests with a salt of the file: who reads it learns no password. Nothing here waits; calls may
// block on the disk.
//
//   "salt"     -> 32 random bytes
//   "r" digest -> expires(8, little-endian, unix microseconds) text
//
// A file that cannot be read costs its content. LMDB maps files, so that a damaged one may end the
// process: while a file is first looked through, a mark stands beside it, and who finds the mark at
// a start begins anew.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "db/env.hpp"

namespace postrider::tokenmgr {

class Refusals {
 public:
  static constexpr std::uint64_t kMost = 10000;

  static Result<Refusals> open(const std::string& path, WallTime now);

  std::optional<std::string> find(std::string_view key, WallTime now);
  // When there are kMost of them, the one to expire first goes.
  Result<void> add(std::string_view key, std::string_view text, WallTime expires);

 private:
  Refusals(db::Env env, std::string salt) : env_(std::move(env)), salt_(std::move(salt)) {}
  std::string key_of(std::string_view key) const;

  db::Env env_;
  std::string salt_;
};

} // namespace postrider::tokenmgr
