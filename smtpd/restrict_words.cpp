// SPDX-License-Identifier: MIT
#include "restrict_words.hpp"

#include <algorithm>
#include <array>

#include "base/ascii.hpp"
#include "base/words.hpp"

namespace postrider::smtpd {

namespace {

constexpr auto kWords = std::to_array<WordRow>({
    {"permit", Word::permit},
    {"reject", Word::reject},
    {"defer", Word::defer},
    {"warn_if_reject", Word::warn_if_reject},
    {"defer_if_permit", Word::defer_if_permit},
    {"defer_if_reject", Word::defer_if_reject},
    {"sleep", Word::sleep},
    {"permit_mynetworks", Word::permit_mynetworks},
    {"permit_inet_interfaces", Word::permit_inet_interfaces},
    {"permit_sasl_authenticated", Word::permit_sasl_authenticated},
    {"permit_tls_clientcerts", Word::permit_tls_clientcerts},
    {"permit_tls_all_clientcerts", Word::permit_tls_all_clientcerts},
    {"permit_auth_destination", Word::permit_auth_destination},
    {"permit_mx_backup", Word::permit_mx_backup},
    {"reject_unauth_destination", Word::reject_unauth_destination},
    {"defer_unauth_destination", Word::defer_unauth_destination},
    {"reject_unauth_pipelining", Word::reject_unauth_pipelining},
    {"reject_plaintext_session", Word::reject_plaintext_session},
    {"reject_unknown_client_hostname", Word::reject_unknown_client_hostname},
    {"reject_unknown_client", Word::reject_unknown_client_hostname},
    {"reject_unknown_reverse_client_hostname", Word::reject_unknown_reverse_client_hostname},
    {"reject_invalid_helo_hostname", Word::reject_invalid_helo_hostname},
    {"reject_invalid_hostname", Word::reject_invalid_helo_hostname},
    {"reject_non_fqdn_helo_hostname", Word::reject_non_fqdn_helo_hostname},
    {"reject_non_fqdn_hostname", Word::reject_non_fqdn_helo_hostname},
    {"reject_unknown_helo_hostname", Word::reject_unknown_helo_hostname},
    {"reject_unknown_hostname", Word::reject_unknown_helo_hostname},
    {"reject_non_fqdn_sender", Word::reject_non_fqdn_address, Subject::sender},
    {"reject_non_fqdn_recipient", Word::reject_non_fqdn_address, Subject::recipient},
    {"reject_unknown_sender_domain", Word::reject_unknown_domain, Subject::sender},
    {"reject_unknown_recipient_domain", Word::reject_unknown_domain, Subject::recipient},
    {"reject_unlisted_sender", Word::reject_unlisted, Subject::sender},
    {"reject_unlisted_recipient", Word::reject_unlisted, Subject::recipient},
    {"check_recipient_maps", Word::reject_unlisted, Subject::recipient},
    {"reject_sender_login_mismatch", Word::reject_sender_login_mismatch},
    {"reject_known_sender_login_mismatch", Word::reject_known_sender_login_mismatch},
    {"reject_authenticated_sender_login_mismatch",
     Word::reject_authenticated_sender_login_mismatch},
    {"reject_unauthenticated_sender_login_mismatch",
     Word::reject_unauthenticated_sender_login_mismatch},
    {"reject_multi_recipient_bounce", Word::reject_multi_recipient_bounce},
    {"check_client_access", Word::check_access, Subject::client},
    {"check_client_a_access", Word::check_access, Subject::client, Via::a},
    {"check_client_mx_access", Word::check_access, Subject::client, Via::mx},
    {"check_client_ns_access", Word::check_access, Subject::client, Via::ns},
    {"check_reverse_client_hostname_access", Word::check_access, Subject::reverse_client},
    {"check_reverse_client_hostname_a_access", Word::check_access, Subject::reverse_client, Via::a},
    {"check_reverse_client_hostname_mx_access", Word::check_access, Subject::reverse_client,
     Via::mx},
    {"check_reverse_client_hostname_ns_access", Word::check_access, Subject::reverse_client,
     Via::ns},
    {"check_helo_access", Word::check_access, Subject::helo},
    {"check_helo_a_access", Word::check_access, Subject::helo, Via::a},
    {"check_helo_mx_access", Word::check_access, Subject::helo, Via::mx},
    {"check_helo_ns_access", Word::check_access, Subject::helo, Via::ns},
    {"check_sender_access", Word::check_access, Subject::sender},
    {"check_sender_a_access", Word::check_access, Subject::sender, Via::a},
    {"check_sender_mx_access", Word::check_access, Subject::sender, Via::mx},
    {"check_sender_ns_access", Word::check_access, Subject::sender, Via::ns},
    {"check_recipient_access", Word::check_access, Subject::recipient},
    {"check_recipient_a_access", Word::check_access, Subject::recipient, Via::a},
    {"check_recipient_mx_access", Word::check_access, Subject::recipient, Via::mx},
    {"check_recipient_ns_access", Word::check_access, Subject::recipient, Via::ns},
    {"check_ccert_access", Word::check_access, Subject::ccert},
    {"check_sasl_access", Word::check_access, Subject::sasl},
    {"check_policy_service", Word::check_policy_service},
    {"reject_rbl_client", Word::reject_rbl_client},
    {"reject_rbl", Word::reject_rbl_client},
    {"permit_dnswl_client", Word::permit_dnswl_client},
    {"reject_rhsbl_client", Word::reject_rhsbl, Subject::client},
    {"reject_rhsbl_reverse_client", Word::reject_rhsbl, Subject::reverse_client},
    {"reject_rhsbl_helo", Word::reject_rhsbl, Subject::helo},
    {"reject_rhsbl_sender", Word::reject_rhsbl, Subject::sender},
    {"reject_rhsbl_recipient", Word::reject_rhsbl, Subject::recipient},
    {"permit_rhswl_client", Word::permit_rhswl_client},
    {"reject_unverified_sender", Word::not_here},
    {"reject_unverified_recipient", Word::not_here},
    {"check_etrn_access", Word::not_here},
    {"check_relay_domains", Word::not_here},
    {"permit_naked_ip_address", Word::not_here},
    {"reject_maps_rbl", Word::not_here},
});

// Of Word::not_here: what to do instead.
std::string_view remedy_for(std::string_view name) {
  if (name == "reject_unverified_sender")
    return "use reject_unknown_sender_domain and, for addresses of ours, reject_unlisted_sender";
  if (name == "reject_unverified_recipient")
    return "list recipients in relay_recipient_maps, or let the next server say at RCPT who exists "
           "(smtpd_forward)";
  if (name == "check_etrn_access") return "there is no ETRN here; take it out";
  if (name == "check_relay_domains") return "use permit_auth_destination, reject";
  if (name == "reject_maps_rbl") return "use reject_rbl_client for each list";
  return "take it out";
}

constexpr int kDeepest = 100; // classes within classes

constexpr WordRow kClass{"", Word::restriction_class};

const WordRow& access_row(Subject subject) {
  for (const WordRow& row : kWords)
    if (row.word == Word::check_access && row.subject == subject && row.via == Via::itself)
      return row;
  POSTRIDER_UNREACHABLE();
}

Error config_error(std::string text) { return Error(ErrorKind::config, std::move(text)); }

std::string quoted(std::string_view word) { return "\"" + std::string(word) + "\""; }

// How many letters have to change (Levenshtein), bounded by the shorter words of this file.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min(
          {above + 1, row[j - 1] + 1, diagonal + (to_lower(a[i - 1]) != b[j - 1] ? 1 : 0)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

bool is_table(std::string_view word) {
  const std::size_t colon = word.find(':');
  return colon != std::string_view::npos && maps::is_map_type(word.substr(0, colon));
}

// "type:table", or "type:table, search_order = cert_fingerprint, pubkey_fingerprint" from braces.
Result<void> read_table(Restriction& out, const std::string& argument, const WordContext& context) {
  std::string spec = argument;
  if (out.row->subject == Subject::ccert && !is_table(argument.substr(0, argument.find('{')))) {
    return config_error(quoted(argument) + " behind check_ccert_access is no type:table");
  }
  if (const std::size_t at = spec.find("search_order"); at != std::string::npos) {
    std::string order = spec.substr(at + 12);
    std::replace(order.begin(), order.end(), '=', ' ');
    std::replace(order.begin(), order.end(), '{', ' ');
    std::replace(order.begin(), order.end(), '}', ' ');
    spec.resize(spec.find_last_not_of(" \t,{", at - 1) + 1);
    out.certificate = out.public_key = false;
    for (const std::string_view word : split(order, ", \t")) {
      const bool first = !out.certificate && !out.public_key;
      if (iequals(word, "cert_fingerprint"))
        out.certificate = true;
      else if (iequals(word, "pubkey_fingerprint"))
        out.public_key = true, out.public_key_first = first;
      else
        return config_error("search_order: " + quoted(word) +
                            " is neither cert_fingerprint nor pubkey_fingerprint");
    }
  }
  auto table = context.open_table(spec);
  if (!table) return table.error();
  out.table = std::move(*table);
  return {};
}

Result<void> read_argument(Restriction& out, const WordContext& context) {
  const Word word = out.row->word;
  const bool opens = word == Word::check_access || word == Word::check_policy_service;
  if (opens && !context.open_table)
    return config_error(quoted(out.row->name) +
                        ": a list in an access table names neither tables nor services; put them "
                        "into a class of smtpd_restriction_classes and name that");
  if (word == Word::check_access) return read_table(out, out.argument, context);
  if (word == Word::check_policy_service) {
    POSTRIDER_TRY(out.server, context.open_service(out.argument));
    return {};
  }
  if (word == Word::sleep) {
    const auto seconds = parse_decimal(out.argument);
    if (!seconds || *seconds > 3600)
      return config_error("sleep must be followed by a number of seconds");
    out.pause = std::chrono::seconds(*seconds);
    return {};
  }
  POSTRIDER_TRY(out.list, DnsList::parse(out.argument));
  return {};
}

bool takes_argument(Word word) {
  for (const Word one :
       {Word::check_access, Word::check_policy_service, Word::sleep, Word::reject_rbl_client,
        Word::permit_dnswl_client, Word::reject_rhsbl, Word::permit_rhswl_client})
    if (one == word) return true;
  return false;
}

// Does it refuse mail from a stranger to a stranger?
bool refuses_relay(Word word) {
  for (const Word one : {Word::reject_unauth_destination, Word::defer_unauth_destination,
                         Word::reject, Word::defer, Word::defer_if_permit})
    if (one == word) return true;
  return false;
}

} // namespace

const WordRow* find_word(std::string_view name) {
  for (const WordRow& row : kWords)
    if (iequals(row.name, name)) return &row;
  return nullptr;
}

std::string_view nearest_word(std::string_view name) {
  if (name.size() > 60) return {};
  std::string_view best;
  std::size_t least = std::max<std::size_t>(2, name.size() / 4) + 1;
  for (const WordRow& row : kWords) {
    const std::size_t d = distance(name, row.name);
    if (d < least) least = d, best = row.name;
  }
  return best;
}

Result<Restrictions> parse_restrictions(const std::vector<std::string>& words,
                                        const WordContext& context) {
  Restrictions list;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    Restriction one;
    if (context.is_class && context.is_class(word)) {
      one.row = &kClass;
      one.argument = word;
    } else if (const WordRow* row = find_word(word)) {
      one.row = row;
      if (row->word == Word::not_here)
        return config_error(quoted(word) + " is not in this version; " +
                            std::string(remedy_for(row->name)));
      if (takes_argument(row->word)) {
        if (i + 1 == words.size() || find_word(words[i + 1]) != nullptr)
          return config_error(quoted(word) + " needs something behind it");
        one.argument = words[++i];
        POSTRIDER_TRY_VOID(read_argument(one, context));
      }
    } else if (is_table(word)) {
      if (context.bare == Subject::none)
        return config_error("write check_client_access or another check_*_access in front of " +
                            quoted(word));
      one.row = &access_row(context.bare);
      one.argument = word;
      POSTRIDER_TRY_VOID(read_argument(one, context));
    } else {
      const std::string_view near = nearest_word(word);
      return config_error(quoted(word) + " is no restriction that this version knows" +
                          (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
    }
    list.push_back(std::move(one));
  }
  return list;
}

bool guard_relay(const Restrictions& list, const ClassLists& classes, int depth) {
  if (depth > kDeepest) return false;
  bool only_warns = false;
  for (const Restriction& one : list) {
    const Word word = one.row->word;
    if (word == Word::permit) return false;
    const auto found = word == Word::restriction_class ? classes.find(one.argument) : classes.end();
    const bool refuses = refuses_relay(word) ||
                         (found != classes.end() && guard_relay(found->second, classes, depth + 1));
    if (refuses && !only_warns) return true;
    only_warns = word == Word::warn_if_reject;
  }
  return false;
}

} // namespace postrider::smtpd
