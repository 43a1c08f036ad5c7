// SPDX-License-Identifier: MIT
#include "refusals.hpp"

#include <fcntl.h>
#include <vector>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "tls/digest.hpp"

namespace postrider::tokenmgr {
namespace {

constexpr std::string_view kSalt = "salt";
constexpr std::string_view kPrefix = "r";
constexpr std::uint64_t kMapLimit = std::uint64_t{256} << 20;

std::int64_t expires_of(std::string_view value) {
  return value.size() < 8 ? 0 : static_cast<std::int64_t>(get_le<std::uint64_t>(value));
}

// Reads every entry, and removes those whose time is over.
Result<void> look_through(db::Env& env, std::string& salt, WallTime now) {
  return env.write([&](db::Txn& txn) -> Result<void> {
    std::vector<std::string> old;
    POSTRIDER_TRY_VOID(txn.prefix(kPrefix, [&](std::string_view key, std::string_view value) {
      if (expires_of(value) <= to_unix_micros(now)) old.emplace_back(key);
      return true;
    }));
    for (const std::string& key : old)
      if (const Result<bool> erased = txn.erase(key); !erased) return erased.error();
    POSTRIDER_TRY(const auto known, txn.get(kSalt));
    if (known && known->size() == tls::kSha256) {
      salt = *known;
      return {};
    }
    salt.clear();
    for (std::size_t i = 0; i < tls::kSha256 / sizeof(std::uint64_t); ++i)
      put_le(salt, secure_random());
    POSTRIDER_TRY_VOID(txn.clear());
    return txn.put(kSalt, salt);
  });
}

} // namespace

Result<Refusals> Refusals::open(const std::string& path, WallTime now) {
  FileSystem& fs = real_file_system();
  const std::string mark = path + "-reading";
  if (fs.stat(mark)) {
    log::warning(path + ": damaged, begun anew");
    POSTRIDER_TRY_VOID(db::remove_database(path));
  }
  POSTRIDER_TRY(Fd made, fs.open(mark, O_WRONLY | O_CREAT));
  const auto attempt = [&]() -> Result<Refusals> {
    POSTRIDER_TRY(db::Env env, db::Env::open({.path = path, .map_limit = kMapLimit}));
    std::string salt;
    POSTRIDER_TRY_VOID(look_through(env, salt, now));
    return Refusals(std::move(env), std::move(salt));
  };
  Result<Refusals> out = attempt();
  if (!out && out.error().kind() == ErrorKind::protocol) {
    log::warning(path + ": " + out.error().text() + "; begun anew");
    POSTRIDER_TRY_VOID(db::remove_database(path));
    out = attempt();
  }
  POSTRIDER_TRY_VOID(fs.unlink(mark));
  return out;
}

std::string Refusals::key_of(std::string_view key) const {
  return std::string(kPrefix) + tls::keyed_digest(salt_, key);
}

std::optional<std::string> Refusals::find(std::string_view key, WallTime now) {
  const Result<db::Txn> txn = env_.read();
  if (!txn) return std::nullopt;
  const auto value = txn->get(key_of(key));
  if (!value || !*value || expires_of(**value) <= to_unix_micros(now)) return std::nullopt;
  return std::string((*value)->substr(8));
}

Result<void> Refusals::add(std::string_view key, std::string_view text, WallTime expires) {
  std::string value;
  put_le(value, static_cast<std::uint64_t>(to_unix_micros(expires)));
  value.append(text);
  return env_.write([&](db::Txn& txn) -> Result<void> {
    POSTRIDER_TRY(const std::uint64_t count, txn.count());
    if (count > kMost) { // the salt counts too
      std::string first;
      std::int64_t earliest = 0;
      POSTRIDER_TRY_VOID(txn.prefix(kPrefix, [&](std::string_view at, std::string_view of) {
        if (first.empty() || expires_of(of) < earliest) {
          first = at;
          earliest = expires_of(of);
        }
        return true;
      }));
      const Result<bool> erased = txn.erase(first);
      if (!erased) return erased.error();
    }
    return txn.put(key_of(key), value);
  });
}

} // namespace postrider::tokenmgr
