// SPDX-License-Identifier: MIT
// What anvil counts: for each client its connections now, and its events since its time unit began.
// As in the original a unit begins with the first event after the last one's end, for all kinds of
// events at once. Pure: time is passed in. One per process.
//
//   N1  a client with connections is never dropped; one without is, a unit after its last one ended
//   N2  no more than Limits::clients clients: beyond, the one that has been without connections the
//       longest makes room; when all have connections, a new one is not counted, and has no limits
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.hpp"
#include "proto/anvil.hpp"

namespace postrider::anvil {

struct Moment {
  SteadyTime steady;
  WallTime wall;
};

struct Highest {
  std::uint64_t value = 0; // 0: there was none
  std::string client = {};
  WallTime at = {};
};
struct Statistics {
  std::array<Highest, proto::kClientEvents> rates;
  Highest connections;
  Highest clients; // of no client
};

class Counts {
 public:
  struct Limits {
    Duration unit = std::chrono::seconds(60); // anvil_rate_time_unit
    std::size_t clients = 1000000;
  };
  struct Count {
    std::uint64_t connections = 0;
    std::uint64_t rate = 0;
  };
  explicit Counts(const Limits& limits) : limits_(limits) {}

  void set_unit(Duration unit) { limits_.unit = unit; }

  // A connection stays until disconnect(). Nothing: there was no room (N2).
  std::optional<Count> count(const std::string& client, proto::ClientEvent event, Moment now);
  // What count() returned last, without what is over.
  Count look(const std::string& client, proto::ClientEvent event, SteadyTime now) const;
  // REQUIRES: one of its connections was counted.
  void disconnect(const std::string& client, SteadyTime now);
  // Drops clients whose time is over.
  void expire(SteadyTime now);
  // When to call expire() next.
  std::optional<SteadyTime> next_expiry() const;

  std::size_t clients() const { return table_.size(); }
  // Since the last call.
  Statistics take_statistics();

 private:
  struct Client {
    SteadyTime began{}; // of its unit
    std::array<std::uint64_t, proto::kClientEvents> rates{};
    std::uint64_t connections = 0;
    SteadyTime idle_since{};                      // without connections
    std::list<const std::string*>::iterator idle; // valid then
  };
  Client* find_or_add(const std::string& client, Moment now);
  void set_idle(const std::string& name, Client& client, SteadyTime now);
  void drop_first();
  static void note(Highest& highest, std::uint64_t value, const std::string& client, WallTime at);

  Limits limits_;
  std::unordered_map<std::string, Client> table_;
  std::list<const std::string*> idle_; // keys of table_, longest idle first
  Statistics statistics_;
};

} // namespace postrider::anvil
