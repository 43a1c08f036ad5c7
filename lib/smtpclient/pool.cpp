// SPDX-License-Identifier: MIT
#include "smtpclient/pool.hpp"

#include <algorithm>

namespace postrider::smtpclient {
namespace {

std::string endpoint_key(const Peer& peer, std::string_view security) {
  return peer.address + " " + std::to_string(peer.port) + " " + peer.host + "\n" +
         std::string(security);
}

std::string destination_key(std::string_view destination, std::string_view policy) {
  return std::string(destination) + "\n" + std::string(policy);
}

ev::RootTask quit(std::unique_ptr<Session> session) { co_await session->quit(); }

} // namespace

Pool::Pool(ev::Group& group, const Options& options, Handover* handover)
    : group_(group), options_(options), handover_(handover),
      last_part_(std::min(options.cache_time_limit / 2, options.cache_ttl_limit)),
      timer_(
          group.loop(), [](void* self) { static_cast<Pool*>(self)->expire(); }, this) {}

std::unique_ptr<Session> Pool::take_for(std::string_view destination, std::string_view policy) {
  return take(by_destination_, destination_key(destination, policy));
}

std::unique_ptr<Session> Pool::take_at(const Peer& peer, std::string_view security) {
  return take(by_endpoint_, endpoint_key(peer, security));
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
  (place->stays ? staying_ : entries_).erase(place);
  return session;
}

bool Pool::is_worth_asking(Handover::By by, std::string_view key, Keep keep) const {
  return handover_ != nullptr && last_part_ > Duration::zero() &&
         (keep == Keep::always || options_.cache_on_demand) &&
         handover_->is_worth_asking(by, key, keep != Keep::if_busy);
}

ev::Task<std::unique_ptr<Session>> Pool::fetch_for(std::string_view destination,
                                                   std::string_view policy, Keep keep) {
  const std::string key = destination_key(destination, policy);
  if (!is_worth_asking(Handover::By::destination, key, keep)) co_return nullptr;
  const std::string security = security_key(policy, ""); // without a login
  const Handover::EndpointKey endpoint{endpoint_key, security};
  co_return co_await handover_->find(Handover::By::destination, key, endpoint);
}

ev::Task<std::unique_ptr<Session>> Pool::fetch_at(ev::Lent<const Peer> peer,
                                                  std::string_view security, Keep keep) {
  const std::string key = endpoint_key(*peer, security);
  if (!is_worth_asking(Handover::By::endpoint, key, keep)) co_return nullptr;
  const Handover::EndpointKey endpoint{endpoint_key, security};
  co_return co_await handover_->find(Handover::By::endpoint, key, endpoint);
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
  if (idle() >= options_.capacity)
    say_goodbye(remove(staying_.empty() ? entries_.begin() : staying_.begin()));
  const SteadyTime until = group_.loop().now() + options_.cache_time_limit;
  const TlsPlanPtr plan = session->security.plan; // null: no policy
  const std::string key =
      destination_key(destination, plan ? plan->destination_digest() : std::string());
  const std::string security =
      security_key(plan ? plan->policy.digest : std::string(), session->login_key);
  const std::string endpoint = endpoint_key(session->peer(), security);
  const Place place =
      entries_.insert(entries_.end(), Entry{std::move(session), key, endpoint, until});
  by_destination_.emplace(place->destination, place);
  by_endpoint_.emplace(place->endpoint, place);
  if (!timer_.armed()) arm();
}

bool Pool::leads_to(const Entry& entry, const Peer& peer) { return entry.session->peer() == peer; }

std::size_t Pool::idle_at(const Peer& peer) const {
  const auto same = [&peer](const Entry& entry) { return leads_to(entry, peer); };
  return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), same) +
                                  std::count_if(staying_.begin(), staying_.end(), same));
}

void Pool::drop_at(const Peer& peer) {
  for (Entries* list : {&staying_, &entries_}) {
    const auto found = std::find_if(list->begin(), list->end(),
                                    [&peer](const Entry& entry) { return leads_to(entry, peer); });
    if (found != list->end()) return say_goodbye(remove(found));
  }
}

bool Pool::hand_over(Place place) {
  if (handover_ == nullptr) return false;
  const Handover::Keys keys{place->destination, place->endpoint};
  if (!handover_->give(place->session, keys, place->until - group_.loop().now())) return false;
  remove(place);
  return true;
}

void Pool::expire() {
  const SteadyTime now = group_.loop().now();
  while (!entries_.empty() && entries_.front().until - last_part_ <= now) {
    const Place place = entries_.begin();
    if (hand_over(place)) continue;
    place->stays = true;
    staying_.splice(staying_.end(), entries_, place);
  }
  while (!staying_.empty() && staying_.front().until <= now)
    say_goodbye(remove(staying_.begin()));
  arm();
}

void Pool::arm() {
  ev::Deadline next = ev::Deadline::never();
  if (!entries_.empty()) next = ev::Deadline::at(entries_.front().until - last_part_);
  if (!staying_.empty()) next = next.earlier(ev::Deadline::at(staying_.front().until));
  timer_.arm(next);
}

void Pool::clear(Leave leave) {
  for (Entries* list : {&entries_, &staying_}) {
    while (!list->empty())
      if (leave == Leave::quit || !hand_over(list->begin())) say_goodbye(remove(list->begin()));
  }
  timer_.disarm();
}

} // namespace postrider::smtpclient
