// SPDX-License-Identifier: MIT
#include "net/host.hpp"

#include <netdb.h>

namespace postrider::net {

Host find_host(const std::string& name, std::uint16_t port) {
  Host host;
  if (const auto address = Address::parse_ip(name, port)) {
    host.addresses.push_back(*address);
    return host;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int failed = ::getaddrinfo(name.c_str(), nullptr, &hints, &list); failed != 0) {
    host.trouble = "host " + name + ": " + ::gai_strerror(failed);
    return host;
  }
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    host.addresses.push_back(Address::from_sockaddr(at->ai_addr, at->ai_addrlen));
    host.addresses.back().set_port(port);
  }
  ::freeaddrinfo(list);
  return host;
}

} // namespace postrider::net
