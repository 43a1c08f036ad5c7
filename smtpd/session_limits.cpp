// SPDX-License-Identifier: MIT
// The rates of a client within its session. Only a rate with a limit is counted.
#include <array>

#include "base/log.hpp"
#include "session.hpp"

namespace postrider::smtpd {

namespace {

// As log lines name them, in the order of proto::ClientEvent.
constexpr std::array<std::string_view, proto::kClientEvents> kRates{
    "Connection", "Message delivery request", "Recipient address", "New TLS session",
    "AUTH command"};

} // namespace

std::string rate_warning(proto::ClientEvent event, std::uint64_t rate, const Peer& peer,
                         const std::string& service) {
  return std::string(kRates[static_cast<std::size_t>(event)]) +
         " rate limit exceeded: " + std::to_string(rate) + " from " + peer.shown() +
         " for service " + service;
}

ev::Task<bool> Session::within_rate(proto::ClientEvent event) {
  const std::uint64_t limit = config_->limits.rate_of(event);
  if (limit == 0 || peer_.free_of_limits || shared_.clients == nullptr) co_return true;
  const std::uint64_t rate = co_await shared_.clients->count(peer_, event);
  if (rate <= limit) co_return true;
  log::warning(rate_warning(event, rate, peer_, shared_.service));
  co_return false;
}

// Whether to begin a handshake at all: its cost is what the limit is against.
ev::Task<bool> Session::may_begin_tls(std::string_view what) {
  const std::uint64_t limit = config_->limits.rate_of(proto::ClientEvent::tls_session);
  if (limit == 0 || peer_.free_of_limits || shared_.clients == nullptr) co_return true;
  const std::uint64_t rate = co_await shared_.clients->tls_sessions(peer_);
  if (rate <= limit) co_return true;
  log::warning("Refusing " + std::string(what) + " request from " + peer_.shown() +
               " for service " + shared_.service);
  co_return false;
}

} // namespace postrider::smtpd
