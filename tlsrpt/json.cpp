// SPDX-License-Identifier: MIT
#include <nlohmann/json.hpp>

#include "report.hpp"

namespace postrider::tlsrpt {
namespace {

using Json = nlohmann::ordered_json;

Json failure_of(const proto::TlsFailures& line) {
  Json out;
  out["result-type"] = to_string(line.result);
  if (!line.sending_address.empty()) out["sending-mta-ip"] = line.sending_address;
  if (!line.mx_host.empty()) out["receiving-mx-hostname"] = line.mx_host;
  if (!line.mx_address.empty()) out["receiving-ip"] = line.mx_address;
  out["failed-session-count"] = line.count;
  if (!line.reason.empty()) out["failure-reason-code"] = line.reason;
  return out;
}

Json policy_of(const proto::TlsPolicyCount& count) {
  Json policy;
  policy["policy-type"] = to_string(count.policy.kind);
  if (!count.policy.strings.empty()) policy["policy-string"] = count.policy.strings;
  policy["policy-domain"] = count.policy.domain;
  if (!count.policy.mx.empty()) policy["mx-host"] = count.policy.mx;
  Json out;
  out["policy"] = std::move(policy);
  out["summary"]["total-successful-session-count"] = count.successes;
  out["summary"]["total-failure-session-count"] = count.failures;
  if (count.lines.empty()) return out;
  out["failure-details"] = Json::array();
  for (const proto::TlsFailures& line : count.lines)
    out["failure-details"].push_back(failure_of(line));
  return out;
}

} // namespace

std::string to_json(const proto::TlsAccount& account, const Letterhead& head) {
  Json out;
  out["organization-name"] = head.organization;
  out["date-range"]["start-datetime"] = date_time(account.begin);
  out["date-range"]["end-datetime"] = date_time(account.end - 1);
  out["contact-info"] = head.contact;
  out["report-id"] = account.report_id;
  out["policies"] = Json::array();
  for (const proto::TlsPolicyCount& count : account.policies)
    out["policies"].push_back(policy_of(count));
  // Bytes that are no UTF-8 become U+FFFD.
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace postrider::tlsrpt
