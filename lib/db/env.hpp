// SPDX-License-Identifier: MIT
// An LMDB database file. One process writes; others may read. The file grows when it is full.
// Calls may block on the disk. A write transaction stays on the thread that began it, and none
// stays open across a wait. Nothing that a promise rests on lives only here: see Options::durable.
//
//   POSTRIDER_TRY(auto env, db::Env::open({.path = "index/deferred.mdb"}));
//   POSTRIDER_TRY_VOID(env.write([&](db::Txn& txn) { return txn.put("key", "value"); }));
//   POSTRIDER_TRY(auto txn, env.read());
//   POSTRIDER_TRY(auto value, txn.get("key"));          // optional<string_view>
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "db/txn.hpp"

namespace postrider::db {

struct Options {
  std::string path; // of the file itself; "<path>-lock" stands beside it
  std::uint64_t map_size = std::uint64_t{16} << 20; // to begin with; a larger file is fine
  std::uint64_t map_limit = std::uint64_t{1} << 36; // growth stops here
  bool read_only = false;
  bool immutable = false; // read only, and nobody writes: needs no right to the lock file
  bool durable = true;    // false: commits do not wait for the disk; for what can be made again
  std::uint32_t mode = 0600;
};

class Env {
 public:
  // Error not_found: read_only and no file. Error protocol: not an LMDB file, or of another version
  // (the owner may delete it and build it again).
  static Result<Env> open(const Options& options);
  Env(Env&&) noexcept;
  Env& operator=(Env&&) noexcept;
  ~Env();

  // A snapshot. Short-lived: while it lives, the file cannot reuse pages, and cannot grow.
  Result<Txn> read() const;

  // Runs `work` in a write transaction and commits it; when it returns an Error, nothing is
  // changed. When the file is full it grows and `work` runs AGAIN from the start: it must have no
  // other effects that matter. REQUIRES: no Txn of this Env is alive in this process.
  Result<void> write(const std::function<Result<void>(Txn&)>& work);

  // Makes commits of a database that is not durable reach the disk.
  Result<void> sync();

  const std::string& path() const;

 private:
  struct State;
  explicit Env(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Removes a database file and its lock file. REQUIRES: nobody has it open.
Result<void> remove_database(const std::string& path);

} // namespace postrider::db
