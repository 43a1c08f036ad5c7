// SPDX-License-Identifier: MIT
// Whether a name in a certificate is the one that was expected (RFC 6125 section 6, as Postfix does
// it). Pure.
#pragma once

#include <string_view>

namespace postrider::tls {

// `expected`: a host name in A-labels, ".example.com" for every name below, or "*.example.com" for
// those with one label more. `presented` may be "*.example.com", which stands for one label more;
// any other wildcard, and any name with a byte that names do not have, matches nothing.
bool name_matches(std::string_view expected, std::string_view presented);

} // namespace postrider::tls
