// SPDX-License-Identifier: MIT
#include "net/address.hpp"

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>

#include "base/ascii.hpp"

namespace postrider::net {

namespace {
const sockaddr_in* v4(const sockaddr* a) { return reinterpret_cast<const sockaddr_in*>(a); }
const sockaddr_in6* v6(const sockaddr* a) { return reinterpret_cast<const sockaddr_in6*>(a); }
} // namespace

std::optional<Address> Address::parse_ip(std::string_view text, std::uint16_t port) {
  if (istarts_with(text, "ipv6:")) text.remove_prefix(5);
  if (text.size() > 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  if (istarts_with(text, "ipv6:")) text.remove_prefix(5);
  const std::string copy(text);
  Address out;
  sockaddr_in four{};
  if (::inet_pton(AF_INET, copy.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    return from_sockaddr(reinterpret_cast<sockaddr*>(&four), sizeof four);
  }
  sockaddr_in6 six{};
  if (::inet_pton(AF_INET6, copy.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    return from_sockaddr(reinterpret_cast<sockaddr*>(&six), sizeof six);
  }
  return std::nullopt;
}

Result<Address> Address::unix_path(std::string_view path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error(ErrorKind::config, "socket path is empty or longer than " +
                                        std::to_string(sizeof address.sun_path - 1) +
                                        " bytes: " + std::string(path));
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return from_sockaddr(reinterpret_cast<sockaddr*>(&address),
                       static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1));
}

Address Address::from_sockaddr(const sockaddr* address, socklen_t length) {
  Address out;
  if (length > sizeof out.storage_) return out;
  std::memcpy(&out.storage_, address, length);
  out.length_ = length;
  return out;
}

Address Address::peer_of(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

Address Address::local_of(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

std::uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(v4(raw())->sin_port);
  if (family() == AF_INET6) return ntohs(v6(raw())->sin6_port);
  return 0;
}

void Address::set_port(std::uint16_t port) {
  auto* writable = reinterpret_cast<sockaddr*>(&storage_);
  if (family() == AF_INET) reinterpret_cast<sockaddr_in*>(writable)->sin_port = htons(port);
  if (family() == AF_INET6) reinterpret_cast<sockaddr_in6*>(writable)->sin6_port = htons(port);
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    ::inet_ntop(AF_INET, &v4(raw())->sin_addr, buffer, sizeof buffer);
    return buffer;
  }
  if (family() == AF_INET6) {
    const in6_addr& six = v6(raw())->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&six))
      ::inet_ntop(AF_INET, &six.s6_addr[12], buffer, sizeof buffer);
    else
      ::inet_ntop(AF_INET6, &six, buffer, sizeof buffer);
    return buffer;
  }
  if (family() == AF_UNIX && length_ > offsetof(sockaddr_un, sun_path)) {
    const auto* path = reinterpret_cast<const sockaddr_un*>(raw())->sun_path;
    return {path, ::strnlen(path, length_ - offsetof(sockaddr_un, sun_path))};
  }
  return {};
}

bool Address::is_loopback() const {
  if (family() == AF_INET) return (ntohl(v4(raw())->sin_addr.s_addr) >> 24) == 127;
  if (family() == AF_INET6) {
    const in6_addr& six = v6(raw())->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
  }
  return false;
}

bool Address::is_unspecified() const {
  if (family() == AF_INET) return v4(raw())->sin_addr.s_addr == INADDR_ANY;
  if (family() == AF_INET6) return IN6_IS_ADDR_UNSPECIFIED(&v6(raw())->sin6_addr);
  return false;
}

bool Address::is_link_local_or_group() const {
  if (family() == AF_INET) {
    const std::uint32_t four = ntohl(v4(raw())->sin_addr.s_addr);
    return four >> 16 == 0xa9fe || four >> 28 == 0xe || four == INADDR_BROADCAST;
  }
  if (family() != AF_INET6) return false;
  const in6_addr& six = v6(raw())->sin6_addr;
  return IN6_IS_ADDR_LINKLOCAL(&six) || IN6_IS_ADDR_MULTICAST(&six);
}

bool Address::operator==(const Address& other) const {
  return family() == other.family() && port() == other.port() && text() == other.text();
}

} // namespace postrider::net
