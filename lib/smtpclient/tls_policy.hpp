// SPDX-License-Identifier: MIT
// What protection a connection must have: smtp_tls_policy_maps, smtp_tls_per_site and the
// parameters, by Postfix's rules. Pure: tables are asked and files are read in tls_client.hpp.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "smtpclient/tls_options.hpp"
#include "tls/priority.hpp"
#include "tls/verify.hpp"

namespace postrider::smtpclient {

// One entry of smtp_tls_policy_maps: "encrypt protocols=>=TLSv1.2 { ciphers = high }". What is
// absent is as the parameters say.
struct PolicyEntry {
  TlsLevel level = TlsLevel::none;
  std::optional<std::string> ciphers;
  std::optional<std::string> exclude;
  std::optional<std::string> protocols;
  std::optional<std::string> server_name;
  std::vector<std::string> match; // names and words, or fingerprints
  std::vector<std::string> anchor_files;
  std::optional<bool> reuse;
  std::optional<bool> wrapper;      // an attribute of our own
  std::vector<std::string> ignored; // attributes without effect, because the level is none
};
// Error config: what is wrong with it. Mail does not go then, for a slip must not weaken anything.
Result<PolicyEntry> parse_policy_entry(std::string_view text);

// Where the entry of a next hop may stand, the most special key first: itself, as in the request,
// in lower case; for a bare domain also its parents, ".example.com", ".com".
std::vector<std::string> policy_keys(std::string_view destination);

// smtp_tls_per_site, as before Postfix 2.3: what is found for the next hop, then for the host.
// Error config: no such word.
Result<TlsLevel> add_site_word(std::optional<TlsLevel> so_far, std::string_view word);
// A "may" of the table is for whole domains, and gives way to a stricter parameter.
TlsLevel site_level(TlsLevel parameter, std::optional<TlsLevel> found);

// What holds for one server. Made of parameters and an entry; shared by all connections alike.
struct TlsPolicy {
  TlsLevel level = TlsLevel::none;
  bool wrapper = false; // TLS from the first byte on
  bool reuse = true;    // the connection may carry further mail
  tls::CipherRequest ciphers;
  std::string server_name;        // "", "hostname", "nexthop" or a name
  std::vector<std::string> match; // words and names, or fingerprints
  std::vector<std::string> anchor_files;
  std::vector<tls::TlsaRecord> tlsa; // level dane, dane-only
  bool half_dane = false;            // the MX record was not signed
  std::string asked;  // the level that a second try in the clear began with, for the log
  std::string digest; // two policies with the same digest are the same
};
// `level` is that of the entry, unless DANE or a table says otherwise. Error config: why it cannot
// be met.
Result<TlsPolicy> make_policy(const TlsOptions& options, TlsLevel level, const PolicyEntry* entry);
// To be called when a field has changed.
void set_digest(TlsPolicy& policy);

// `nexthop` is a domain or host without brackets and port; `host` the server's name.
struct ServerNames {
  std::string_view nexthop;
  std::string_view host;
};
// Of what the policy asks for, all but roots and trust anchors.
tls::Expectation expectation_of(const TlsPolicy& policy, const TlsOptions& options,
                                const ServerNames& names);
// For SNI; empty: none is said (also where the name is an address).
std::string server_name_of(const TlsPolicy& policy, const ServerNames& names);

// Parameters whose time is over, and what is likely to be a mistake: for the log at start and
// `postrider check`.
std::vector<std::string> tls_warnings(const config::Settings& settings, bool lmtp);

} // namespace postrider::smtpclient
