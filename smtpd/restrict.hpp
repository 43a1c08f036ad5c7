// SPDX-License-Identifier: MIT
// Who may send where: smtpd_relay_restrictions and smtpd_recipient_restrictions over facts that the
// session has found out. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "smtp/command.hpp"

namespace postrider::smtpd {

enum class Rule {
  permit_mynetworks,
  permit_sasl_authenticated,
  permit_auth_destination,
  reject_unauth_destination,
  defer_unauth_destination,
  permit,
  reject,
  defer,
};

// Error config names the first word that is none of these.
Result<std::vector<Rule>> parse_rules(const std::vector<std::string>& words);

// Whether the rules can refuse a stranger's mail for a stranger: without that we would be an open
// relay. True when one list does.
bool guard_relay(const std::vector<Rule>& rules);

struct SessionFacts {
  bool trusted = false;       // in mynetworks, or a process of this host
  bool authenticated = false; // SASL
};

struct RecipientFacts {
  std::string_view address;
  bool our_domain = false; // in mydestination or relay_domains, or without a domain
};

struct Codes {
  int relay_denied = 554; // relay_domains_reject_code
};

// What to answer instead of 250; nullopt: welcome. `relay` is asked first; permit in one list does
// not skip the other.
std::optional<smtp::Refusal> check_recipient(const std::vector<Rule>& relay,
                                             const std::vector<Rule>& recipient,
                                             const SessionFacts& session,
                                             const RecipientFacts& facts, const Codes& codes);

// "a%b@c", "a!b@c", "a@b"@c: a local part in which some systems see a further destination. From
// strangers that is no mail for us, whatever its domain.
bool has_routing(std::string_view address);

} // namespace postrider::smtpd
