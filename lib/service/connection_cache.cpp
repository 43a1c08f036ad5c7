// SPDX-License-Identifier: MIT
#include "service/connection_cache.hpp"

#include <algorithm>
#include <limits>

#include "proto/scache.hpp"

namespace postrider::service {
namespace {

CallerSetup caller_setup(ConnectionCacheSetup setup) {
  CallerSetup out;
  out.name = setup.service;
  out.sockets = setup.sockets.empty() ? sockets_of(setup.service) : std::move(setup.sockets);
  out.protocol = proto::kCacheProtocol;
  out.version = proto::kCacheVersion;
  out.timeout = setup.timeout;
  return out;
}

} // namespace

ConnectionCache::ConnectionCache(ev::Loop& loop, ConnectionCacheSetup setup)
    : loop_(loop), timeout_(setup.timeout), caller_(loop, caller_setup(std::move(setup))) {}

ev::Task<Result<void>> ConnectionCache::save(ev::Lent<const Offer> offer, Fd& fd) {
  proto::Save request;
  request.destination = offer->destination;
  request.endpoint = offer->endpoint;
  request.ttl = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(offer->ttl.count(), 0, std::numeric_limits<std::uint32_t>::max()));
  request.facts = offer->facts;
  Result<Reply> reply = co_await caller_.call_with(request, fd, loop_.after(timeout_));
  if (!reply) co_return reply.error();
  const Result<proto::Saved> saved = reply->as<proto::Saved>();
  if (!saved) co_return saved.error();
  co_return Result<void>();
}

ev::Task<Result<ConnectionCache::Found>> ConnectionCache::find(const std::string& destination,
                                                               const std::string& endpoint) {
  proto::Find request;
  request.destination = destination;
  request.endpoint = endpoint;
  Result<Reply> reply = co_await caller_.call(request);
  if (!reply) co_return reply.error();
  if (reply->type == proto::NotFound::kType)
    co_return Error(ErrorKind::not_found, "no such connection");
  Result<proto::Found> found = reply->as<proto::Found>();
  if (!found) co_return found.error();
  Found out;
  out.facts = std::move(found->facts);
  out.fd = std::move(reply->fds[0]);
  co_return std::move(out);
}

} // namespace postrider::service
