// SPDX-License-Identifier: MIT
// What is counted of one domain in one day, and what is not: an account is bounded whatever happens
// in a day, and says how much it had no room for. Pure.
#pragma once

#include "proto/tlsrpt.hpp"

namespace postrider::tlsrpt {

inline constexpr std::size_t kMostPolicies = 8; // of one account
inline constexpr std::size_t kMostLines = 100;  // of one account, over all its policies

void add(proto::TlsAccount& account, const proto::TlsEvent& event);
bool has_failures(const proto::TlsAccount& account);

} // namespace postrider::tlsrpt
