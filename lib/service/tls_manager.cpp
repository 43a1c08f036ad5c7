// SPDX-License-Identifier: MIT
#include "service/tls_manager.hpp"

#include "base/log.hpp"

namespace postrider::service {
namespace {

// A map that forgets what was used least recently.
template <typename Value>
class Recent {
 public:
  explicit Recent(std::size_t most) : most_(most) {}
  Value* find(const std::string& key) {
    const auto found = where_.find(key);
    if (found == where_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return &found->second->second;
  }
  Value& at(const std::string& key) {
    if (Value* value = find(key)) return *value;
    order_.emplace_front(key, Value());
    where_[key] = order_.begin();
    if (order_.size() > most_) {
      where_.erase(order_.back().first);
      order_.pop_back();
    }
    return order_.front().second;
  }
  void erase(const std::string& key) {
    const auto found = where_.find(key);
    if (found == where_.end()) return;
    order_.erase(found->second);
    where_.erase(found);
  }

 private:
  using Order = std::list<std::pair<std::string, Value>>;
  std::size_t most_;
  Order order_;
  std::unordered_map<std::string, typename Order::iterator> where_;
};

struct OwnSession {
  std::string session;
  SteadyTime expires;
};

} // namespace

struct TlsManager::Own {
  Recent<std::deque<OwnSession>> sessions{kMostKeys}; // newest last
  Recent<proto::HostMemory> hosts{kMostKeys};
};

TlsManager::TlsManager(ev::Loop& loop, TlsManagerSetup setup)
    : loop_(loop), setup_(std::move(setup)),
      caller_(loop,
              {.name = setup_.service,
               .sockets = setup_.sockets.empty() ? sockets_of(setup_.service) : setup_.sockets,
               .protocol = std::string(proto::kTlsmgrProtocol),
               .version = proto::kTlsmgrVersion,
               .timeout = std::chrono::seconds(2)}),
      own_(std::make_unique<Own>()) {}

TlsManager::~TlsManager() = default;

ev::Task<std::string> TlsManager::take_session(const std::string& key) {
  if (!setup_.sessions || key.size() > proto::kLongestTlsKey) co_return std::string();
  if (std::deque<OwnSession>* kept = own_->sessions.find(key)) {
    OwnSession newest = std::move(kept->back());
    kept->pop_back();
    if (kept->empty()) own_->sessions.erase(key);
    if (newest.expires > loop_.now()) co_return std::move(newest.session);
  }
  proto::TakeSession request;
  request.cache = setup_.cache;
  request.key = key;
  Result<Reply> reply = co_await caller_.call(request);
  if (!reply) co_return std::string();
  Result<proto::Session> session = reply->as<proto::Session>();
  if (session) co_return std::move(session->session);
  log::warning(setup_.service + ": " + session.error().text());
  co_return std::string();
}

void TlsManager::put_session(const std::string& key, const std::string& session) {
  if (!setup_.sessions || session.empty()) return;
  if (key.size() > proto::kLongestTlsKey || session.size() > proto::kLongestTlsSession) return;
  proto::PutSession message;
  message.cache = setup_.cache;
  message.key = key;
  message.session = session;
  if (caller_.tell(message)) return;
  std::deque<OwnSession>& kept = own_->sessions.at(key);
  kept.push_back({session, loop_.now() + setup_.session_timeout});
  if (kept.size() > kMostSessions) kept.pop_front();
}

ev::Task<proto::HostMemory> TlsManager::recall(const std::string& host) {
  proto::HostMemory memory;
  if (const proto::HostMemory* own = own_->hosts.find(host)) memory = *own;
  if (host.size() > proto::kLongestTlsKey) co_return memory;
  proto::RecallHost request;
  request.host = host;
  Result<Reply> reply = co_await caller_.call(request);
  if (!reply) co_return memory;
  Result<proto::HostMemory> known = reply->as<proto::HostMemory>();
  if (!known) log::warning(setup_.service + ": " + known.error().text());
  // What was seen while tlsmgr was away is the newer knowledge.
  if (known && known->last_good >= memory.last_good) memory = *known;
  co_return memory;
}

void TlsManager::remember(const std::string& host, proto::HostTls level) {
  if (host.size() > proto::kLongestTlsKey) return;
  proto::RememberHost message;
  message.host = host;
  message.level = level;
  if (caller_.tell(message)) {
    if (level != proto::HostTls::none) own_->hosts.erase(host);
    return;
  }
  const std::int64_t now = to_unix_micros(loop_.clock().wall());
  if (level != proto::HostTls::none) {
    proto::HostMemory& memory = own_->hosts.at(host);
    memory.level = level;
    memory.last_good = now;
    memory.missing_since = 0;
  } else if (proto::HostMemory* known = own_->hosts.find(host);
             known != nullptr && known->missing_since == 0) {
    known->missing_since = now;
  }
}

ev::Task<Result<proto::Policy>>
TlsManager::sts_policy(const std::string& domain, proto::PolicyWish wish, ev::Deadline deadline) {
  proto::AskPolicy request;
  request.domain = domain;
  request.wish = wish;
  Result<Reply> reply = co_await caller_.call(request, deadline);
  if (!reply) co_return reply.error();
  co_return reply->as<proto::Policy>();
}

} // namespace postrider::service
