// SPDX-License-Identifier: MIT
// Store: values under keys, each until its time, in one LMDB file with a bound in bytes. One
// process owns the file. Nothing here waits, calls may block on the disk.
//
//   S1  the file costs at most its content: one that is damaged, cut or of another version is begun
//       anew. LMDB maps files and believes what stands in them, so that reading a damaged one may
//       end a process: at each start a child reads the old file and copies what is good to a fresh
//       one, and only that is ever opened here.
//   S2  when the bound is reached, the values that would expire first go.
//
//   "version"              -> kFormat
//   "e" digest expires     -> crc32c(4, little-endian, of key and value) value
//   "t" expires digest     -> ""                    digest: SHA-256 of the key; expires: 8 bytes,
//                                                   unix microseconds, big-endian
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "db/env.hpp"

namespace postrider::tlsmgr {

struct StoreSetup {
  std::string path;                     // of the file
  std::uint64_t limit = 64 << 20;       // bytes that values and keys may take, as pages count them
  std::size_t keep = 1;                 // values under one key; more: the one to expire first goes
  std::chrono::milliseconds longest{0}; // life of a value; one with more ahead is not believed
  bool durable = false;
  std::chrono::milliseconds owner_limit{5000}; // for another process to give the file up
};

// How large the file may grow: LMDB copies on write, and leaves fragments.
std::uint64_t map_limit(const StoreSetup& setup);

class Store {
 public:
  struct Found {
    std::string value;
    WallTime expires;
  };

  // Blocks: see S1. Error busy: another process has the file, and keeps it beyond owner_limit.
  // Error io: the directory cannot be written to.
  static Result<Store> open(StoreSetup setup, WallTime now);
  Store(Store&&) noexcept = default;
  Store& operator=(Store&&) noexcept = default;

  // An Error (no space, as a rule) leaves things as they are.
  Result<void> put(std::string_view key, std::string_view value, WallTime expires);
  // The value under the key that expires last.
  std::optional<Found> get(std::string_view key, WallTime now) const;
  std::optional<Found> take(std::string_view key, WallTime now); // out of the store
  Result<void> erase(std::string_view key);
  // All that has not expired, until `visit` returns false. It must not change the store.
  void each(WallTime now, const std::function<bool(const Found&)>& visit) const;

  // Removes what has expired, a bounded number of values at a time. True: there is more.
  bool sweep(WallTime now);

  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t size() const { return size_; }
  const std::string& path() const { return setup_.path; }

 private:
  Store(StoreSetup setup, Fd owner, db::Env env);
  Result<void> count();
  Result<void> change(const std::function<Result<void>(db::Txn&, Store&)>& work);
  Result<void> add(db::Txn& txn, const std::string& digest, std::string_view value,
                   WallTime expires);
  Result<void> remove(db::Txn& txn, const std::string& entry_key);
  // The first entries in order of time, at most `most`, as keys of "e"; with `until`, only those
  // that expire up to then.
  Result<std::vector<std::string>> first(const db::Txn& txn, std::size_t most,
                                         std::optional<WallTime> until) const;

  StoreSetup setup_;
  Fd owner_; // a locked file beside the database
  db::Env env_;
  std::uint64_t bytes_ = 0;
  std::uint64_t size_ = 0;
};

} // namespace postrider::tlsmgr
