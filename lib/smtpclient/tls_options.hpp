// SPDX-License-Identifier: MIT
// The TLS parameters of the client, read once. What they mean for one server is decided in
// tls_policy.hpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace postrider::smtpclient {

// In order of strictness but for fingerprint, which is a way of its own.
enum class TlsLevel : std::uint8_t {
  none,
  may,
  encrypt,
  fingerprint,
  dane, // with usable TLSA records; else encrypt or may (RFC 7672 section 2.2)
  dane_only,
  verify,
  secure,
  sts, // a policy of MTA-STS in mode enforce; never written by an administrator
};
std::string_view to_string(TlsLevel level); // "dane-only"
// Error config: no such level.
Result<TlsLevel> parse_tls_level(std::string_view text);
constexpr bool is_mandatory(TlsLevel level) { return level > TlsLevel::may; }
constexpr bool is_dane(TlsLevel level) {
  return level == TlsLevel::dane || level == TlsLevel::dane_only;
}

struct TlsOptions {
  // smtp_tls_security_level; when that is empty, of smtp_enforce_tls and smtp_use_tls.
  TlsLevel level = TlsLevel::none;
  bool wrapper = false;
  int loglevel = 0;
  bool note_offers = false;
  bool log_feature_status = true;

  std::string ca_file;
  std::string ca_path;
  bool default_ca = false;
  std::vector<std::string> chain_files;
  std::string cert_file, key_file;
  std::string eccert_file, eckey_file;
  int verify_depth = 9;

  std::string ciphers = "medium", mandatory_ciphers = "medium"; // grades
  std::vector<std::string> exclude, mandatory_exclude;
  std::string protocols = ">=TLSv1", mandatory_protocols = ">=TLSv1";
  std::string priority, mandatory_priority;      // GnuTLS; empty: from the grade
  std::string high_list, medium_list, null_list; // OpenSSL; empty: built in

  std::vector<std::string> secure_match, verify_match; // "nexthop", ".example.com"
  std::vector<std::string> fingerprints;
  std::string fingerprint_digest = "sha256";
  std::vector<std::string> trust_anchor_files;
  std::string server_name; // "", "hostname", "nexthop", or a name

  std::string session_cache; // "lmdb:/path"; empty: no resumption
  std::chrono::milliseconds session_timeout{3600000};
  bool reuse = true;
  std::chrono::milliseconds downgrade_defer{3600000};

  bool insecure_host_tlsa = false;
  TlsLevel insecure_mx_level = TlsLevel::may;
  std::vector<std::string> dane_digests{"sha512", "sha256"};
  bool sts = false;
  bool enforce_sts_patterns = true;
  std::chrono::milliseconds sts_limit{65000}; // tlsmgr's mta_sts_fetch_timeout, and a bit

  bool reports = false;     // smtp_tlsrpt_enable
  bool skip_resumed = true; // smtp_tlsrpt_skip_reused_handshakes
  std::string reporter;     // name of the tlsrpt service

  std::string manager;                               // name of the tlsmgr service
  std::chrono::milliseconds plaintext_after{300000}; // minimal_backoff_time: of a message, at `may`

  // Error config names the parameter.
  static Result<TlsOptions> load(const config::Settings& settings, bool lmtp);
};

} // namespace postrider::smtpclient
