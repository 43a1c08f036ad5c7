// SPDX-License-Identifier: MIT
// The addresses of a server that main.cf names, by the system's own look-up (hosts file and all).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/address.hpp"

namespace postrider::net {

struct Host {
  std::vector<Address> addresses; // with the port; empty: there are none, see `trouble`
  std::string trouble;            // "host a.example: Name or service not known"
};

// `name` is a host name, or an address as such. BLOCKS: at a start or a reload, not in a loop that
// serves.
Host find_host(const std::string& name, std::uint16_t port);

} // namespace postrider::net
