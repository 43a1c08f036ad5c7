// SPDX-License-Identifier: MIT
#include "smtpclient/tls_options.hpp"

#include <array>

#include "base/ascii.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::array<std::string_view, 9> kLevels = {
    "none", "may", "encrypt", "fingerprint", "dane", "dane-only", "verify", "secure", "sts"};

Error config_error(std::string_view name, std::string_view text) {
  return Error(ErrorKind::config, std::string(name) + ": " + std::string(text));
}

} // namespace

std::string_view to_string(TlsLevel level) { return kLevels[static_cast<std::size_t>(level)]; }

Result<TlsLevel> parse_tls_level(std::string_view text) {
  for (std::size_t i = 0; i + 1 < kLevels.size(); ++i) // "sts" cannot be asked for by name
    if (iequals(text, kLevels[i])) return static_cast<TlsLevel>(i);
  return Error(ErrorKind::config, "no such TLS level: " + std::string(text) +
                                      "; there are none, may, encrypt, dane, dane-only, "
                                      "fingerprint, verify and secure");
}

Result<TlsOptions> TlsOptions::load(const config::Settings& settings, bool lmtp) {
  const auto client = settings.client(lmtp ? "lmtp" : "smtp");
  TlsOptions o;
  const std::string& level = client.text("tls_security_level");
  if (!level.empty()) {
    auto parsed = parse_tls_level(level);
    if (!parsed) return config_error("tls_security_level", parsed.error().text());
    o.level = *parsed;
  } else if (client.flag("enforce_tls")) {
    o.level = client.flag("tls_enforce_peername") ? TlsLevel::verify : TlsLevel::encrypt;
  } else if (client.flag("use_tls")) {
    o.level = TlsLevel::may;
  }
  o.wrapper = client.flag("tls_wrappermode");
  if (o.wrapper && !is_mandatory(o.level))
    return config_error("tls_wrappermode",
                        "requires \"tls_security_level = encrypt\" (or stronger)");
  o.loglevel = static_cast<int>(client.number("tls_loglevel"));
  o.note_offers = client.flag("tls_note_starttls_offer");
  o.log_feature_status = client.flag("log_tls_feature_status");

  o.ca_file = client.text("tls_CAfile");
  o.ca_path = client.text("tls_CApath");
  o.default_ca = settings.flag("tls_append_default_CA");
  o.chain_files = client.words("tls_chain_files");
  o.cert_file = client.text("tls_cert_file");
  o.key_file = client.text("tls_key_file");
  o.eccert_file = client.text("tls_eccert_file");
  o.eckey_file = client.text("tls_eckey_file");
  o.verify_depth = static_cast<int>(client.number("tls_scert_verifydepth"));

  o.ciphers = client.text("tls_ciphers");
  o.mandatory_ciphers = client.text("tls_mandatory_ciphers");
  o.exclude = client.words("tls_exclude_ciphers");
  o.mandatory_exclude = client.words("tls_mandatory_exclude_ciphers");
  o.protocols = client.text("tls_protocols");
  o.mandatory_protocols = client.text("tls_mandatory_protocols");
  o.priority = client.text("tls_priority");
  o.mandatory_priority = client.text("tls_mandatory_priority");
  o.high_list = settings.text("tls_high_cipherlist");
  o.medium_list = settings.text("tls_medium_cipherlist");
  o.null_list = settings.text("tls_null_cipherlist");

  o.secure_match = client.words("tls_secure_cert_match");
  o.verify_match = client.words("tls_verify_cert_match");
  o.fingerprints = client.words("tls_fingerprint_cert_match");
  o.fingerprint_digest = client.text("tls_fingerprint_digest");
  o.trust_anchor_files = client.words("tls_trust_anchor_file");
  o.server_name = client.text("tls_servername");

  o.session_cache = client.text("tls_session_cache_database");
  o.session_timeout = client.time("tls_session_cache_timeout");
  o.reuse = client.flag("tls_connection_reuse");
  o.downgrade_defer = client.time("tls_downgrade_defer_time");

  o.insecure_host_tlsa = client.flag("tls_force_insecure_host_tlsa_lookup");
  auto insecure = parse_tls_level(client.text("tls_dane_insecure_mx_policy"));
  if (!insecure) return config_error("tls_dane_insecure_mx_policy", insecure.error().text());
  o.insecure_mx_level = *insecure;
  o.dane_digests = settings.words("tls_dane_digests");
  if (!lmtp) {
    o.sts = settings.flag("smtp_tls_mta_sts_enable");
    o.enforce_sts_patterns = settings.flag("smtp_tls_enforce_sts_mx_patterns");
    o.sts_limit = settings.time("mta_sts_fetch_timeout") + std::chrono::seconds(5);
  }
  o.reports = client.flag("tlsrpt_enable");
  o.skip_resumed = client.flag("tlsrpt_skip_reused_handshakes");
  o.reporter = settings.text("tlsrpt_service_name");
  o.manager = settings.text("tlsmgr_service_name");
  o.plaintext_after = settings.time("minimal_backoff_time");
  return o;
}

} // namespace postrider::smtpclient
