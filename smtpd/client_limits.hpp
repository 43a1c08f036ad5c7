// SPDX-License-Identifier: MIT
// The smtpd_client_*_limit parameters, and what counts as one client for them.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "proto/anvil.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

// 0 is no limit.
struct ClientLimits {
  std::uint64_t connections = 50;
  std::array<std::uint64_t, proto::kClientEvents> rates{};
  std::int64_t ipv4_bits = 32;
  std::int64_t ipv6_bits = 84;
  std::string counter = "anvil"; // anvil_service_name

  static ClientLimits load(const config::Settings& settings);
  std::uint64_t rate_of(proto::ClientEvent event) const {
    return rates[static_cast<std::size_t>(event)];
  }
  bool any() const;
  // "192.0.2.1", "192.0.2.0/24", "2001:db8::/84"; what is no address is a client of its own.
  std::string network_of(const std::string& address) const;
};

} // namespace postrider::smtpd
