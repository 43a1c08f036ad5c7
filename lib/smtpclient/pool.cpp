// SPDX-License-Identifier: MIT
#include "smtpclient/pool.hpp"

#include <algorithm>

namespace postrider::smtpclient {
namespace {

std::string endpoint_key(const Peer& peer) {
  return peer.address + " " + std::to_string(peer.port) + " " + peer.host;
}

ev::RootTask quit(std::unique_ptr<Session> session) { co_await session->quit(); }

} // namespace

Pool::Pool(ev::Group& group, const Options& options)
    : group_(group), options_(options),
      timer_(
          group.loop(), [](void* self) { static_cast<Pool*>(self)->expire(); }, this) {}

std::unique_ptr<Session> Pool::take_for(std::string_view destination) {
  return take(by_destination_, destination);
}

std::unique_ptr<Session> Pool::take_at(const Peer& peer) {
  return take(by_endpoint_, endpoint_key(peer));
}

std::unique_ptr<Session> Pool::take(Keys& keys, std::string_view key) {
  while (true) {
    const auto found = keys.find(std::string(key));
    if (found == keys.end()) return nullptr;
    std::unique_ptr<Session> session = remove(found->second);
    if (session->is_idle()) return session;
    say_goodbye(std::move(session));
  }
}

std::unique_ptr<Session> Pool::remove(Place place) {
  const auto forget = [place](Keys& keys, const std::string& key) {
    const auto range = keys.equal_range(key);
    const auto at = std::find_if(range.first, range.second,
                                 [place](const auto& pair) { return pair.second == place; });
    POSTRIDER_CHECK(at != range.second);
    keys.erase(at);
  };
  forget(by_destination_, place->destination);
  forget(by_endpoint_, place->endpoint);
  std::unique_ptr<Session> session = std::move(place->session);
  entries_.erase(place);
  return session;
}

void Pool::say_goodbye(std::unique_ptr<Session> session) {
  if (session->broken() || group_.closed()) return;
  group_.spawn(quit(std::move(session)), "quit");
}

bool Pool::worth_keeping(std::string_view destination, Keep keep) {
  if (keep == Keep::always) return true;
  if (!options_.cache_on_demand) return false;
  const SteadyTime now = group_.loop().now();
  if (now - recent_swept_ > options_.cache_time_limit) {
    std::erase_if(recent_,
                  [&](const auto& pair) { return now - pair.second > options_.cache_time_limit; });
    recent_swept_ = now;
  }
  const auto [place, is_first] = recent_.try_emplace(std::string(destination), now);
  place->second = now;
  return keep == Keep::hinted || !is_first;
}

void Pool::give_back(std::unique_ptr<Session> session, std::string_view destination, Keep keep) {
  if (!session->may_be_reused() || options_.cache_time_limit.count() <= 0 ||
      !worth_keeping(destination, keep))
    return say_goodbye(std::move(session));
  session->remark("kept for the next message");
  if (entries_.size() >= options_.capacity) say_goodbye(remove(entries_.begin()));
  const SteadyTime until = group_.loop().now() + options_.cache_time_limit;
  const std::string endpoint = endpoint_key(session->peer());
  const Place place = entries_.insert(
      entries_.end(), Entry{std::move(session), std::string(destination), endpoint, until});
  by_destination_.emplace(place->destination, place);
  by_endpoint_.emplace(place->endpoint, place);
  if (!timer_.armed()) timer_.arm(ev::Deadline::at(entries_.front().until));
}

void Pool::expire() {
  const SteadyTime now = group_.loop().now();
  while (!entries_.empty() && entries_.front().until <= now)
    say_goodbye(remove(entries_.begin()));
  if (!entries_.empty()) timer_.arm(ev::Deadline::at(entries_.front().until));
}

void Pool::clear() {
  while (!entries_.empty())
    say_goodbye(remove(entries_.begin()));
  timer_.disarm();
}

} // namespace postrider::smtpclient
