// SPDX-License-Identifier: MIT
// What scache keeps: destinations that lead to endpoints, endpoints that lead to idle connections.
// A destination is served by any connection to one of its endpoints, whoever saved it. Pure: time
// is passed in, descriptors are only held. One per process.
//
//   S1  a connection is in the store or was handed out to one taker, never both
//   S2  nothing is handed out at or after its time, and nothing is kept longer than Limits::ttl
//   S3  no more than Limits::connections connections, and as many links: beyond, the one that has
//       the least time left makes room
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"

namespace postrider::scache {

struct Connection {
  std::uint64_t id = 0; // unique for the life of the store
  std::string facts;
  Fd fd;
};

struct Lookups {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
};
struct Statistics {
  Lookups by_destination, by_endpoint;
  std::size_t most_destinations = 0, most_endpoints = 0, most_connections = 0; // at one time
};

class Store {
 public:
  struct Limits {
    Duration ttl = std::chrono::seconds(2);
    std::size_t connections = 1000;
  };
  explicit Store(const Limits& limits) : limits_(limits) {}

  void set_ttl(Duration ttl) { limits_.ttl = ttl; } // for what is saved from now on

  struct Saved {
    std::uint64_t id = 0;
    std::vector<Connection> displaced; // had to make room; perhaps the new one itself
  };
  Saved save(const std::string& destination, const std::string& endpoint, Duration ttl,
             std::string facts, Fd fd, SteadyTime now);
  // The connection that was saved last. Counted as a hit or a miss.
  std::optional<Connection> find_by_destination(const std::string& destination, SteadyTime now);
  std::optional<Connection> find_by_endpoint(const std::string& endpoint, SteadyTime now);
  // Nothing when it is gone already.
  std::optional<Connection> remove(std::uint64_t id);
  // Those whose time is over.
  std::vector<Connection> expire(SteadyTime now);
  std::vector<Connection> remove_all();
  // When to call expire() next.
  std::optional<SteadyTime> next_expiry() const;

  std::size_t connections() const { return connections_.size(); }
  std::size_t destinations() const { return destinations_.size(); }
  std::size_t endpoints() const { return endpoints_.size(); }
  // Since the last call. What is there now counts for the next time.
  Statistics take_statistics();

 private:
  struct Kept {
    Connection connection;
    std::string endpoint;
    SteadyTime until;
  };
  struct Link {
    std::string destination, endpoint;
  };
  std::optional<Connection> newest_at(const std::string& endpoint, SteadyTime now);
  void link(const std::string& destination, const std::string& endpoint, SteadyTime until);
  void unlink_expired(SteadyTime now);
  void note_most();

  Limits limits_;
  std::uint64_t next_id_ = 1;
  std::unordered_map<std::uint64_t, Kept> connections_;
  std::unordered_map<std::string, std::set<std::uint64_t>> endpoints_; // never empty
  // Until when each link holds; one entry of links_ for each, which may be early.
  std::unordered_map<std::string, std::map<std::string, SteadyTime>> destinations_;
  std::set<std::pair<SteadyTime, std::uint64_t>> expiry_; // of connections
  std::multimap<SteadyTime, Link> links_;
  Statistics statistics_;
};

} // namespace postrider::scache
