// SPDX-License-Identifier: MIT
// The name of a client: what its address is called in the hosts file or the DNS, and whether that
// name has the address. Only then is it the client's name; anybody may claim to be anybody in the
// reverse zone of his own addresses.
#pragma once

#include <cstdint>
#include <string>

#include "dns/hosts_file.hpp"
#include "dns/resolver.hpp"

namespace postrider::dns {

enum class NameStatus : std::uint8_t {
  ok,
  not_found, // the address has no name, or was not looked up
  temporary, // nobody knows: time-out, SERVFAIL
  forged,    // the address has a name, and that name does not have the address
};

struct ClientName {
  std::string name = "unknown";         // verified
  std::string reverse_name = "unknown"; // as the address claims; a host name in any case
  NameStatus status = NameStatus::not_found;
  NameStatus reverse_status = NameStatus::not_found; // never forged
  std::string problem; // for the log: a name that could not be verified; empty: none
  ClientName() {}
};

// "7.2.0.192.in-addr.arpa", or 32 digits and "ip6.arpa". REQUIRES an IP address, and not an
// IPv4-mapped one. Pure.
std::string reverse_zone_name(const net::Address& address);

// WAITS. REQUIRES an IP address. The file is asked before the DNS, for the name and for its
// addresses, as `hosts: files dns` in nsswitch.conf says. At most two queries. An Error is
// cancellation only.
ev::Task<Result<ClientName>> look_up_client_name(Resolver& resolver, HostsFile& hosts,
                                                 net::Address client, ev::Deadline deadline);

} // namespace postrider::dns
