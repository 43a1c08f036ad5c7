// SPDX-License-Identifier: MIT
// Addresses of a host as the system knows them: /etc/hosts and whatever nsswitch.conf names, by
// getaddrinfo(3) on the offload pool (smtp_host_lookup = native).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ev/offload.hpp"
#include "net/address.hpp"

namespace postrider::dns {

struct HostAnswer {
  enum class Kind { found, not_found, temporary };
  Kind kind = Kind::temporary;
  std::string reason;
  std::vector<net::Address> addresses; // port 0
};

// WAITS. An Error is cancellation only.
ev::Task<Result<HostAnswer>> look_up_host(ev::Offload& offload, std::string_view name,
                                          ev::Deadline deadline);
// Blocks.
HostAnswer look_up_host_now(const std::string& name);

} // namespace postrider::dns
