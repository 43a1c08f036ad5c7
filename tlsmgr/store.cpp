// SPDX-License-Identifier: MIT
#include "store.hpp"

#include <algorithm>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "entry.hpp"
#include "salvage.hpp"

namespace postrider::tlsmgr {
namespace {

constexpr std::size_t kSweepBatch = 1000;

Result<Fd> become_owner(const StoreSetup& setup) {
  FileSystem& fs = real_file_system();
  POSTRIDER_TRY(Fd fd, fs.open(setup.path + ".owner", O_RDWR | O_CREAT, 0600));
  const auto limit = std::chrono::steady_clock::now() + setup.owner_limit;
  while (true) {
    POSTRIDER_TRY(const bool locked, fs.try_lock(fd.get()));
    if (locked) return fd;
    if (std::chrono::steady_clock::now() > limit)
      return Error(ErrorKind::busy, setup.path + ": another process has it");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Result<void> begin_anew(const std::string& fresh) {
  POSTRIDER_TRY_VOID(db::remove_database(fresh));
  POSTRIDER_TRY(db::Env env, db::Env::open({.path = fresh}));
  return env.write([](db::Txn& txn) { return txn.put(kVersionKey, kFormat); });
}

} // namespace

std::uint64_t map_limit(const StoreSetup& setup) {
  return 2 * setup.limit + (std::uint64_t{32} << 20);
}

Store::Store(StoreSetup setup, Fd owner, db::Env env)
    : setup_(std::move(setup)), owner_(std::move(owner)), env_(std::move(env)) {}

Result<Store> Store::open(StoreSetup setup, WallTime now) {
  POSTRIDER_TRY(Fd owner, become_owner(setup));
  const std::string fresh = setup.path + ".new";
  Result<void> good = Error(ErrorKind::not_found, "");
  if (::access(setup.path.c_str(), F_OK) == 0) {
    good = salvage(setup, fresh, now);
    if (!good) log::warning(setup.path + ": " + good.error().text() + "; what was in it is lost");
  }
  if (!good) POSTRIDER_TRY_VOID(begin_anew(fresh));
  // The lock file of LMDB belongs to the database that it was made for.
  POSTRIDER_TRY_VOID(db::remove_database(setup.path));
  POSTRIDER_TRY_VOID(real_file_system().rename(fresh, setup.path));
  ::unlink((fresh + "-lock").c_str());
  POSTRIDER_TRY(
      db::Env env,
      db::Env::open({.path = setup.path, .map_limit = map_limit(setup), .durable = setup.durable}));
  Store store(std::move(setup), std::move(owner), std::move(env));
  POSTRIDER_TRY_VOID(store.count());
  return store;
}

Result<void> Store::count() {
  POSTRIDER_TRY(const db::Txn txn, env_.read());
  return txn.prefix("e", [&](std::string_view, std::string_view sealed) {
    bytes_ += cost_of(sealed.size());
    ++size_;
    return true;
  });
}

// `work` may run twice (Env::write), so the counts begin where they were.
Result<void> Store::change(const std::function<Result<void>(db::Txn&, Store&)>& work) {
  const std::uint64_t bytes = bytes_, size = size_;
  Result<void> done = env_.write([&](db::Txn& txn) {
    bytes_ = bytes;
    size_ = size;
    return work(txn, *this);
  });
  if (!done) {
    bytes_ = bytes;
    size_ = size;
  }
  return done;
}

Result<void> Store::remove(db::Txn& txn, const std::string& key) {
  POSTRIDER_TRY(const auto sealed, txn.get(key));
  const std::size_t length = sealed ? sealed->size() : 0;
  POSTRIDER_TRY(const bool there, txn.erase(key));
  POSTRIDER_TRY([[maybe_unused]] const bool timed,
                txn.erase(time_key(digest_of(key), expires_of(key))));
  if (!there) return {};
  bytes_ -= std::min(bytes_, cost_of(length));
  --size_;
  return {};
}

Result<std::vector<std::string>> Store::first(const db::Txn& txn, std::size_t most,
                                              std::optional<WallTime> until) const {
  std::vector<std::string> keys;
  POSTRIDER_TRY_VOID(txn.prefix("t", [&](std::string_view key, std::string_view) {
    const WallTime expires = from_big_endian(key.substr(1, 8));
    if (keys.size() >= most || (until && expires > *until)) return false;
    keys.push_back(entry_key(key.substr(9), expires));
    return true;
  }));
  return keys;
}

Result<void> Store::add(db::Txn& txn, const std::string& digest, std::string_view value,
                        WallTime expires) {
  std::vector<std::string> others;
  POSTRIDER_TRY_VOID(txn.prefix("e" + digest, [&](std::string_view key, std::string_view) {
    others.emplace_back(key);
    return true;
  }));
  for (std::size_t i = 0; i + setup_.keep <= others.size(); ++i)
    POSTRIDER_TRY_VOID(remove(txn, others[i]));
  std::string key = entry_key(digest, expires);
  while (std::find(others.begin(), others.end(), key) != others.end())
    key = entry_key(digest, expires += std::chrono::microseconds(1));
  const std::string sealed = seal(key, value);
  const std::uint64_t cost = cost_of(sealed.size());
  while (bytes_ + cost > setup_.limit && size_ > 0) {
    POSTRIDER_TRY(const std::vector<std::string> oldest, first(txn, 1, std::nullopt));
    if (oldest.empty()) break;
    POSTRIDER_TRY_VOID(remove(txn, oldest.front()));
  }
  POSTRIDER_TRY_VOID(txn.put(key, sealed));
  POSTRIDER_TRY_VOID(txn.put(time_key(digest, expires), std::string_view()));
  bytes_ += cost;
  ++size_;
  return {};
}

Result<void> Store::put(std::string_view key, std::string_view value, WallTime expires) {
  const std::string digest = tls::sha256(key);
  if (cost_of(value.size() + 4) > setup_.limit)
    return Error(ErrorKind::limit, "larger than the whole cache");
  return change([&](db::Txn& txn, Store& store) { return store.add(txn, digest, value, expires); });
}

std::optional<Store::Found> Store::get(std::string_view key, WallTime now) const {
  auto txn = env_.read();
  if (!txn) return std::nullopt;
  std::optional<Found> found; // the last in order of time that is good
  const auto read =
      txn->prefix("e" + tls::sha256(key), [&](std::string_view entry, std::string_view sealed) {
        if (const auto value = unseal(entry, sealed); value && expires_of(entry) > now)
          found = Found{std::string(*value), expires_of(entry)};
        return true;
      });
  return read ? found : std::nullopt;
}

std::optional<Store::Found> Store::take(std::string_view key, WallTime now) {
  std::optional<Found> found = get(key, now);
  if (!found) return std::nullopt;
  const std::string entry = entry_key(tls::sha256(key), found->expires);
  const auto removed = change([&](db::Txn& txn, Store& store) { return store.remove(txn, entry); });
  if (!removed) return std::nullopt; // two must not have it
  return found;
}

Result<void> Store::erase(std::string_view key) {
  const std::string digest = tls::sha256(key);
  return change([&](db::Txn& txn, Store& store) -> Result<void> {
    std::vector<std::string> entries;
    POSTRIDER_TRY_VOID(txn.prefix("e" + digest, [&](std::string_view entry, std::string_view) {
      entries.emplace_back(entry);
      return true;
    }));
    for (const std::string& entry : entries)
      POSTRIDER_TRY_VOID(store.remove(txn, entry));
    return {};
  });
}

void Store::each(WallTime now, const std::function<bool(const Found&)>& visit) const {
  const auto txn = env_.read();
  if (!txn) return;
  const auto read = txn->prefix("e", [&](std::string_view entry, std::string_view sealed) {
    const auto value = unseal(entry, sealed);
    if (!value || expires_of(entry) <= now) return true;
    return visit({std::string(*value), expires_of(entry)});
  });
  if (!read) log::warning(setup_.path + ": " + read.error().text());
}

bool Store::sweep(WallTime now) {
  bool more = false;
  const auto swept = change([&](db::Txn& txn, Store& store) -> Result<void> {
    POSTRIDER_TRY(const std::vector<std::string> expired, store.first(txn, kSweepBatch, now));
    for (const std::string& entry : expired)
      POSTRIDER_TRY_VOID(store.remove(txn, entry));
    more = expired.size() == kSweepBatch;
    return {};
  });
  if (!swept) log::warning(setup_.path + ": " + swept.error().text());
  return swept && more;
}

} // namespace postrider::tlsmgr
