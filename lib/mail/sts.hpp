// SPDX-License-Identifier: MIT
// MTA-STS (RFC 8461): the TXT record that announces a policy, the policy, and which MX hosts it
// allows. Pure. Both texts come from strangers: rubbish is an Error, and then there is no policy.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider::mail {

enum class StsMode : std::uint8_t { none, testing, enforce };
constexpr StsMode highest(StsMode) { return StsMode::enforce; }
constexpr std::string_view to_string(StsMode mode) {
  switch (mode) {
  case StsMode::none: return "none";
  case StsMode::testing: return "testing";
  case StsMode::enforce: return "enforce";
  }
  return "";
}

inline constexpr std::size_t kStsLongestPolicy = 64 * 1024; // RFC 8461 section 3.3
inline constexpr std::size_t kStsMostPatterns = 1000;
inline constexpr std::chrono::seconds kStsLongestAge{31'557'600}; // section 3.2

struct StsPolicy {
  StsMode mode = StsMode::none;
  std::chrono::seconds max_age{0};
  std::vector<std::string> mx; // lower case A-labels: "mx.example.com", "*.example.com"
  bool operator==(const StsPolicy&) const = default;
};

// From the TXT records of _mta-sts.DOMAIN: the id of the one that is a record of MTA-STS. Error
// not_found: there is none. Error protocol: more than one, or malformed (section 3.1: as if none).
Result<std::string> parse_sts_record(const std::vector<std::string>& texts);

// Unknown fields are passed over, of a field given twice the first counts (section 3.2), except mx.
// A max_age beyond a year counts as a year. Error protocol says what is wrong.
Result<StsPolicy> parse_sts_policy(std::string_view text);

// Section 4.1: `host` (of an MX record) is allowed. A "*" stands for exactly one label.
bool sts_allows(const std::vector<std::string>& patterns, std::string_view host);

} // namespace postrider::mail
