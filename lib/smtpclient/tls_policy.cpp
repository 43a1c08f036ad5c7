// SPDX-License-Identifier: MIT
#include "smtpclient/tls_policy.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/words.hpp"
#include "mail/domain.hpp"

namespace postrider::smtpclient {
namespace {

Error wrong(std::string text) { return Error(ErrorKind::config, std::move(text)); }

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

Error bad_value(std::string_view name, std::string_view value) {
  return wrong("attribute " + quoted(name) + " has bad value: " + quoted(value));
}

bool matches_names(TlsLevel level) {
  return level == TlsLevel::verify || level == TlsLevel::secure || level == TlsLevel::sts;
}

bool is_server_name(std::string_view text) {
  return mail::is_hostname(text); // "hostname" and "nexthop" are such, too
}

void append_split(std::vector<std::string>& out, std::string_view text, std::string_view at) {
  for (const std::string_view word : split(text, at))
    out.emplace_back(word);
}

// Facts about where a policy comes from, for reports about TLS (RFC 8460), which are not made here.
bool is_for_reports(std::string_view name) {
  constexpr std::string_view kNames[] = {"policy_ttl",    "policy_type",     "policy_domain",
                                         "policy_string", "mx_host_pattern", "policy_failure"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [name](std::string_view one) { return iequals(name, one); });
}

Result<void> add_attribute(PolicyEntry& entry, std::string_view name, std::string_view value) {
  const auto once = [&](std::optional<std::string>& field) -> Result<void> {
    if (field) return wrong("attribute " + quoted(name) + " is specified multiple times");
    field.emplace(value);
    return {};
  };
  const auto yes_or_no = [&](std::optional<bool>& field) -> Result<void> {
    if (!iequals(value, "yes") && !iequals(value, "no")) return bad_value(name, value);
    field = iequals(value, "yes");
    return {};
  };
  const bool is_list = iequals(name, "match") || iequals(name, "tafile");
  if (value.empty() && (is_list || iequals(name, "ciphers")))
    return wrong("attribute " + quoted(name) + " has empty value");
  if (iequals(name, "ciphers")) return once(entry.ciphers);
  if (iequals(name, "protocols")) return once(entry.protocols);
  if (iequals(name, "exclude")) return once(entry.exclude);
  if (iequals(name, "servername")) {
    if (!is_server_name(value))
      return wrong(quoted(std::string(name) + "=" + std::string(value)) +
                   " specifies an invalid hostname");
    return once(entry.server_name);
  }
  if (is_list) {
    const bool fingerprints = iequals(name, "match") && entry.level == TlsLevel::fingerprint;
    if (!fingerprints && !matches_names(entry.level))
      return wrong("attribute " + quoted(name) + " invalid at security level " +
                   quoted(to_string(entry.level)));
    if (iequals(name, "tafile"))
      entry.anchor_files.emplace_back(value);
    else
      append_split(entry.match, value, fingerprints ? "|" : ":");
    return {};
  }
  if (iequals(name, "connection_reuse")) return yes_or_no(entry.reuse);
  if (iequals(name, "wrappermode")) return yes_or_no(entry.wrapper);
  // Raw public keys are never asked for; servers that have some have a certificate as well.
  std::optional<bool> unused;
  if (iequals(name, "enable_rpk")) return yes_or_no(unused);
  if (is_for_reports(name)) return {};
  return wrong("invalid attribute name: " + quoted(name));
}

} // namespace

Result<PolicyEntry> parse_policy_entry(std::string_view text) {
  POSTRIDER_TRY(const std::vector<std::string> words, split_words(text));
  if (words.empty()) return wrong("invalid empty policy");
  PolicyEntry entry;
  const auto level = parse_tls_level(words.front());
  if (!level) return wrong("invalid security level " + quoted(words.front()));
  entry.level = *level;
  if (entry.level == TlsLevel::none) {
    entry.ignored.assign(words.begin() + 1, words.end());
    return entry;
  }
  for (auto word = words.begin() + 1; word != words.end(); ++word) {
    const std::size_t equals = word->find('=');
    const std::string_view name = trim(std::string_view(*word).substr(0, equals));
    if (equals == std::string::npos || name.empty())
      return wrong("malformed attribute/value pair " + quoted(*word));
    POSTRIDER_TRY_VOID(
        add_attribute(entry, name, trim(std::string_view(*word).substr(equals + 1))));
  }
  return entry;
}

std::vector<std::string> policy_keys(std::string_view destination) {
  const std::string key = lowercase(destination);
  std::vector<std::string> keys = {key};
  const bool numeric = key.find_first_not_of("0123456789.") == std::string::npos;
  if (numeric || !mail::is_domain(key)) return keys;
  for (std::size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1))
    keys.push_back(key.substr(dot));
  return keys;
}

