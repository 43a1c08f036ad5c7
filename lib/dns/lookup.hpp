// SPDX-License-Identifier: MIT
// Questions to a Resolver that more than one program asks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dns/resolver.hpp"

namespace postrider::dns {

// The strings of one TXT record, put together. Pure, whatever the bytes are.
std::string text_of(std::string_view rdata);

// WAITS. The TXT records of a name; none: there are none. Error busy: DNS does not say.
ev::Task<Result<std::vector<std::string>>> find_texts(Resolver& resolver, const std::string& name,
                                                      ev::Deadline deadline);

struct Families {
  bool ipv4 = true, ipv6 = true;
  static Families of(std::string_view inet_protocols);
};
// WAITS. Addresses of a host, those of IPv6 first, a few at most. Error not_found: none are known.
ev::Task<Result<std::vector<std::string>>> find_addresses(Resolver& resolver,
                                                          const std::string& host,
                                                          Families families, ev::Deadline deadline);

} // namespace postrider::dns
