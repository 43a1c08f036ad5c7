// SPDX-License-Identifier: MIT
// Networks, and tables of them: lines of `[!]network value`, with if [!]network ... endif. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "maps/problems.hpp"

namespace postrider::maps {

struct Address {
  std::array<std::uint8_t, 16> bytes{};
  std::uint8_t size = 0; // 4 or 16
  bool operator==(const Address&) const = default;
};

// "192.0.2.1", "2001:db8::1"; brackets round it and a leading "IPv6:" inside them are fine.
// An IPv4 address written as IPv6 (::ffff:192.0.2.1) counts as IPv4.
std::optional<Address> parse_address(std::string_view text);

struct Network {
  Address base;
  unsigned bits = 0;
  bool contains(const Address& address) const;
};

// "10.0.0.0/8", "[2001:db8::]/32", "192.0.2.1". Error config: no network, or bits of the host set.
Result<Network> parse_network(std::string_view text);

class CidrTable {
 public:
  static CidrTable parse(std::string_view text, Problems& problems);
  std::optional<std::string_view> find(const Address& address) const;

 private:
  struct Rule {
    bool is_block = false;
    bool negated = false;
    std::optional<Network> network; // none: an if that could not be understood, never true
    std::string value;
    std::size_t end = 0; // of a block: the first rule behind it
  };
  class Reader;

  std::vector<Rule> rules_;
};

} // namespace postrider::maps
