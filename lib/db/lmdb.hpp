// SPDX-License-Identifier: MIT
// Inside lib/db only: LMDB's types, and its return codes as Errors.
#pragma once

#include <lmdb.h>
#include <string_view>

#include "base/error.hpp"
#include "db/txn.hpp"

namespace postrider::db {

struct Txn::State {
  MDB_txn* txn = nullptr; // null once committed or given up
  MDB_dbi dbi = 0;
  int failed = 0; // the first code that ends a write transaction, such as MDB_MAP_FULL

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (txn != nullptr) mdb_txn_abort(txn);
  }
};

// kinds: MDB_INVALID, _VERSION_MISMATCH, _CORRUPTED, _PAGE_NOTFOUND, _PANIC, _INCOMPATIBLE:
// protocol; MDB_MAP_FULL, _READERS_FULL, _TXN_FULL: limit; errno codes as Error::from_errno has
// them.
Error to_error(std::string_view what, int code);

inline MDB_val to_val(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};
}
inline std::string_view to_view(const MDB_val& val) {
  return {static_cast<const char*>(val.mv_data), val.mv_size};
}

} // namespace postrider::db
