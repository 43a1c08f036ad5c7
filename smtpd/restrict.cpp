// SPDX-License-Identifier: MIT
#include "restrict.hpp"

#include <array>
#include <utility>

#include "base/ascii.hpp"
#include "mail/address.hpp"

namespace postrider::smtpd {

namespace {

constexpr std::array<std::pair<std::string_view, Rule>, 8> kWords{{
    {"permit_mynetworks", Rule::permit_mynetworks},
    {"permit_sasl_authenticated", Rule::permit_sasl_authenticated},
    {"permit_auth_destination", Rule::permit_auth_destination},
    {"reject_unauth_destination", Rule::reject_unauth_destination},
    {"defer_unauth_destination", Rule::defer_unauth_destination},
    {"permit", Rule::permit},
    {"reject", Rule::reject},
    {"defer", Rule::defer},
}};

std::string shown(std::string_view address) { return "<" + mail::to_external(address) + ">"; }

smtp::Refusal refusal(int code, std::string_view subject_detail, std::string text) {
  return {code, std::string(code >= 500 ? "5." : "4.").append(subject_detail), std::move(text)};
}

std::optional<smtp::Refusal> walk(const std::vector<Rule>& rules, const SessionFacts& session,
                                  const RecipientFacts& facts, const Codes& codes) {
  const bool authorised = facts.our_domain && !has_routing(facts.address);
  for (const Rule rule : rules) {
    switch (rule) {
    case Rule::permit_mynetworks:
      if (session.trusted) return std::nullopt;
      break;
    case Rule::permit_sasl_authenticated:
      if (session.authenticated) return std::nullopt;
      break;
    case Rule::permit_auth_destination:
      if (authorised) return std::nullopt;
      break;
    case Rule::reject_unauth_destination:
      if (!authorised)
        return refusal(codes.relay_denied, "7.1", shown(facts.address) + ": Relay access denied");
      break;
    case Rule::defer_unauth_destination:
      if (!authorised) return refusal(454, "7.1", shown(facts.address) + ": Relay access denied");
      break;
    case Rule::permit: return std::nullopt;
    case Rule::reject:
      return refusal(554, "7.1",
                     shown(facts.address) + ": Recipient address rejected: Access denied");
    case Rule::defer:
      return refusal(450, "7.1",
                     shown(facts.address) + ": Recipient address rejected: Try again later");
    }
  }
  return std::nullopt;
}

} // namespace

Result<std::vector<Rule>> parse_rules(const std::vector<std::string>& words) {
  std::vector<Rule> rules;
  for (const std::string& word : words) {
    bool known = false;
    for (const auto& [name, rule] : kWords) {
      if (!iequals(word, name)) continue;
      rules.push_back(rule);
      known = true;
    }
    if (!known)
      return Error(ErrorKind::config, "\"" + word + "\" is no restriction that this version knows");
  }
  return rules;
}

bool guard_relay(const std::vector<Rule>& rules) {
  for (const Rule rule : rules) {
    switch (rule) {
    case Rule::reject_unauth_destination:
    case Rule::defer_unauth_destination:
    case Rule::reject:
    case Rule::defer: return true;
    case Rule::permit: return false;
    case Rule::permit_mynetworks:
    case Rule::permit_sasl_authenticated:
    case Rule::permit_auth_destination: break;
    }
  }
  return false;
}

bool has_routing(std::string_view address) {
  return mail::local_part(address).find_first_of("%!@") != std::string_view::npos;
}

std::optional<smtp::Refusal> check_recipient(const std::vector<Rule>& relay,
                                             const std::vector<Rule>& recipient,
                                             const SessionFacts& session,
                                             const RecipientFacts& facts, const Codes& codes) {
  if (auto refused = walk(relay, session, facts, codes)) return refused;
  return walk(recipient, session, facts, codes);
}

} // namespace postrider::smtpd
