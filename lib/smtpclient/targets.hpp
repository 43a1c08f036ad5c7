// SPDX-License-Identifier: MIT
// From a next hop as administrators write it to the endpoints to try, in order:
//
//   domain  domain:port             MX look-up (SMTP); LMTP: inet:host, inet:host:port
//   [host]  [host]:port             addresses of that host
//   [192.0.2.1]:port [ipv6:::1]     that address
//   unix:path                       UNIX socket (LMTP); a relative path is below the queue
//   directory
//
// Several may stand in a row, between commas or blanks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "dns/resolver.hpp"
#include "ev/offload.hpp"
#include "smtpclient/failure.hpp"
#include "smtpclient/options.hpp"

namespace postrider::smtpclient {

struct Nexthop {
  enum class Kind : std::uint8_t { domain, host, unix_socket };
  Kind kind = Kind::domain;
  std::string name; // domain, host name, numeric address, or path
  std::uint16_t port = 0;
  bool operator==(const Nexthop&) const = default;
};

// Pure but for port names. Error config says what is wrong.
Result<std::vector<Nexthop>> parse_nexthops(std::string_view text, const Options& options);

struct Endpoint {
  net::Address address;
  std::string host; // name for the log and, one day, for TLS
  std::uint16_t preference = 0;
  Peer peer() const;
};

struct Targets {
  std::vector<Endpoint> endpoints; // not empty, or:
  std::optional<Trouble> trouble;
  bool we_are_mx = false; // hosts were left out because they are this host, or no better
};

class TargetFinder {
 public:
  // `offload` may be null when lookup_native is off.
  TargetFinder(ev::Loop& loop, dns::Resolver& resolver, ev::Offload* offload,
               const Options& options)
      : loop_(loop), resolver_(resolver), offload_(offload), options_(options) {}

  // WAITS for look-ups. Never an Error: failures, cancellation included, are in the trouble.
  ev::Task<Targets> find(ev::Lent<const Nexthop> hop);

 private:
  struct Found {
    std::vector<net::Address> addresses;
    bool temporary = false; // some look-up has to be tried again
    std::string reason;
    bool cancelled = false;
  };
  ev::Task<Found> addresses_of(std::string_view name, ev::Deadline deadline);
  void arrange(std::vector<Endpoint>& endpoints);

  ev::Loop& loop_;
  dns::Resolver& resolver_;
  ev::Offload* offload_;
  const Options& options_;
  Jitter jitter_;
};

} // namespace postrider::smtpclient
