// SPDX-License-Identifier: MIT
// Idle sessions that change the process, by way of scache: given away by the pool of one, found by
// the pool of another. One per process. Mail goes on without scache.
//
// Asking costs a round trip to scache, so it is done where it may be worth that: for destinations
// and endpoints under load or listed in smtp_connection_cache_destinations, for any while this
// process is young and may follow one that has retired, and for what this process itself has given
// away just now. After a miss a key is not asked for again for a moment.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "ev/group.hpp"
#include "service/connection_cache.hpp"
#include "smtpclient/session.hpp"

namespace postrider::smtpclient {

class Handover {
 public:
  static constexpr std::size_t kMostGiven = 500;              // on their way at a time
  static constexpr Duration kPause = std::chrono::seconds(1); // after a miss

  // All must outlive it. Tables are for the sessions that arrive.
  Handover(ev::Loop& loop, service::ConnectionCache& cache, const Options& options, Tables& tables);
  ~Handover() { stop(); }

  // What scache knows a session by. Both in the words of Pool.
  struct Keys {
    std::string_view destination, endpoint;
  };
  // Gives the session away for `left`. False: that cannot be, and it is still there.
  bool give(std::unique_ptr<Session>& session, const Keys& keys, Duration left);
  std::size_t under_way() const { return saves_.size(); }

  enum class By : std::uint8_t { destination, endpoint };
  bool is_worth_asking(By by, std::string_view key, bool busy);
  // WAITS for scache. Null: there is none. What comes is open and silent, leads to the server that
  // it names, and was saved under that server's key.
  struct EndpointKey {
    std::string (*of)(const Peer& peer, std::string_view security);
    std::string_view security;
  };
  ev::Task<std::unique_ptr<Session>> find(By by, std::string_view key,
                                          ev::Lent<const EndpointKey> endpoint_key);

  void stop(); // before the loop ends

 private:
  struct Memory {
    SteadyTime missed{};
    SteadyTime there_until{}; // given away by us
  };
  std::string full_key(std::string_view key) const;
  Memory& remember(By by, std::string_view key);
  std::unique_ptr<Session> adopt(service::ConnectionCache::Found found, std::string_view wanted,
                                 const EndpointKey& endpoint_key);

  ev::Loop& loop_;
  service::ConnectionCache& cache_;
  const Options& options_;
  Tables& tables_;
  std::string prefix_; // what sessions of this service have in common, and others have not
  SteadyTime born_;
  std::unordered_map<std::string, Memory> memory_;
  SteadyTime swept_{};
  ev::Group saves_;
};

} // namespace postrider::smtpclient