Result<TlsLevel> add_site_word(std::optional<TlsLevel> so_far, std::string_view word) {
  const auto stronger = [&](TlsLevel level) { return so_far ? std::max(*so_far, level) : level; };
  if (iequals(word, "NONE")) // stands above MAY
    return so_far && *so_far > TlsLevel::may ? *so_far : TlsLevel::none;
  if (iequals(word, "MAY")) return so_far.value_or(TlsLevel::may);
  if (iequals(word, "MUST_NOPEERMATCH")) return stronger(TlsLevel::encrypt);
  if (iequals(word, "MUST")) return stronger(TlsLevel::verify);
  return wrong("unknown TLS policy '" + std::string(word) + "'");
}

TlsLevel site_level(TlsLevel parameter, std::optional<TlsLevel> found) {
  if (!found) return parameter;
  return *found == TlsLevel::may ? std::max(*found, parameter) : *found;
}

namespace {

tls::CipherRequest ciphers_for(const TlsOptions& options, TlsLevel level,
                               const PolicyEntry* entry) {
  const bool mandatory = is_mandatory(level);
  tls::CipherRequest ciphers;
  ciphers.grade = mandatory ? options.mandatory_ciphers : options.ciphers;
  ciphers.protocols = mandatory ? options.mandatory_protocols : options.protocols;
  ciphers.native = mandatory ? options.mandatory_priority : options.priority;
  ciphers.exclude = options.exclude;
  if (mandatory)
    ciphers.exclude.insert(ciphers.exclude.end(), options.mandatory_exclude.begin(),
                           options.mandatory_exclude.end());
  if (entry != nullptr) {
    if (entry->protocols) ciphers.protocols = *entry->protocols;
    if (entry->ciphers) ciphers.grade = *entry->ciphers;
    if (entry->exclude) {
      ciphers.exclude.clear();
      append_split(ciphers.exclude, *entry->exclude, ":, \t");
    }
    // Who names ciphers for one destination means them, not what was written for all.
    if (entry->ciphers || entry->exclude) ciphers.native.clear();
  }
  // Who must encrypt encrypts; who must prove something has a certificate.
  if (level == TlsLevel::encrypt) ciphers.exclude.emplace_back("eNULL");
  if (level > TlsLevel::encrypt) ciphers.exclude.emplace_back("aNULL");
  if (iequals(ciphers.grade, "high"))
    ciphers.cipherlist = options.high_list;
  else if (iequals(ciphers.grade, "null"))
    ciphers.cipherlist = options.null_list;
  else
    ciphers.cipherlist = options.medium_list;
  return ciphers;
}

void put(std::string& digest, std::string_view text) {
  digest.append(text);
  digest.push_back('\n');
}

void put(std::string& digest, const std::vector<std::string>& list) {
  for (const std::string& one : list)
    put(digest, one);
  digest.push_back('\n');
}

} // namespace

void set_digest(TlsPolicy& policy) {
  std::string& digest = policy.digest;
  digest.clear();
  put(digest, to_string(policy.level));
  if (policy.level == TlsLevel::none) return;
  put(digest, policy.wrapper ? "wrapper" : "");
  put(digest, policy.ciphers.grade);
  put(digest, policy.ciphers.cipherlist);
  put(digest, policy.ciphers.exclude);
  put(digest, policy.ciphers.protocols);
  put(digest, policy.ciphers.native);
  put(digest, policy.server_name);
  put(digest, policy.match);
  put(digest, policy.anchor_files);
  for (const tls::TlsaRecord& record : policy.tlsa) {
    put(digest, std::to_string(record.usage) + " " + std::to_string(record.selector) + " " +
                    std::to_string(record.matching));
    put(digest, record.data);
  }
}

Result<TlsPolicy> make_policy(const TlsOptions& options, TlsLevel level, const PolicyEntry* entry) {
  TlsPolicy policy;
  policy.level = level;
  policy.reuse = entry != nullptr ? entry->reuse.value_or(options.reuse) : options.reuse;
  policy.wrapper = entry != nullptr ? entry->wrapper.value_or(options.wrapper) : options.wrapper;
  if (policy.wrapper && !is_mandatory(level))
    return wrong("wrapper mode requires the level encrypt (or stronger)");
  if (level != TlsLevel::none) {
    policy.ciphers = ciphers_for(options, level, entry);
    policy.server_name =
        entry != nullptr && entry->server_name ? *entry->server_name : options.server_name;
    if (!policy.server_name.empty() && !is_server_name(policy.server_name))
      return wrong("tls_servername = " + policy.server_name + " specifies an invalid hostname");
  }
  if (level == TlsLevel::fingerprint || matches_names(level)) {
    if (entry != nullptr) policy.match = entry->match;
    if (policy.match.empty())
      policy.match = level == TlsLevel::fingerprint ? options.fingerprints
                     : level == TlsLevel::verify    ? options.verify_match
                                                    : options.secure_match;
    if (policy.match.empty() && level == TlsLevel::fingerprint)
      return wrong("configured at fingerprint security level, but with no fingerprints to match");
  }
  if (matches_names(level)) {
    if (entry != nullptr) policy.anchor_files = entry->anchor_files;
    if (policy.anchor_files.empty()) policy.anchor_files = options.trust_anchor_files;
  }
  set_digest(policy);
  return policy;
}

