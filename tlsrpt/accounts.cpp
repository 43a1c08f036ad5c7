// SPDX-License-Identifier: MIT
#include "accounts.hpp"

#include <algorithm>
#include <fcntl.h>
#include <vector>

#include "base/fields.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "counts.hpp"

namespace postrider::tlsrpt {
namespace {

constexpr char kAccount = 'a', kLost = 'l';
constexpr std::int64_t kDay = 86400;
constexpr std::size_t kBatch = 500; // removed in one transaction

std::int64_t seconds_of(WallTime time) { return to_unix_micros(time) / 1000000; }
std::uint32_t day_of(WallTime time) { return static_cast<std::uint32_t>(seconds_of(time) / kDay); }

std::string day_key(char kind, std::uint32_t day) {
  std::string key(1, kind);
  for (int shift = 24; shift >= 0; shift -= 8)
    key.push_back(static_cast<char>(day >> shift));
  return key;
}
// What all accounts of a domain and day begin with.
std::string prefix_of(std::uint32_t day, std::string_view domain) {
  return day_key(kAccount, day).append(domain).append(1, '\0');
}
constexpr std::uint16_t kOpen = 0xffff; // the number of the one that counts

std::string account_key(std::uint32_t day, std::string_view domain, std::uint16_t number = kOpen) {
  std::string key = prefix_of(day, domain);
  key.push_back(static_cast<char>(number >> 8));
  key.push_back(static_cast<char>(number));
  return key;
}

// What an entry takes in the file: LMDB gives large values pages of their own.
std::uint64_t cost_of(std::string_view key, std::size_t value) {
  constexpr std::uint64_t kPage = 4096;
  if (key.size() + value < kPage / 2 - 64) return key.size() + value + 32;
  return (value + 16 + kPage - 1) / kPage * kPage + key.size() + 32;
}

} // namespace

Result<Accounts> Accounts::open(const std::string& path, std::uint64_t most_domains, WallTime now,
                                std::uint64_t most_bytes) {
  FileSystem& fs = real_file_system();
  const std::string mark = path + "-reading";
  if (fs.stat(mark)) {
    log::warning(path + ": damaged, begun anew");
    POSTRIDER_TRY_VOID(db::remove_database(path));
  }
  POSTRIDER_TRY(Fd made, fs.open(mark, O_WRONLY | O_CREAT));
  const auto attempt = [&]() -> Result<Accounts> {
    db::Options options;
    options.path = path;
    options.map_limit = 2 * most_bytes + (std::uint64_t{32} << 20); // LMDB copies on write
    options.durable = false;
    POSTRIDER_TRY(db::Env env, db::Env::open(options));
    Accounts accounts(std::move(env), most_domains, most_bytes);
    POSTRIDER_TRY_VOID(accounts.look_through());
    POSTRIDER_TRY_VOID(accounts.sweep(now));
    return accounts;
  };
  Result<Accounts> out = attempt();
  if (!out && out.error().kind() == ErrorKind::protocol) {
    log::warning(path + ": " + out.error().text() + "; begun anew");
    POSTRIDER_TRY_VOID(db::remove_database(path));
    out = attempt();
  }
  POSTRIDER_TRY_VOID(fs.unlink(mark));
  return out;
}

Result<void> Accounts::look_through() {
  POSTRIDER_TRY(const db::Txn txn, env_.read());
  return txn.range({}, {}, [&](std::string_view key, std::string_view value) {
    bytes_ += cost_of(key, value.size());
    return true;
  });
}

// `work` may run twice (Env::write), so the count begins where it was.
Result<void> Accounts::change(const std::function<Result<void>(db::Txn&)>& work) {
  const std::uint64_t before = bytes_;
  Result<void> done = env_.write([&](db::Txn& txn) {
    bytes_ = before;
    return work(txn);
  });
  if (!done) bytes_ = before;
  return done;
}

Result<void> Accounts::erase(db::Txn& txn, std::string_view key) {
  POSTRIDER_TRY(const auto value, txn.get(key));
  if (!value) return {};
  bytes_ -= std::min(bytes_, cost_of(key, value->size()));
  const Result<bool> erased = txn.erase(key);
  if (!erased) return erased.error();
  return {};
}

Result<void> Accounts::store(db::Txn& txn, std::string_view key, const proto::TlsAccount& account) {
  POSTRIDER_TRY_VOID(erase(txn, key));
  const std::string value = encode(account);
  POSTRIDER_TRY_VOID(txn.put(key, value));
  bytes_ += cost_of(key, value.size());
  return {};
}

// Old days go first; today is never dropped.
Result<void> Accounts::make_room(db::Txn& txn, std::uint64_t bytes, std::uint32_t today) {
  constexpr std::size_t kAtOnce = 16;
  while (bytes_ + bytes > most_bytes_) {
    std::vector<std::string> oldest;
    POSTRIDER_TRY_VOID(txn.range(day_key(kAccount, 0), day_key(kAccount, today),
                                 [&](std::string_view key, std::string_view) {
                                   oldest.emplace_back(key);
                                   return oldest.size() < kAtOnce;
                                 }));
    if (oldest.empty()) return Error(ErrorKind::limit, "there is no room for more");
    for (const std::string& key : oldest)
      POSTRIDER_TRY_VOID(erase(txn, key));
  }
  return {};
}

Result<proto::TlsAccount> Accounts::begin_account(const db::Txn& txn, const std::string& domain,
                                                  std::uint32_t today) {
  POSTRIDER_TRY_VOID(count_domains(txn, today));
  if (domains_ >= most_domains_)
    return Error(ErrorKind::limit, "there are " + std::to_string(most_domains_) +
                                       " domains today (tlsrpt_domain_limit)");
  proto::TlsAccount account;
  account.domain = domain;
  account.begin = today * kDay;
  account.end = account.begin + kDay;
  POSTRIDER_TRY_VOID(
      txn.prefix(prefix_of(today, domain), [&](std::string_view, std::string_view value) {
        const Result<proto::TlsAccount> ended = decode<proto::TlsAccount>(value);
        if (ended) account.begin = std::max(account.begin, ended->end);
        return true;
      }));
  return account;
}

Result<void> Accounts::count(const proto::TlsEvent& event, WallTime now) {
  const std::uint32_t today = day_of(now);
  const std::string key = account_key(today, event.domain);
  bool is_new = false;
  Result<void> counted = change([&](db::Txn& txn) -> Result<void> {
    POSTRIDER_TRY(const auto value, txn.get(key));
    const std::uint64_t cost = value ? cost_of(key, value->size()) : 0;
    Result<proto::TlsAccount> account = decode<proto::TlsAccount>(value.value_or(""));
    is_new = !account;
    if (is_new) account = begin_account(txn, event.domain, today);
    if (!account) return account.error();
    add(*account, event);
    const std::uint64_t needed = cost_of(key, encode(*account).size());
    if (needed > cost) POSTRIDER_TRY_VOID(make_room(txn, needed - cost, today));
    return store(txn, key, *account);
  });
  if (counted && is_new) ++domains_;
  if (counted) return counted;
  POSTRIDER_TRY_VOID(note_lost(today));
  return counted;
}

// They are few when a day begins.
Result<void> Accounts::count_domains(const db::Txn& txn, std::uint32_t today) {
  if (domains_day_ == today) return {};
  std::uint64_t count = 0;
  POSTRIDER_TRY_VOID(txn.prefix(day_key(kAccount, today), [&](std::string_view, std::string_view) {
    ++count;
    return true;
  }));
  domains_ = count;
  domains_day_ = today;
  return {};
}

Result<void> Accounts::note_lost(std::uint32_t today) {
  const std::string key = day_key(kLost, today);
  return change([&](db::Txn& txn) -> Result<void> {
    POSTRIDER_TRY(const auto value, txn.get(key));
    std::string next;
    const std::uint64_t so_far = value && value->size() == 8 ? get_le<std::uint64_t>(*value) : 0;
    put_le<std::uint64_t>(next, so_far + 1);
    if (!value) bytes_ += cost_of(key, next.size());
    return txn.put(key, next);
  });
}

std::uint64_t Accounts::lost() const {
  std::uint64_t sum = 0;
  const Result<db::Txn> txn = env_.read();
  if (!txn) return sum;
  const Result<void> read =
      txn->prefix(std::string_view(&kLost, 1), [&](std::string_view, std::string_view value) {
        if (value.size() == 8) sum += get_le<std::uint64_t>(value);
        return true;
      });
  if (!read) log::warning(env_.path() + ": " + read.error().text());
  return sum;
}

Result<void> Accounts::each(std::string_view after, const Visit& visit) const {
  POSTRIDER_TRY(const db::Txn txn, env_.read());
  const std::string first = after.empty() ? std::string(1, kAccount) : std::string(after) + '\0';
  return txn.range(first, std::string(1, kAccount + 1),
                   [&](std::string_view key, std::string_view value) {
                     const Result<proto::TlsAccount> account = decode<proto::TlsAccount>(value);
                     return !account || visit(key, *account);
                   });
}

Result<void> Accounts::each_of(const std::string& domain, WallTime now, const Visit& visit) const {
  POSTRIDER_TRY(const db::Txn txn, env_.read());
  const std::uint32_t today = day_of(now);
  bool on = true;
  for (std::uint32_t day = today - kDaysKept; day <= today && on; ++day) {
    POSTRIDER_TRY_VOID(
        txn.prefix(prefix_of(day, domain), [&](std::string_view key, std::string_view value) {
          const Result<proto::TlsAccount> account = decode<proto::TlsAccount>(value);
          if (account) on = visit(key, *account);
          return on;
        }));
  }
  return {};
}

std::optional<proto::TlsAccount> Accounts::get(std::string_view key) const {
  const Result<db::Txn> txn = env_.read();
  if (!txn) return std::nullopt;
  const auto value = txn->get(key);
  if (!value || !*value) return std::nullopt;
  Result<proto::TlsAccount> account = decode<proto::TlsAccount>(**value);
  if (!account) return std::nullopt;
  return std::move(*account);
}

Result<void> Accounts::put(std::string_view key, const proto::TlsAccount& account) {
  return change([&](db::Txn& txn) { return store(txn, key, account); });
}

Result<bool> Accounts::end_today(const std::string& domain, WallTime now) {
  const std::uint32_t today = day_of(now);
  const std::string key = account_key(today, domain);
  bool ended = false;
  const Result<void> changed = change([&](db::Txn& txn) -> Result<void> {
    ended = false;
    POSTRIDER_TRY(const auto value, txn.get(key));
    if (!value) return {};
    POSTRIDER_TRY(proto::TlsAccount account, decode<proto::TlsAccount>(*value));
    std::uint16_t number = 0;
    POSTRIDER_TRY_VOID(
        txn.prefix(prefix_of(today, domain), [&](std::string_view at, std::string_view) {
          if (at != key) ++number;
          return true;
        }));
    if (number == kOpen) return Error(ErrorKind::limit, "too many reports of one day");
    account.end = std::max(account.begin + 1, seconds_of(now));
    POSTRIDER_TRY_VOID(erase(txn, key));
    ended = true;
    return store(txn, account_key(today, domain, number), account);
  });
  if (!changed) return changed.error();
  return ended;
}

Result<void> Accounts::sweep(WallTime now) {
  const std::uint32_t first = day_of(now) - kDaysKept + 1;
  for (const char kind : {kAccount, kLost}) {
    std::vector<std::string> old;
    do {
      old.clear();
      const Result<void> swept = change([&](db::Txn& txn) -> Result<void> {
        old.clear();
        POSTRIDER_TRY_VOID(txn.range(day_key(kind, 0), day_key(kind, first),
                                     [&](std::string_view key, std::string_view) {
                                       old.emplace_back(key);
                                       return old.size() < kBatch;
                                     }));
        for (const std::string& key : old)
          POSTRIDER_TRY_VOID(erase(txn, key));
        return {};
      });
      if (!swept) return swept;
    } while (old.size() == kBatch);
  }
  return {};
}

} // namespace postrider::tlsrpt
