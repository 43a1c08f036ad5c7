// SPDX-License-Identifier: MIT
// Finds the names of clients for all sessions of one process (smtpd_peername_lookup). Bounded: what
// comes while too many look-ups are under way, in all or for one address, gets no name rather than
// a place in a queue, so that a crowd of clients whose name servers are slow holds up nobody else.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "dns/client_name.hpp"

namespace postrider::smtpd {

class ClientNames {
 public:
  static constexpr std::size_t kMostAtOnce = 1000;
  static constexpr std::size_t kMostPerAddress = 50;

  // `resolver` and `hosts` outlive it.
  ClientNames(ev::Loop& loop, dns::Resolver& resolver, dns::HostsFile& hosts)
      : loop_(loop), resolver_(resolver), hosts_(hosts) {}

  // WAITS, for `limit` at most. REQUIRES an IP address. An Error is cancellation only.
  ev::Task<Result<dns::ClientName>> find(net::Address client, Duration limit);

  std::size_t under_way() const { return under_way_; }

 private:
  ev::Loop& loop_;
  dns::Resolver& resolver_;
  dns::HostsFile& hosts_;
  std::size_t under_way_ = 0;
  std::unordered_map<std::string, std::size_t> per_address_;
};

} // namespace postrider::smtpd
