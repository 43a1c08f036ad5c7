// SPDX-License-Identifier: MIT
// The words of smtpd_*_restrictions, and lists of them as main.cf and access tables write them.
// Pure: what the words name (tables, policy services) is opened by the caller's functions.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "dns_list.hpp"
#include "maps/map.hpp"

namespace postrider::smtpd {

class PolicyService;

enum class Word : std::uint8_t {
  permit,
  reject,
  defer,
  warn_if_reject,
  defer_if_permit,
  defer_if_reject,
  sleep,
  restriction_class,
  permit_mynetworks,
  permit_inet_interfaces,
  permit_sasl_authenticated,
  permit_tls_clientcerts,
  permit_tls_all_clientcerts,
  permit_auth_destination,
  permit_mx_backup,
  reject_unauth_destination,
  defer_unauth_destination,
  reject_unauth_pipelining,
  reject_plaintext_session,
  reject_unknown_client_hostname,
  reject_unknown_reverse_client_hostname,
  reject_invalid_helo_hostname,
  reject_non_fqdn_helo_hostname,
  reject_unknown_helo_hostname,
  reject_non_fqdn_address,
  reject_unknown_domain,
  reject_unlisted,
  reject_sender_login_mismatch,
  reject_known_sender_login_mismatch,
  reject_authenticated_sender_login_mismatch,
  reject_unauthenticated_sender_login_mismatch,
  reject_multi_recipient_bounce,
  check_access,
  check_policy_service,
  reject_rbl_client,
  permit_dnswl_client,
  reject_rhsbl,
  permit_rhswl_client,
  not_here, // Postfix knows it, this version does not: an error that says so
};

// Whose name a word looks at.
enum class Subject : std::uint8_t {
  none,
  client,
  reverse_client,
  helo,
  sender,
  recipient,
  ccert,
  sasl,
};

// What a table is asked for: the name itself, or servers that the DNS names for it.
enum class Via : std::uint8_t { itself, a, mx, ns };

struct WordRow {
  std::string_view name;
  Word word;
  Subject subject = Subject::none;
  Via via = Via::itself;
};

// The row of a word in any case of letters; null: there is none.
const WordRow* find_word(std::string_view name);
// The known word that looks most like it; empty: none does.
std::string_view nearest_word(std::string_view name);

struct Restriction {
  const WordRow* row = nullptr;
  std::string argument;                  // as written; of a class its name
  std::shared_ptr<maps::MapList> table;  // check_access
  std::shared_ptr<PolicyService> server; // check_policy_service
  std::optional<DnsList> list;           // reject_rbl_client and its relatives
  Duration pause{};                      // sleep
  bool public_key_first = false;         // check_ccert_access, its search order
  bool certificate = true, public_key = true;
};
using Restrictions = std::vector<Restriction>;

struct WordContext {
  // What a type:table without a word in front means; none: it is an error.
  Subject bare = Subject::none;
  std::function<bool(const std::string& name)> is_class;
  // Empty: a list in an access table, which may name neither.
  std::function<Result<std::shared_ptr<maps::MapList>>(const std::string& spec)> open_table;
  std::function<Result<std::shared_ptr<PolicyService>>(const std::string& spec)> open_service;
};

// Error config says which word is wrong, and how.
Result<Restrictions> parse_restrictions(const std::vector<std::string>& words,
                                        const WordContext& context);

// Whether the list can refuse a stranger's mail for a stranger: without that we would be an open
// relay.
using ClassLists = std::map<std::string, Restrictions>;
bool guard_relay(const Restrictions& list, const ClassLists& classes, int depth = 0);

} // namespace postrider::smtpd
