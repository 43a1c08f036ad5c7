// SPDX-License-Identifier: MIT
// ConnectionCache: idle connections that scache keeps for all agents. One per process. Without
// scache there is nothing to be found and nothing is taken: mail goes on over fresh connections.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "service/caller.hpp"

namespace postrider::service {

struct ConnectionCacheSetup {
  std::string service = "scache";          // connection_cache_service_name
  std::chrono::milliseconds timeout{5000}; // connection_cache_protocol_timeout
  std::vector<std::string> sockets = {};   // for tests; empty: those of `service`
};

class ConnectionCache {
 public:
  ConnectionCache(ev::Loop& loop, ConnectionCacheSetup setup);

  // Whether save() would send one now. Connects when it is time to.
  bool available() { return caller_.available(); }
  struct Offer {
    std::string destination; // empty: to be found by endpoint only
    std::string endpoint;
    std::chrono::milliseconds ttl{0};
    std::string facts;
  };
  // WAITS until scache has it. The descriptor is given away; on an Error the connection is lost.
  // REQUIRES: the keys are not longer than proto::kMostCacheKey.
  ev::Task<Result<void>> save(ev::Lent<const Offer> offer, Fd& fd);

  struct Found {
    std::string facts;
    Fd fd; // whatever scache took for a connection: to be looked at before use
  };
  // By a destination or an endpoint, the other is empty. WAITS, connection_cache_protocol_timeout
  // at most. Error not_found: there is none, or no scache.
  ev::Task<Result<Found>> find(const std::string& destination, const std::string& endpoint);

 private:
  ev::Loop& loop_;
  std::chrono::milliseconds timeout_;
  Caller caller_;
};

} // namespace postrider::service