tls::Expectation expectation_of(const TlsPolicy& policy, const TlsOptions& options,
                                const ServerNames& names) {
  using Proof = tls::Expectation::Proof;
  tls::Expectation expected;
  expected.depth = options.verify_depth;
  expected.digest = options.fingerprint_digest;
  switch (policy.level) {
  case TlsLevel::none:
  case TlsLevel::may:
  case TlsLevel::encrypt: break;
  case TlsLevel::fingerprint:
    expected.proof = Proof::fingerprint;
    expected.fingerprints = policy.match;
    break;
  case TlsLevel::dane:
  case TlsLevel::dane_only:
    expected.proof = Proof::dane;
    expected.tlsa = policy.tlsa;
    expected.names = policy.match;
    break;
  case TlsLevel::verify:
  case TlsLevel::secure:
  case TlsLevel::sts:
    expected.proof = Proof::names;
    for (const std::string& word : policy.match) {
      if (iequals(word, "nexthop"))
        expected.names.emplace_back(names.nexthop);
      else if (iequals(word, "hostname"))
        expected.names.emplace_back(names.host);
      else if (iequals(word, "dot-nexthop"))
        expected.names.push_back("." + std::string(names.nexthop));
      else
        expected.names.push_back(word);
    }
    break;
  }
  return expected;
}

std::string server_name_of(const TlsPolicy& policy, const ServerNames& names) {
  std::string_view name = policy.server_name;
  if (iequals(name, "nexthop"))
    name = names.nexthop;
  else if (iequals(name, "hostname"))
    name = names.host;
  return is_server_name(name) ? std::string(name) : std::string();
}

std::vector<std::string> tls_warnings(const config::Settings& settings, bool lmtp) {
  const auto client = settings.client(lmtp ? "lmtp" : "smtp");
  const std::string prefix = lmtp ? "lmtp_" : "smtp_";
  std::vector<std::string> out;
  const auto obsolete = [&](std::string_view name, std::string_view instead) {
    out.push_back(prefix + std::string(name) + " is obsolete; use " + prefix +
                  std::string(instead));
  };
  const bool mute = !client.text("tls_security_level").empty();
  const auto mute_or_obsolete = [&](std::string_view name, std::string_view instead) {
    if (mute)
      out.push_back(prefix + std::string(name) + " is ignored when " + prefix +
                    "tls_security_level is not empty");
    else
      obsolete(name, instead);
  };
  if (client.flag("use_tls")) mute_or_obsolete("use_tls", "tls_security_level = may");
  if (client.flag("enforce_tls"))
    mute_or_obsolete("enforce_tls", client.flag("tls_enforce_peername")
                                        ? "tls_security_level = verify"
                                        : "tls_security_level = encrypt");
  if (!client.flag("tls_enforce_peername"))
    mute_or_obsolete("tls_enforce_peername", "tls_security_level = encrypt");
  if (!client.words("tls_per_site").empty()) {
    if (!client.words("tls_policy_maps").empty())
      out.push_back(prefix + "tls_per_site ignored when " + prefix +
                    "tls_policy_maps is not empty.");
    else
      obsolete("tls_per_site", "tls_policy_maps; its keys are next hops, not hosts");
  }
  if (iequals(client.text("tls_fingerprint_digest"), "md5") &&
      !client.words("tls_fingerprint_cert_match").empty())
    out.push_back(prefix + "tls_fingerprint_digest = md5: anybody can make a certificate with a "
                           "given digest; use sha256");
  if (lmtp && (client.flag("tlsrpt_enable") || !client.flag("tlsrpt_skip_reused_handshakes")))
    out.push_back("lmtp_tlsrpt_enable and lmtp_tlsrpt_skip_reused_handshakes are ignored: reports "
                  "on TLS are about MX hosts of domains");
  if (!lmtp && settings.flag("smtp_tls_mta_sts_enable") && client.text("tls_CAfile").empty() &&
      client.text("tls_CApath").empty() && !settings.flag("tls_append_default_CA"))
    out.push_back("smtp_tls_mta_sts_enable = yes without smtp_tls_CAfile or smtp_tls_CApath: mail "
                  "under policies in mode enforce will wait, for no certificate is trusted");
  return out;
}

} // namespace postrider::smtpclient
