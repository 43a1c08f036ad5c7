// SPDX-License-Identifier: MIT
// MTA-STS (RFC 8461): what the policy of a recipient domain asks of a connection to one of its
// hosts. Pure; tlsmgr finds and keeps the policies, tls_sts.cpp asks for them.
#pragma once

#include <string>
#include <string_view>

#include "proto/tlsmgr.hpp"
#include "smtpclient/nexthop.hpp"
#include "smtpclient/options.hpp"
#include "smtpclient/tls_policy.hpp"

namespace postrider::smtpclient {

// Whether MTA-STS has a say: for domains whose MX hosts are looked up, where TLS is a wish and DANE
// has not decided. An entry of smtp_tls_policy_maps goes before it: TlsClient::with_sts().
bool may_have_sts(const Options& options, const Nexthop& hop, TlsLevel level);

enum class StsDemand : std::uint8_t {
  nothing,   // no policy, or mode none
  watch,     // mode testing: say what would have failed, and deliver as without
  prove,     // mode enforce: a certificate for the host's name, of a trusted authority
  leave_out, // mode enforce, and the policy does not name the host
};
// `host` empty: what can be said before a host is known. With `only_named` false
// (smtp_tls_enforce_sts_mx_patterns) no host is left out.
StsDemand decide_sts(const proto::Policy& policy, bool only_named, std::string_view host);

// What a connection under a policy in mode enforce must prove, as an entry of a table of policies
// would say it: the name of the host; or, where hosts are not left out, one that the policy names.
PolicyEntry sts_entry(const proto::Policy& policy, bool only_named);

} // namespace postrider::smtpclient
