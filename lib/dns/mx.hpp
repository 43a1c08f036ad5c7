// SPDX-License-Identifier: MIT
// Which hosts take mail for a domain (RFC 5321 section 5.1, null MX RFC 7505). Hosts only: their
// addresses are another question.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.hpp"
#include "dns/resolver.hpp"

namespace postrider::dns {

struct MxHost {
  std::string name;
  std::uint16_t preference = 0;
  bool operator==(const MxHost&) const = default;
};

struct MxList {
  enum class Kind : std::uint8_t {
    hosts,   // at least one, in order of preference
    null_mx, // the domain says that it takes no mail
    no_domain,
    unusable, // there are MX records, none names a host
    filtered, // a table took all MX records away
    temporary,
  };
  Kind kind = Kind::temporary;
  bool implicit = false; // no MX record: the domain itself is the only host
  Security security = Security::insecure;
  std::vector<MxHost> hosts;
  std::string canonical; // of the domain, at the end of aliases
  std::string reason;
  MxList() {}
};

// Pure. A null MX counts whatever stands beside it; a host named twice stands at its best place;
// hosts of equal preference are in random order when `shuffle` is given.
MxList read_mx(const Answer& answer, std::string_view domain, Jitter* shuffle);

// WAITS. REQUIRES an ASCII domain.
ev::Task<Result<MxList>> look_up_mx(Resolver& resolver, std::string_view domain, Jitter* shuffle,
                                    ev::Deadline deadline);

} // namespace postrider::dns
