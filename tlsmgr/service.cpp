// SPDX-License-Identifier: MIT
#include "service.hpp"

#include "proto/tlsmgr.hpp"

namespace postrider::tlsmgr {
namespace {

Result<void> check_key(std::string_view key) {
  if (!key.empty() && key.size() <= proto::kLongestTlsKey) return {};
  return Error(ErrorKind::protocol, "a key of " + std::to_string(key.size()) + " bytes");
}

} // namespace

Service::Service(ev::Loop& loop, CacheOptions caches)
    : loop_(loop), caches_(std::move(caches), loop.clock()),
      server_(loop, *this,
              {.protocol = std::string(proto::kTlsmgrProtocol), .version = proto::kTlsmgrVersion}),
      sweep_timer_(
          loop, [](void* self) { static_cast<Service*>(self)->sweep(); }, this) {
  sweep_timer_.arm(loop_.after(kSweepEvery));
}

void Service::sweep() {
  const bool more = caches_.sweep();
  sweep_timer_.arm(more ? loop_.after(kSweepOn) : loop_.after(kSweepEvery));
}

// The files go to the successor at once; who still asks here is told that there is nothing.
void Service::drain(daemon::Drain reason) {
  sweep_timer_.disarm();
  caches_.close();
  server_.drain(reason);
}

void Service::stop() { server_.stop(); }

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
  default: return Error(ErrorKind::protocol, "a frame of type " + std::to_string(frame.type));
  }
}

} // namespace postrider::tlsmgr
