// SPDX-License-Identifier: MIT
// The TXT record by which a domain asks for reports on TLS (RFC 8460 section 3): where they go.
// Pure. The text comes from strangers: what is odd is passed over.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider::tlsrpt {

inline constexpr std::size_t kMostAddresses = 8; // of one domain; further ones get nothing
inline constexpr std::size_t kLongestAddress = 1024;

// From the TXT records of _smtp._tls.DOMAIN: "mailto:address" and "https://..." URIs, in order.
// Error not_found: none, or more than one, is a record of TLSRPT, or none of its URIs can be used.
Result<std::vector<std::string>> parse_record(const std::vector<std::string>& texts);

// Of "mailto:" URIs, decoded; empty: the URI is something else, or no mail could go there.
std::optional<std::string> mail_address(std::string_view uri);
// The host of "https://host[:port]/..."; empty: the URI is something else, or has a user in it.
std::optional<std::string> https_host(std::string_view uri);

} // namespace postrider::tlsrpt
