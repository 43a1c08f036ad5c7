// SPDX-License-Identifier: MIT
// Next servers as administrators write them, in Postfix's words or as addresses:
//
//   smtp:host  smtp:host:port  smtp:[192.0.2.1]:port  smtp:unix:/path
//   lmtp:host:port  lmtp:inet:host:port  lmtp:unix:/path
//   tcp://host:port   SMTP          tls://host:port   SMTP with TLS from the first byte
//   unix:///path      LMTP          lmtp:tcp://host:port   smtp:unix:///path
//
// Several may stand in a row, between commas or blanks. Hosts have addresses; nobody asks for MX
// records. Pure but for port names.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "smtpclient/options.hpp"

namespace postrider::forward {

enum class Kind : std::uint8_t { smtp, smtps, lmtp };
inline constexpr std::size_t kKinds = 3;
constexpr std::size_t index_of(Kind kind) { return static_cast<std::size_t>(kind); }

struct Target {
  Kind kind = Kind::smtp;
  smtpclient::Nexthop hop;
  std::string text; // as written
  bool operator==(const Target&) const = default;
};
using Targets = std::vector<Target>;

// Options by Kind: flavor, default_port and known_ports count.
using KindOptions = std::array<smtpclient::Options, kKinds>;

// Error config says what is wrong with which of them.
Result<Targets> parse_targets(std::string_view text, const KindOptions& options);

} // namespace postrider::forward
