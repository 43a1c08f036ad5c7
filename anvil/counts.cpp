// SPDX-License-Identifier: MIT
#include "counts.hpp"

#include <utility>

#include "base/check.hpp"

namespace postrider::anvil {
namespace {

std::size_t index_of(proto::ClientEvent event) { return static_cast<std::size_t>(event); }

} // namespace

std::optional<Counts::Count> Counts::count(const std::string& name, proto::ClientEvent event,
                                           Moment now) {
  expire(now.steady);
  Client* client = find_or_add(name, now);
  if (client == nullptr) return std::nullopt;
  if (now.steady - client->began >= limits_.unit) {
    client->began = now.steady;
    client->rates = {};
  }
  const std::uint64_t rate = ++client->rates[index_of(event)];
  note(statistics_.rates[index_of(event)], rate, name, now.wall);
  if (event == proto::ClientEvent::connection) {
    if (client->connections++ == 0) idle_.erase(client->idle);
    note(statistics_.connections, client->connections, name, now.wall);
  } else if (client->connections == 0) {
    idle_.erase(client->idle);
    set_idle(name, *client, now.steady);
  }
  return Count{client->connections, rate};
}

Counts::Count Counts::look(const std::string& name, proto::ClientEvent event,
                           SteadyTime now) const {
  const auto found = table_.find(name);
  if (found == table_.end()) return {};
  const Client& client = found->second;
  const bool is_over = now - client.began >= limits_.unit;
  return {client.connections, is_over ? 0 : client.rates[index_of(event)]};
}

void Counts::disconnect(const std::string& name, SteadyTime now) {
  const auto found = table_.find(name);
  POSTRIDER_CHECK(found != table_.end() && found->second.connections > 0);
  if (--found->second.connections == 0) set_idle(found->first, found->second, now);
}

void Counts::expire(SteadyTime now) {
  for (auto first = next_expiry(); first && *first <= now; first = next_expiry())
    drop_first();
}

std::optional<SteadyTime> Counts::next_expiry() const {
  if (idle_.empty()) return std::nullopt;
  return table_.at(*idle_.front()).idle_since + limits_.unit;
}

Counts::Client* Counts::find_or_add(const std::string& name, Moment now) {
  const auto found = table_.find(name);
  if (found != table_.end()) return &found->second;
  if (table_.size() >= limits_.clients) {
    if (idle_.empty()) return nullptr;
    drop_first();
  }
  const auto added = table_.try_emplace(name).first;
  added->second.began = now.steady;
  set_idle(added->first, added->second, now.steady);
  note(statistics_.clients, table_.size(), {}, now.wall);
  return &added->second;
}

// `name` is the key in table_, or equal to it.
void Counts::set_idle(const std::string& name, Client& client, SteadyTime now) {
  client.idle_since = now;
  client.idle = idle_.insert(idle_.end(), &table_.find(name)->first);
}

void Counts::drop_first() {
  const auto client = table_.find(*idle_.front());
  idle_.pop_front();
  table_.erase(client);
}

void Counts::note(Highest& highest, std::uint64_t value, const std::string& client, WallTime at) {
  if (value > highest.value) highest = {value, client, at};
}

Statistics Counts::take_statistics() { return std::exchange(statistics_, Statistics()); }

} // namespace postrider::anvil
