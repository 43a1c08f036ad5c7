// SPDX-License-Identifier: MIT
#include "tls/facts.hpp"

#include <array>
#include <gnutls/abstract.h>

#include "tls/cipher_suites.hpp"

namespace postrider::tls {

namespace {

using Names = std::pair<std::string_view, std::string_view>;

// NIST's names, which OpenSSL prefers.
std::string curve(std::string_view name) {
  constexpr std::array<Names, 5> kNames{{{"SECP192R1", "P-192"},
                                         {"SECP224R1", "P-224"},
                                         {"SECP256R1", "P-256"},
                                         {"SECP384R1", "P-384"},
                                         {"SECP521R1", "P-521"}}};
  for (const auto& [ours, theirs] : kNames)
    if (name == ours) return std::string(theirs);
  return std::string(name);
}

std::string_view name_or_unknown(const char* name) { return name != nullptr ? name : "unknown"; }

std::string key_exchange(gnutls_session_t session) {
  const gnutls_group_t group = gnutls_group_get(session);
  if (group == GNUTLS_GROUP_INVALID) return {};
  const std::string name(name_or_unknown(gnutls_group_get_name(group)));
  if (name.starts_with("X")) return name; // X25519, X448
  if (name.starts_with("FFDHE")) return "DHE (" + name.substr(5) + " bits)";
  return "ECDHE (" + curve(name) + ")";
}

// "RSA-PSS (2048 bits)"; the certificate's key tells, as in Postfix.
std::string signature(const gnutls_datum_t& certificate) {
  gnutls_pcert_st parsed;
  if (gnutls_pcert_import_x509_raw(&parsed, &certificate, GNUTLS_X509_FMT_DER, 0) < 0) return {};
  unsigned bits = 0;
  const int algorithm = gnutls_pubkey_get_pk_algorithm(parsed.pubkey, &bits);
  std::string text;
  if (algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS) {
    text = "RSA-PSS (" + std::to_string(bits) + " bits)";
  } else if (algorithm == GNUTLS_PK_ECDSA) {
    gnutls_ecc_curve_t id = GNUTLS_ECC_CURVE_INVALID;
    gnutls_pubkey_export_ecc_raw2(parsed.pubkey, &id, nullptr, nullptr, 0);
    text = "ECDSA (" + curve(name_or_unknown(gnutls_ecc_curve_get_name(id))) + ")";
  } else if (algorithm == GNUTLS_PK_EDDSA_ED25519) {
    text = "ED25519";
  } else if (algorithm == GNUTLS_PK_EDDSA_ED448) {
    text = "ED448";
  }
  gnutls_pcert_deinit(&parsed);
  return text;
}

std::string digest(int algorithm) {
  const auto sign = static_cast<gnutls_sign_algorithm_t>(algorithm);
  if (sign == GNUTLS_SIGN_UNKNOWN || sign == GNUTLS_SIGN_EDDSA_ED25519 ||
      sign == GNUTLS_SIGN_EDDSA_ED448)
    return {};
  return std::string(name_or_unknown(gnutls_digest_get_name(gnutls_sign_get_hash_algorithm(sign))));
}

std::string details(gnutls_session_t session, bool server) {
  std::string text;
  const auto add = [&text](std::string_view word, const std::string& value) {
    if (!value.empty())
      text += std::string(text.empty() ? "" : " ") + std::string(word) + " " + value;
  };
  unsigned count = 0;
  const gnutls_datum_t* peers = gnutls_certificate_get_peers(session, &count);
  const gnutls_datum_t* ours = gnutls_certificate_get_ours(session);
  const gnutls_datum_t* peer = count > 0 ? peers : nullptr;
  const gnutls_datum_t* of_server = server ? ours : peer;
  const gnutls_datum_t* of_client = server ? peer : ours;
  add("key-exchange", key_exchange(session));
  if (of_server != nullptr) {
    add("server-signature", signature(*of_server));
    add("server-digest", digest(gnutls_sign_algorithm_get(session)));
  }
  if (of_client != nullptr) {
    add("client-signature", signature(*of_client));
    add("client-digest", digest(gnutls_sign_algorithm_get_client(session)));
  }
  return text;
}

// OpenSSL's; the names of TLS 1.3 are the same everywhere.
std::string cipher_name(gnutls_session_t session) {
  const gnutls_kx_algorithm_t kx = gnutls_kx_get(session);
  const gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(session);
  const gnutls_mac_algorithm_t mac = gnutls_mac_get(session);
  unsigned char id[2];
  gnutls_kx_algorithm_t its_kx;
  gnutls_cipher_algorithm_t its_cipher;
  gnutls_mac_algorithm_t its_mac;
  const bool tls13 = gnutls_protocol_get_version(session) >= GNUTLS_TLS1_3;
  for (std::size_t i = 0; !tls13 && gnutls_cipher_suite_info(i, id, &its_kx, &its_cipher, &its_mac,
                                                             nullptr) != nullptr;
       ++i)
    if (its_kx == kx && its_cipher == cipher && its_mac == mac)
      if (const auto name = suite_name(static_cast<std::uint16_t>(id[0] << 8 | id[1]));
          !name.empty())
        return std::string(name);
  return std::string(name_or_unknown(gnutls_ciphersuite_get(session)));
}

} // namespace

Facts describe(gnutls_session_t session, bool server) {
  Facts facts;
  const gnutls_protocol_t version = gnutls_protocol_get_version(session);
  const std::string_view name = name_or_unknown(gnutls_protocol_get_name(version)); // "TLS1.3"
  facts.protocol = name == "TLS1.0" ? "TLSv1" : "TLSv" + std::string(name.substr(3));
  facts.cipher = cipher_name(session);
  const gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(session);
  facts.algorithm_bits = static_cast<int>(gnutls_cipher_get_key_size(cipher) * 8);
  facts.bits = facts.algorithm_bits;
  if (cipher == GNUTLS_CIPHER_3DES_CBC) {
    facts.bits = 112;
    facts.algorithm_bits = 168;
  }
  facts.resumed = gnutls_session_is_resumed(session) != 0;
  if (version >= GNUTLS_TLS1_3) facts.details = details(session, server);
  return facts;
}

std::string to_string(const Facts& facts) {
  std::string text = facts.protocol + " with cipher " + facts.cipher + " (" +
                     std::to_string(facts.bits) + "/" + std::to_string(facts.algorithm_bits) +
                     " bits)";
  if (!facts.details.empty()) text += " " + facts.details;
  return text;
}

} // namespace postrider::tls
