// SPDX-License-Identifier: MIT
#include "smtpclient/sts.hpp"

#include "mail/domain.hpp"

namespace postrider::smtpclient {

bool may_have_sts(const Options& options, const Nexthop& hop, TlsLevel level) {
  return options.tls.sts && options.flavor == Flavor::smtp && level == TlsLevel::may &&
         hop.kind == Nexthop::Kind::domain && mail::is_domain(hop.name);
}

StsDemand decide_sts(const proto::Policy& policy, bool only_named, std::string_view host) {
  if (!policy.present || policy.mode == mail::StsMode::none) return StsDemand::nothing;
  if (policy.mode == mail::StsMode::testing) return StsDemand::watch;
  if (!only_named || host.empty()) return StsDemand::prove;
  return mail::sts_allows(policy.mx, host) ? StsDemand::prove : StsDemand::leave_out;
}

PolicyEntry sts_entry(const proto::Policy& policy, bool only_named) {
  PolicyEntry entry;
  entry.level = TlsLevel::sts;
  entry.server_name = "hostname"; // RFC 8461 section 4.2
  if (only_named)
    entry.match = {"hostname"};
  else
    entry.match = policy.mx; // "*.example.net": one label more
  return entry;
}

} // namespace postrider::smtpclient
