// SPDX-License-Identifier: MIT
#include "db/txn.hpp"

#include "base/check.hpp"
#include "db/lmdb.hpp"

namespace postrider::db {

namespace {

class Cursor {
 public:
  ~Cursor() {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  }
  int open(MDB_txn* txn, MDB_dbi dbi) { return mdb_cursor_open(txn, dbi, &cursor_); }
  int get(MDB_val& key, MDB_val& value, MDB_cursor_op op) {
    return mdb_cursor_get(cursor_, &key, &value, op);
  }

 private:
  MDB_cursor* cursor_ = nullptr;
};

// Keys of other lengths are nowhere in the table.
bool is_key(std::string_view key) { return !key.empty() && key.size() <= kLongestKey; }

Error bad_key(std::string_view key) {
  return {ErrorKind::limit, "a key has " + std::to_string(key.size()) + " bytes; 1 to 511 fit"};
}

} // namespace

Error to_error(std::string_view what, int code) {
  if (code > 0) return Error::from_errno(what, code);
  ErrorKind kind = ErrorKind::io;
  switch (code) {
  case MDB_INVALID:
  case MDB_VERSION_MISMATCH:
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
  case MDB_PANIC:
  case MDB_INCOMPATIBLE: kind = ErrorKind::protocol; break;
  case MDB_MAP_FULL:
  case MDB_READERS_FULL:
  case MDB_TXN_FULL:
  case MDB_BAD_VALSIZE: kind = ErrorKind::limit; break;
  case MDB_MAP_RESIZED: kind = ErrorKind::busy; break;
  default: break;
  }
  return {kind, std::string(what) + ": " + mdb_strerror(code)};
}

Txn::Txn(std::unique_ptr<State> state) : state_(std::move(state)) {}
Txn::Txn(Txn&&) noexcept = default;
Txn& Txn::operator=(Txn&&) noexcept = default;
Txn::~Txn() = default;

Result<std::optional<std::string_view>> Txn::get(std::string_view key) const {
  if (!is_key(key)) return std::optional<std::string_view>();
  MDB_val k = to_val(key), v{};
  const int code = mdb_get(state_->txn, state_->dbi, &k, &v);
  if (code == MDB_NOTFOUND) return std::optional<std::string_view>();
  if (code != 0) return to_error("reading", code);
  return std::optional<std::string_view>(to_view(v));
}

Result<void> Txn::put(std::string_view key, std::string_view value) {
  if (!is_key(key)) return bad_key(key);
  MDB_val k = to_val(key), v = to_val(value);
  const int code = mdb_put(state_->txn, state_->dbi, &k, &v, 0);
  if (code == 0) return {};
  if (state_->failed == 0) state_->failed = code;
  return to_error("writing", code);
}

Result<bool> Txn::erase(std::string_view key) {
  if (!is_key(key)) return false;
  MDB_val k = to_val(key);
  const int code = mdb_del(state_->txn, state_->dbi, &k, nullptr);
  if (code == MDB_NOTFOUND) return false;
  if (code == 0) return true;
  if (state_->failed == 0) state_->failed = code;
  return to_error("erasing", code);
}

Result<void> Txn::clear() {
  const int code = mdb_drop(state_->txn, state_->dbi, 0);
  if (code == 0) return {};
  if (state_->failed == 0) state_->failed = code;
  return to_error("clearing", code);
}

Result<std::uint64_t> Txn::count() const {
  MDB_stat stat{};
  if (const int code = mdb_stat(state_->txn, state_->dbi, &stat); code != 0)
    return to_error("counting", code);
  return static_cast<std::uint64_t>(stat.ms_entries);
}

Result<void> Txn::range(std::string_view first, std::string_view last, const Visit& visit) const {
  Cursor cursor;
  if (const int code = cursor.open(state_->txn, state_->dbi); code != 0)
    return to_error("reading", code);
  // A longer first key cannot be asked for; entries before it are passed over instead.
  MDB_val k = to_val(first.substr(0, kLongestKey)), v{};
  int code = cursor.get(k, v, first.empty() ? MDB_FIRST : MDB_SET_RANGE);
  for (; code == 0; code = cursor.get(k, v, MDB_NEXT)) {
    const std::string_view key = to_view(k);
    if (key < first) continue;
    if (!last.empty() && key >= last) return {};
    if (!visit(key, to_view(v))) return {};
  }
  if (code == MDB_NOTFOUND) return {};
  return to_error("reading", code);
}

Result<void> Txn::prefix(std::string_view prefix, const Visit& visit) const {
  return range(prefix, {}, [&](std::string_view key, std::string_view value) {
    return key.starts_with(prefix) && visit(key, value);
  });
}

} // namespace postrider::db
