// SPDX-License-Identifier: MIT
// Whether DNSSEC works here at all. Without it every domain looks unsigned, or none can be reached,
// and the reason is never the domain's.
#pragma once

#include <string>

#include "dns/resolver.hpp"

namespace postrider::dns {

// WAITS: asks for the zones that the trust anchors are of. Empty: signatures are validated. Else
// what stands in the way, for people. Cancelled: empty.
ev::Task<std::string> find_dnssec_trouble(Resolver& resolver,
                                          const std::vector<std::string>& anchors,
                                          ev::Deadline deadline);

} // namespace postrider::dns
