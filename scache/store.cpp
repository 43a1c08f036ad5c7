// SPDX-License-Identifier: MIT
#include "store.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace postrider::scache {

Store::Saved Store::save(const std::string& destination, const std::string& endpoint, Duration ttl,
                         std::string facts, Fd fd, SteadyTime now) {
  Saved saved;
  saved.id = next_id_++;
  const SteadyTime until = now + std::clamp(ttl, Duration::zero(), limits_.ttl);
  Connection connection{saved.id, std::move(facts), std::move(fd)};
  connections_.emplace(saved.id, Kept{std::move(connection), endpoint, until});
  endpoints_[endpoint].insert(saved.id);
  expiry_.emplace(until, saved.id);
  if (!destination.empty()) link(destination, endpoint, until);
  while (connections_.size() > limits_.connections)
    saved.displaced.push_back(*remove(expiry_.begin()->second));
  note_most();
  return saved;
}

void Store::link(const std::string& destination, const std::string& endpoint, SteadyTime until) {
  auto& links = destinations_[destination];
  const auto [place, is_new] = links.try_emplace(endpoint, until);
  place->second = std::max(place->second, until);
  if (is_new) links_.emplace(until, Link{destination, endpoint});
  while (links_.size() > limits_.connections)
    unlink_expired(links_.begin()->first);
}

// A link that was used again since goes to the back of the line.
void Store::unlink_expired(SteadyTime now) {
  while (!links_.empty() && links_.begin()->first <= now) {
    auto entry = links_.extract(links_.begin());
    const auto from = destinations_.find(entry.mapped().destination);
    POSTRIDER_CHECK(from != destinations_.end());
    const auto to = from->second.find(entry.mapped().endpoint);
    POSTRIDER_CHECK(to != from->second.end());
    if (to->second > now) {
      entry.key() = to->second;
      links_.insert(std::move(entry));
      continue;
    }
    from->second.erase(to);
    if (from->second.empty()) destinations_.erase(from);
  }
}

std::optional<Connection> Store::newest_at(const std::string& endpoint, SteadyTime now) {
  const auto at = endpoints_.find(endpoint);
  if (at == endpoints_.end()) return std::nullopt;
  for (auto id = at->second.rbegin(); id != at->second.rend(); ++id)
    if (connections_.at(*id).until > now) return remove(*id);
  return std::nullopt;
}

std::optional<Connection> Store::find_by_endpoint(const std::string& endpoint, SteadyTime now) {
  std::optional<Connection> found = newest_at(endpoint, now);
  ++(found ? statistics_.by_endpoint.hits : statistics_.by_endpoint.misses);
  return found;
}

std::optional<Connection> Store::find_by_destination(const std::string& destination,
                                                     SteadyTime now) {
  const auto from = destinations_.find(destination);
  if (from != destinations_.end()) {
    for (const auto& [endpoint, until] : from->second) {
      if (until <= now) continue;
      std::optional<Connection> found = newest_at(endpoint, now);
      if (!found) continue;
      ++statistics_.by_destination.hits;
      return found;
    }
  }
  ++statistics_.by_destination.misses;
  return std::nullopt;
}

std::optional<Connection> Store::remove(std::uint64_t id) {
  const auto place = connections_.find(id);
  if (place == connections_.end()) return std::nullopt;
  const auto at = endpoints_.find(place->second.endpoint);
  POSTRIDER_CHECK(at != endpoints_.end());
  at->second.erase(id);
  if (at->second.empty()) endpoints_.erase(at);
  expiry_.erase({place->second.until, id});
  std::optional<Connection> out(std::move(place->second.connection));
  connections_.erase(place);
  return out;
}

std::vector<Connection> Store::expire(SteadyTime now) {
  std::vector<Connection> gone;
  while (!expiry_.empty() && expiry_.begin()->first <= now)
    gone.push_back(*remove(expiry_.begin()->second));
  unlink_expired(now);
  return gone;
}

std::vector<Connection> Store::remove_all() {
  std::vector<Connection> gone;
  while (!expiry_.empty())
    gone.push_back(*remove(expiry_.begin()->second));
  destinations_.clear();
  links_.clear();
  return gone;
}

std::optional<SteadyTime> Store::next_expiry() const {
  std::optional<SteadyTime> first;
  if (!expiry_.empty()) first = expiry_.begin()->first;
  if (!links_.empty() && (!first || links_.begin()->first < *first)) first = links_.begin()->first;
  return first;
}

void Store::note_most() {
  statistics_.most_destinations = std::max(statistics_.most_destinations, destinations_.size());
  statistics_.most_endpoints = std::max(statistics_.most_endpoints, endpoints_.size());
  statistics_.most_connections = std::max(statistics_.most_connections, connections_.size());
}

Statistics Store::take_statistics() {
  Statistics out = std::exchange(statistics_, Statistics());
  note_most();
  return out;
}

} // namespace postrider::scache
