// SPDX-License-Identifier: MIT
// Next hops as administrators write them:
//
//   domain  domain:port             MX look-up (SMTP)
//   [host]  [host]:port             addresses of that host
//   [192.0.2.1]:port [ipv6:::1]     that address
//   inet:host  inet:[host]:port     LMTP: addresses of that host
//   unix:path                       LMTP: UNIX socket; a relative path is below the queue directory
//
// Several may stand in a row, between commas or blanks. A port is a number, or a name of
// known_tcp_ports or services(5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider::smtpclient {

struct Options;

struct Nexthop {
  enum class Kind : std::uint8_t { domain, host, unix_socket };
  Kind kind = Kind::domain;
  std::string name; // domain, host name, numeric address, or path
  std::uint16_t port = 0;
  std::string written; // without unix: and inet:; tables of TLS policies and logins have such keys
  bool operator==(const Nexthop& other) const {
    return kind == other.kind && name == other.name && port == other.port;
  }
};

// Pure but for port names. Error config says what is wrong, in Postfix's words. Uses flavor,
// default_port and known_ports of the options.
Result<std::vector<Nexthop>> parse_nexthops(std::string_view text, const Options& options);

// A number, or a name in `known_ports` ("smtp=25", "smtps=submissions=465") or services(5).
Result<std::uint16_t> parse_port(std::string_view text,
                                 const std::vector<std::string>& known_ports = {});
// Error config: an entry of known_tcp_ports that makes no sense.
Result<void> check_known_ports(const std::vector<std::string>& known_ports);

} // namespace postrider::smtpclient
