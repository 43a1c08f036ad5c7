// SPDX-License-Identifier: MIT
#include "smtpclient/auth_memory.hpp"

#include "base/ascii.hpp"
#include "tls/digest.hpp"

namespace postrider::smtpclient {

std::string AuthMemory::key(std::string_view server, std::string_view user,
                            std::string_view password) {
  return tls::keyed_digest(lowercase(server).append("\n").append(user), password);
}

void AuthMemory::refused(const std::string& key, const smtp::Reply& reply, SteadyTime until) {
  const auto known = by_key_.find(key);
  if (known != by_key_.end()) entries_.erase(known->second);
  if (entries_.size() >= kMost) {
    by_key_.erase(entries_.front().key);
    entries_.pop_front();
  }
  by_key_[key] = entries_.insert(entries_.end(), Entry{key, reply, until});
}

std::optional<smtp::Reply> AuthMemory::find(const std::string& key, SteadyTime now) {
  const auto known = by_key_.find(key);
  if (known == by_key_.end()) return std::nullopt;
  const Place place = known->second;
  if (place->until > now) return place->reply;
  by_key_.erase(known);
  entries_.erase(place);
  return std::nullopt;
}

} // namespace postrider::smtpclient
