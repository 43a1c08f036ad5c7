// SPDX-License-Identifier: MIT
#include "service.hpp"

#include "base/log.hpp"
#include "proto/tlsmgr.hpp"

namespace postrider::tlsmgr {
namespace {

Result<void> check_key(std::string_view key) {
  if (!key.empty() && key.size() <= proto::kLongestTlsKey) return {};
  return Error(ErrorKind::protocol, "a key of " + std::to_string(key.size()) + " bytes");
}

std::unique_ptr<Store> open_policies(const std::string& file, WallTime now) {
  if (file.empty()) return nullptr;
  StoreSetup setup;
  setup.path = file;
  setup.limit = StsPolicies::kLimit;
  setup.longest = mail::kStsLongestAge;
  setup.durable = true;
  Result<Store> store = Store::open(setup, now);
  if (store) return std::make_unique<Store>(std::move(*store));
  log::warning(file + ": " + store.error().text() + "; policies are not kept for long");
  return nullptr;
}

} // namespace

Result<StsOptions> StsOptions::load(const config::Settings& settings) {
  StsOptions out;
  const std::string& database = settings.text("mta_sts_cache_database");
  if (!database.empty()) {
    Result<std::string> file = database_file(database);
    if (!file) return file.error().in("mta_sts_cache_database");
    out.file = std::move(*file);
  }
  out.fetch_timeout = settings.time("mta_sts_fetch_timeout");
  out.source.ca_file = settings.text("mta_sts_CAfile");
  out.source.port = static_cast<std::uint16_t>(settings.number("mta_sts_port"));
  out.source.families = dns::Families::of(settings.text("inet_protocols"));
  POSTRIDER_TRY(out.source.dns, dns::Setup::load(settings.words("dns_resolvers"),
                                                 settings.text("dns_trust_anchor_file")));
  return out;
}

Service::Service(ev::Loop& loop, CacheOptions caches, StsOptions sts)
    : loop_(loop), caches_(std::move(caches), loop.clock()), source_(loop, std::move(sts.source)),
      policies_(loop, source_, open_policies(sts.file, loop.clock().wall()), sts.fetch_timeout),
      server_(loop, *this,
              {.protocol = std::string(proto::kTlsmgrProtocol), .version = proto::kTlsmgrVersion}),
      sweep_timer_(
          loop, [](void* self) { static_cast<Service*>(self)->sweep(); }, this) {
  sweep_timer_.arm(loop_.after(kSweepEvery));
}

void Service::sweep() {
  const bool sessions = caches_.sweep();
  const bool more = policies_.refresh() || sessions;
  sweep_timer_.arm(more ? loop_.after(kSweepOn) : loop_.after(kSweepEvery));
}

// The files go to the successor at once; who still asks here is told that there is nothing.
void Service::drain(daemon::Drain reason) {
  sweep_timer_.disarm();
  caches_.close();
  policies_.close();
  server_.drain(reason);
}

void Service::stop() { server_.stop(); }

ev::RootTask Service::answer(service::Peer& peer, proto::AskPolicy request) {
  proto::Policy policy = co_await policies_.ask(request.domain, request.wish);
  policy.number = request.number;
  peer.channel.send(policy);
}

Result<void> Service::take(service::Peer& peer, ipc::Frame& frame) {
  switch (frame.type) {
  case proto::TakeSession::kType: {
    POSTRIDER_TRY(const auto request, ipc::as<proto::TakeSession>(frame));
    POSTRIDER_TRY_VOID(check_key(request.key));
    proto::Session answer;
    answer.number = request.number;
    answer.session = caches_.take_session(request.cache, request.key);
    peer.channel.send(answer);
    return {};
  }
  case proto::PutSession::kType: {
    POSTRIDER_TRY(const auto message, ipc::as<proto::PutSession>(frame));
    POSTRIDER_TRY_VOID(check_key(message.key));
    if (message.session.empty() || message.session.size() > proto::kLongestTlsSession)
      return Error(ErrorKind::protocol,
                   "a session of " + std::to_string(message.session.size()) + " bytes");
    caches_.put_session(message.cache, message.key, message.session);
    return {};
  }
  case proto::RecallHost::kType: {
    POSTRIDER_TRY(const auto request, ipc::as<proto::RecallHost>(frame));
    POSTRIDER_TRY_VOID(check_key(request.host));
    proto::HostMemory answer = caches_.recall(request.host);
    answer.number = request.number;
    peer.channel.send(answer);
    return {};
  }
  case proto::RememberHost::kType: {
    POSTRIDER_TRY(const auto message, ipc::as<proto::RememberHost>(frame));
    POSTRIDER_TRY_VOID(check_key(message.host));
    caches_.remember(message.host, message.level);
    return {};
  }
  case proto::AskTicketKeys::kType: {
    POSTRIDER_TRY(const auto request, ipc::as<proto::AskTicketKeys>(frame));
    proto::TicketKeys answer = caches_.ticket_keys();
    answer.number = request.number;
    peer.channel.send(answer);
    return {};
  }
  case proto::AskPolicy::kType: {
    POSTRIDER_TRY(auto request, ipc::as<proto::AskPolicy>(frame));
    POSTRIDER_TRY_VOID(check_key(request.domain));
    peer.tasks.spawn(answer(peer, std::move(request)), "policy of MTA-STS");
    return {};
  }
  default: return Error(ErrorKind::protocol, "a frame of type " + std::to_string(frame.type));
  }
}

} // namespace postrider::tlsmgr
