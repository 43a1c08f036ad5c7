// SPDX-License-Identifier: MIT
// Accounts: what was counted, by day and domain, in an LMDB file with bounds: so many domains in a
// day, so many bytes; for these, old days make room. Nothing here waits; calls may block on the
// disk. Two processes may have the file while one takes over.
//
//   "a" day(4, big-endian) domain 0 number(2) -> TlsAccount of that day of UTC; the number is
//   65535,
//                                               or counts those that ended earlier (`end_today`)
//   "l" day(4)                                -> events of that day for which there was no room (8)
//
// A file that cannot be read costs its content. LMDB maps files, so that a damaged one may end the
// process: while a file is first looked through, a mark stands beside it, and who finds the mark at
// a start begins anew.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "db/env.hpp"
#include "proto/tlsrpt.hpp"

namespace postrider::tlsrpt {

class Accounts {
 public:
  static constexpr int kDaysKept = 8; // today included
  static constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;

  static Result<Accounts> open(const std::string& path, std::uint64_t most_domains, WallTime now,
                               std::uint64_t most_bytes = kMostBytes);

  // REQUIRES service::check(event). Error limit: there is no room, the event is counted as lost.
  Result<void> count(const proto::TlsEvent& event, WallTime now);

  // Keys are opaque, and in order of time. `visit` must not change anything.
  using Visit = std::function<bool(std::string_view key, const proto::TlsAccount& account)>;
  Result<void> each(std::string_view after, const Visit& visit) const;
  Result<void> each_of(const std::string& domain, WallTime now, const Visit& visit) const;
  std::optional<proto::TlsAccount> get(std::string_view key) const;
  Result<void> put(std::string_view key, const proto::TlsAccount& account);

  // The account that the domain has of today ends now; what comes begins another one. False: it
  // has none.
  Result<bool> end_today(const std::string& domain, WallTime now);
  // Removes what is too old.
  Result<void> sweep(WallTime now);

  std::uint64_t lost() const; // over the days that are kept
  std::uint64_t bytes() const { return bytes_; }

 private:
  Accounts(db::Env env, std::uint64_t most_domains, std::uint64_t most_bytes)
      : env_(std::move(env)), most_domains_(most_domains), most_bytes_(most_bytes) {}
  Result<void> look_through();
  Result<void> change(const std::function<Result<void>(db::Txn&)>& work);
  Result<void> store(db::Txn& txn, std::string_view key, const proto::TlsAccount& account);
  Result<void> erase(db::Txn& txn, std::string_view key);
  Result<void> make_room(db::Txn& txn, std::uint64_t bytes, std::uint32_t today);
  Result<proto::TlsAccount> begin_account(const db::Txn& txn, const std::string& domain,
                                          std::uint32_t today);
  Result<void> note_lost(std::uint32_t today);
  Result<void> count_domains(const db::Txn& txn, std::uint32_t today);

  db::Env env_;
  std::uint64_t most_domains_;
  std::uint64_t most_bytes_;
  std::uint64_t bytes_ = 0;
  std::uint64_t domains_ = 0; // accounts of `domains_day_`
  std::uint32_t domains_day_ = 0;
};

} // namespace postrider::tlsrpt
