// SPDX-License-Identifier: MIT
// From a next hop to the endpoints to try, in order (RFC 5321 section 5.1).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "dns/mx.hpp"
#include "dns/resolver.hpp"
#include "ev/offload.hpp"
#include "net/tcp_stream.hpp"
#include "smtpclient/failure.hpp"
#include "smtpclient/options.hpp"

namespace postrider::smtpclient {

struct Endpoint {
  net::Address address;
  std::string host; // name for the log and for TLS
  std::uint16_t preference = 0;
  // What DNSSEC says of the way here, for DANE.
  bool by_mx = false;     // an MX record names the host,
  bool mx_secure = false; // and is signed
  std::string mx_domain;  // whose it is, at the end of aliases
  bool secure = false;    // the address is signed, and aliases that lead to it
  std::string canonical;  // the host at their end
  bool routed = true;     // this host has a way to it; not asked when there is only one IP version
  Peer peer() const;
};

struct Targets {
  std::vector<Endpoint> endpoints; // not empty, or:
  std::optional<Trouble> trouble;
  bool we_are_mx = false; // hosts were left out because they are this host, or no better
};

// Whether this host looks for loops: as in Postfix, only where mail between hosts goes.
bool detects_loops(const Nexthop& hop, const Options& options);

// Keeps the order, and `limit` of the endpoints; where one family has more than its half, the other
// keeps up to its own (smtp_balance_inet_protocols). Pure.
void balance_families(std::vector<Endpoint>& endpoints, std::size_t limit);

class TargetFinder {
 public:
  // Whether there is a way to the address; tests have their own.
  using HasRoute = bool (*)(const net::Address&);

  // `offload` may be null when lookup_native is off.
  TargetFinder(ev::Loop& loop, dns::Resolver& resolver, ev::Offload* offload,
               const Options& options, HasRoute has_route = net::has_route)
      : loop_(loop), resolver_(resolver), offload_(offload), options_(options),
        has_route_(has_route) {}

  dns::Resolver& resolver() { return resolver_; }
  // WAITS for look-ups. Never an Error: failures, cancellation included, are in the trouble.
  ev::Task<Targets> find(ev::Lent<const Nexthop> hop);

 private:
  struct Hosts;
  struct Found;
  ev::Task<Hosts> hosts_of(ev::Lent<const Nexthop> hop, ev::Deadline deadline);
  ev::Task<Found> addresses_of(std::string_view name, ev::Deadline deadline);
  ev::Task<void> add_dns_addresses(std::string_view name, ev::Lent<Found> found,
                                   ev::Deadline deadline);
  ev::Task<void> add_native_addresses(std::string_view name, ev::Lent<Found> found,
                                      ev::Deadline deadline);
  ev::Deadline one_answer(ev::Deadline all) const;
  bool enough(const std::vector<Endpoint>& endpoints) const;
  void arrange(std::vector<Endpoint>& endpoints);

  ev::Loop& loop_;
  dns::Resolver& resolver_;
  ev::Offload* offload_;
  const Options& options_;
  HasRoute has_route_;
  Jitter jitter_;
};

} // namespace postrider::smtpclient
