// SPDX-License-Identifier: MIT
#include "smtpclient/handover.hpp"

#include "base/log.hpp"
#include "proto/scache.hpp"

namespace postrider::smtpclient {
namespace {

constexpr int kMostDead = 4; // connections of no use that are looked at for one delivery

ev::RootTask save(service::ConnectionCache& cache, service::ConnectionCache::Offer offer, Fd fd) {
  Result<void> saved = co_await cache.save(offer, fd);
  if (!saved && saved.error().kind() != ErrorKind::cancelled)
    log::debug("a connection is lost on its way to another process: " + saved.error().text());
}

// Two services have their own parameters, and so has a service before and after a reload: what they
// say to servers and where they say it from must be the same.
std::string common_part(const Options& options) {
  std::string out = options.service_name;
  for (const std::string& part :
       {options.flavor == Flavor::lmtp ? std::string("lmtp") : std::string("smtp"),
        options.hello_name, options.bind4.text(), options.bind6.text(), options.own4.text(),
        options.own6.text(), std::string(options.sasl.enabled ? "login" : "")})
    out += "\n" + part;
  return out + "\n";
}

std::string short_key(Handover::By by, std::string_view key) {
  return (by == Handover::By::destination ? "d" : "e") + std::string(key);
}

} // namespace

Handover::Handover(ev::Loop& loop, service::ConnectionCache& cache, const Options& options,
                   Tables& tables)
    : loop_(loop), cache_(cache), options_(options), tables_(tables), prefix_(common_part(options)),
      born_(loop.now()), saves_(loop) {}

void Handover::stop() {
  saves_.close();
  saves_.tear_down();
}

std::string Handover::full_key(std::string_view key) const { return prefix_ + std::string(key); }

Handover::Memory& Handover::remember(By by, std::string_view key) {
  const SteadyTime now = loop_.now();
  if (now - swept_ > kPause) {
    std::erase_if(memory_, [&](const auto& pair) {
      return now - pair.second.missed > kPause && pair.second.there_until <= now;
    });
    swept_ = now;
  }
  return memory_[short_key(by, key)];
}

bool Handover::give(std::unique_ptr<Session>& session, const Keys& keys, Duration left) {
  service::ConnectionCache::Offer offer;
  offer.destination = full_key(keys.destination);
  offer.endpoint = full_key(keys.endpoint);
  offer.ttl = std::chrono::duration_cast<std::chrono::milliseconds>(left);
  if (offer.ttl.count() <= 0 || saves_.closed() || saves_.size() >= kMostGiven ||
      offer.destination.size() > proto::kMostCacheKey ||
      offer.endpoint.size() > proto::kMostCacheKey || !session->may_leave() || !cache_.available())
    return false;
  offer.facts = encode_facts(session->facts(offer.endpoint));
  // What the server said of itself may be more than anybody would take: then the session stays.
  if (!parse_facts(offer.facts, loop_.now())) return false;
  session->remark("given to another process");
  Fd fd = session->release();
  session.reset();
  const SteadyTime until = loop_.now() + left;
  remember(By::destination, keys.destination).there_until = until;
  remember(By::endpoint, keys.endpoint).there_until = until;
  saves_.spawn(save(cache_, std::move(offer), std::move(fd)), "hand-over");
  return true;
}

bool Handover::is_worth_asking(By by, std::string_view key, bool busy) {
  const SteadyTime now = loop_.now();
  const auto known = memory_.find(short_key(by, key));
  if (known != memory_.end()) {
    if (known->second.there_until > now) return true;
    if (now - known->second.missed < kPause) return false;
  }
  return busy || now - born_ < options_.cache_time_limit;
}

ev::Task<std::unique_ptr<Session>> Handover::find(By by, std::string_view key,
                                                  ev::Lent<const EndpointKey> endpoint_key) {
  const std::string full = full_key(key);
  const std::string none;
  const std::string& destination = by == By::destination ? full : none;
  const std::string& endpoint = by == By::endpoint ? full : none;
  for (int i = 0; i < kMostDead && full.size() <= proto::kMostCacheKey; ++i) {
    Result<service::ConnectionCache::Found> found = co_await cache_.find(destination, endpoint);
    if (!found) {
      Memory& memory = remember(by, key);
      memory.missed = loop_.now();
      memory.there_until = SteadyTime();
      break;
    }
    std::unique_ptr<Session> session = adopt(std::move(*found), endpoint, *endpoint_key);
    if (session) co_return session;
  }
  co_return nullptr;
}

// `wanted`: the endpoint's key, empty when a destination was asked for.
std::unique_ptr<Session> Handover::adopt(service::ConnectionCache::Found found,
                                         std::string_view wanted, const EndpointKey& endpoint_key) {
  Result<SessionFacts> facts = parse_facts(found.facts, loop_.now());
  Result<void> good = facts ? check_leads_to(found.fd.get(), facts->peer) : facts.error();
  if (good) good = set_nonblocking(found.fd.get());
  if (good && (facts->key != full_key(endpoint_key.of(facts->peer, endpoint_key.security)) ||
               (!wanted.empty() && facts->key != wanted)))
    good = Error(ErrorKind::protocol, "a connection of another kind");
  if (!good) {
    if (good.error().kind() != ErrorKind::closed)
      log::warning(options_.cache_service + " gave " + good.error().text() + ": not used");
    return nullptr;
  }
  auto session = Session::adopt(loop_, std::move(found.fd), options_, tables_, std::move(*facts));
  return session->is_idle() ? std::move(session) : nullptr;
}

} // namespace postrider::smtpclient
