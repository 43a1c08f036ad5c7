// SPDX-License-Identifier: MIT
// What the defaults ask of the host: its name and the addresses of its interfaces.
#include "config/settings.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <memory>
#include <netinet/in.h>
#include <unistd.h>

namespace postrider::config {

Machine Machine::here() {
  Machine machine;
  machine.has_ipv6 = false;
  char name[256] = "";
  if (::gethostname(name, sizeof name - 1) == 0) machine.hostname = name;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) {
    machine.addresses = {"127.0.0.1"};
    return machine;
  }
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(first, &::freeifaddrs);
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (at->ifa_addr->sa_family == AF_INET) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(at->ifa_addr);
      ::inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      const auto* in = reinterpret_cast<const sockaddr_in6*>(at->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr)) continue;
      ::inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
      machine.has_ipv6 = true;
    }
    if (text[0] != '\0') machine.addresses.emplace_back(text);
  }
  return machine;
}

} // namespace postrider::config
