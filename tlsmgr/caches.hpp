// SPDX-License-Identifier: MIT
// Caches: the sessions, the memory of hosts and the keys of tickets, in their files. Owned by the
// Service. Never waits. A file that cannot be used is said once, and is then as good as empty: mail
// goes on.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "config/settings.hpp"
#include "proto/tlsmgr.hpp"
#include "store.hpp"

namespace postrider::tlsmgr {

// The file of "lmdb:/path"; as in tables, ".lmdb" is added. "btree:", "hash:" and "dbm:", which
// Postfix knows, mean lmdb. Error config: no path, or a type that cannot be written to.
Result<std::string> database_file(std::string_view database);

struct CacheOptions {
  struct Sessions {
    std::string file; // empty: sessions are not kept
    std::chrono::milliseconds timeout{0};
    bool operator==(const Sessions&) const = default;
  };
  std::array<Sessions, 2> sessions; // by proto::SessionCache
  std::uint64_t session_limit = 64 << 20;
  std::string memory_file;
  std::chrono::milliseconds memory_time{0}; // 0: nothing is remembered
  std::string ticket_file;
  std::chrono::milliseconds ticket_period{0}; // of a key of session tickets; 0: there are none

  // Says what it does not take.
  static CacheOptions load(const config::Settings& settings);
};

class Caches {
 public:
  static constexpr std::size_t kSessionsPerKey = 8;
  static constexpr std::uint64_t kMemoryLimit = 16 << 20;
  static constexpr std::uint64_t kTicketLimit = 64 << 10;

  // Blocks: see Store::open.
  Caches(CacheOptions options, Clock& clock);

  std::string take_session(proto::SessionCache cache, std::string_view key); // empty: none
  void put_session(proto::SessionCache cache, std::string_view key, std::string_view session);
  proto::HostMemory recall(std::string_view host) const;
  void remember(std::string_view host, proto::HostTls level);
  // That of this period, made when it is first asked for, and that of the one before.
  proto::TicketKeys ticket_keys();

  // True: there is more to do.
  bool sweep();
  void close(); // the files are another process's from now on

 private:
  std::shared_ptr<Store> open(const std::string& file, std::uint64_t limit, std::size_t keep,
                              std::chrono::milliseconds longest);
  void note(const Store& store, const Result<void>& written);

  CacheOptions options_;
  Clock& clock_;
  std::array<std::shared_ptr<Store>, 2> sessions_; // one Store when both have one file
  std::shared_ptr<Store> memory_;
  std::shared_ptr<Store> tickets_;
  bool writes_fail_ = false;
};

} // namespace postrider::tlsmgr
