// SPDX-License-Identifier: MIT
#include "counts.hpp"

#include <algorithm>

namespace postrider::tlsrpt {
namespace {

proto::TlsPolicyCount* policy_of(proto::TlsAccount& account, const proto::TlsPolicySeen& policy) {
  for (proto::TlsPolicyCount& known : account.policies)
    if (known.policy == policy) return &known;
  if (account.policies.size() >= kMostPolicies) return nullptr;
  account.policies.emplace_back().policy = policy;
  return &account.policies.back();
}

bool is_like(const proto::TlsFailures& line, const proto::TlsEvent& event) {
  return line.result == event.result && line.mx_host == event.mx_host &&
         line.mx_address == event.mx_address && line.sending_address == event.sending_address &&
         line.reason == event.reason;
}

} // namespace

void add(proto::TlsAccount& account, const proto::TlsEvent& event) {
  proto::TlsPolicyCount* count = policy_of(account, event.policy);
  if (count == nullptr) {
    ++account.lost;
    return;
  }
  if (event.result == proto::TlsResult::success) {
    ++count->successes;
    return;
  }
  ++count->failures;
  for (proto::TlsFailures& line : count->lines)
    if (is_like(line, event)) {
      ++line.count;
      return;
    }
  std::size_t lines = 0;
  for (const proto::TlsPolicyCount& each : account.policies)
    lines += each.lines.size();
  if (lines >= kMostLines) {
    ++count->without_line;
    return;
  }
  proto::TlsFailures& line = count->lines.emplace_back();
  line.result = event.result;
  line.mx_host = event.mx_host;
  line.mx_address = event.mx_address;
  line.sending_address = event.sending_address;
  line.reason = event.reason;
  line.count = 1;
}

bool has_failures(const proto::TlsAccount& account) {
  return account.lost > 0 ||
         std::any_of(account.policies.begin(), account.policies.end(),
                     [](const proto::TlsPolicyCount& count) { return count.failures > 0; });
}

} // namespace postrider::tlsrpt
