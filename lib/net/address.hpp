// SPDX-License-Identifier: MIT
// A socket address: IPv4, IPv6 or a UNIX path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/result.hpp"

namespace postrider::net {

class Address {
 public:
  Address() = default;
  // "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "IPv6:2001:db8::1"; numeric only, never a look-up.
  static std::optional<Address> parse_ip(std::string_view text, std::uint16_t port);
  static Result<Address> unix_path(std::string_view path);
  static Address from_sockaddr(const sockaddr* address, socklen_t length);
  static Address peer_of(int fd); // unspecified (family 0) when there is none
  static Address local_of(int fd);

  int family() const { return storage_.ss_family; }
  bool is_ip() const { return family() == AF_INET || family() == AF_INET6; }
  std::uint16_t port() const;
  void set_port(std::uint16_t port);
  // "192.0.2.1", "2001:db8::1", "/path"; without port or brackets. IPv4-mapped IPv6 as IPv4.
  std::string text() const;
  bool is_loopback() const;
  bool is_unspecified() const; // 0.0.0.0, ::
  // 169.254.0.0/16, fe80::/10, multicast, broadcast: never the address of a server far away.
  bool is_link_local_or_group() const;
  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t raw_length() const { return length_; }
  bool operator==(const Address& other) const;

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};
static_assert(sizeof(sockaddr_un) <= sizeof(sockaddr_storage));

} // namespace postrider::net
