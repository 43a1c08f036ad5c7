// SPDX-License-Identifier: MIT
// What lib/tls shares inside: GnuTLS objects with owners. Never included elsewhere.
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <utility>

#include "tls/credentials.hpp"

namespace postrider::tls {

// One key with its certificates, the owner's first.
struct KeyPair {
  KeyPair() = default;
  KeyPair(KeyPair&& other) noexcept
      : key(std::exchange(other.key, nullptr)), chain(std::move(other.chain)) {}
  KeyPair& operator=(KeyPair&&) = delete;
  ~KeyPair() {
    for (gnutls_pcert_st& certificate : chain)
      gnutls_pcert_deinit(&certificate);
    if (key != nullptr) gnutls_privkey_deinit(key);
  }

  gnutls_privkey_t key = nullptr;
  std::vector<gnutls_pcert_st> chain;
};

struct Credentials::Native {
  Native() = default;
  Native(const Native&) = delete;
  ~Native() {
    if (handle != nullptr) gnutls_certificate_free_credentials(handle);
    if (anonymous_client != nullptr) gnutls_anon_free_client_credentials(anonymous_client);
    if (anonymous_server != nullptr) gnutls_anon_free_server_credentials(anonymous_server);
    if (roots != nullptr) gnutls_x509_trust_list_deinit(roots, 1);
  }

  gnutls_certificate_credentials_t handle = nullptr;
  // For suites without certificates, which opportunistic TLS may use as well. One of the two.
  gnutls_anon_client_credentials_t anonymous_client = nullptr;
  gnutls_anon_server_credentials_t anonymous_server = nullptr;
  gnutls_x509_trust_list_t roots = nullptr;
  std::size_t root_count = 0;
  bool pairs_in_handle = false; // of a server: GnuTLS chooses there
  std::vector<KeyPair> pairs;   // of a client: choose_client_certificate
  bool has_certificate = false;
  std::string digest; // SHA-256 of the owners' certificates
};

// Hook of a client's handshake, whose session pointer is its Credentials: the first pair whose
// algorithm the server takes. The issuers that the server names are not looked at, as in OpenSSL:
// it asks in vain then, or takes the certificate by its fingerprint.
int choose_client_certificate(gnutls_session_t session, const gnutls_datum_t* issuers,
                              int issuer_count, const gnutls_pk_algorithm_t* algorithms,
                              int algorithm_count, gnutls_pcert_st** chain, unsigned* chain_length,
                              gnutls_privkey_t* key);

// GnuTLS's words for a negative return value, without the full stop.
std::string gnutls_text(int code);

} // namespace postrider::tls
