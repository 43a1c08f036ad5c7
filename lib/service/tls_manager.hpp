// SPDX-License-Identifier: MIT
// TlsManager: what this process and its siblings know of the TLS of servers, kept by tlsmgr. One
// per process. Mail goes on without tlsmgr: then the process remembers for itself, in bounded
// tables, and knows no policies of MTA-STS.
#pragma once

#include <chrono>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "proto/tlsmgr.hpp"
#include "service/caller.hpp"

namespace postrider::service {

struct TlsManagerSetup {
  std::string service = "tlsmgr"; // tlsmgr_service_name
  proto::SessionCache cache = proto::SessionCache::smtp;
  bool sessions = true; // false: sessions are not resumed (no database, or time-out 0)
  std::chrono::milliseconds session_timeout{3600000}; // for sessions kept in this process
  std::vector<std::string> sockets = {};              // for tests; empty: those of `service`
};

class TlsManager {
 public:
  static constexpr std::size_t kMostKeys = 1000;  // remembered in this process, of each kind
  static constexpr std::size_t kMostSessions = 4; // of one key, in this process

  TlsManager(ev::Loop& loop, TlsManagerSetup setup);
  ~TlsManager();

  // WAITS, a moment at most. The key must name everything that a session may not outlive: server,
  // service, TLS policy, identity. Empty: there is none. Whoever takes a session has it alone, and
  // puts what the connection leaves behind.
  ev::Task<std::string> take_session(const std::string& key);
  void put_session(const std::string& key, const std::string& session);

  // WAITS, a moment at most. What is remembered of a host; `host` names what TLS belongs to
  // (name of the MX host, and port where it is not 25).
  ev::Task<proto::HostMemory> recall(const std::string& host);
  // What a connection has shown. HostTls::none: TLS was not offered or did not work; that is
  // remembered of hosts only that had it.
  void remember(const std::string& host, proto::HostTls level);

  // WAITS for look-ups and a fetch where the policy is not known yet: up to `deadline`. An Error
  // means that nothing is known (tlsmgr is away, or too slow); !present, that no policy applies.
  ev::Task<Result<proto::Policy>> sts_policy(const std::string& domain, proto::PolicyWish wish,
                                             ev::Deadline deadline);

 private:
  struct Own; // memory of this process, while tlsmgr is away
  ev::Loop& loop_;
  TlsManagerSetup setup_;
  Caller caller_;
  std::unique_ptr<Own> own_;
};

} // namespace postrider::service
