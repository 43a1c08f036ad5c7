// SPDX-License-Identifier: MIT
// Certificates as GnuTLS has them, with owners, and the check of a chain. Inside lib/tls only.
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/clock.hpp"
#include "tls/der.hpp"
#include "tls/verify.hpp"

namespace postrider::tls {

template <auto free>
struct Freed {
  void operator()(auto native) const { free(native); }
};
inline void free_trust_list(gnutls_x509_trust_list_t list) {
  gnutls_x509_trust_list_deinit(list, 0); // the certificates in it have owners
}
template <typename T, auto free>
using Owned = std::unique_ptr<std::remove_pointer_t<T>, Freed<free>>;
using X509 = Owned<gnutls_x509_crt_t, gnutls_x509_crt_deinit>;
using PublicKey = Owned<gnutls_pubkey_t, gnutls_pubkey_deinit>;
using TrustList = Owned<gnutls_x509_trust_list_t, free_trust_list>;

struct Certificate {
  std::string_view der; // owned by whoever made it
  CertificateParts parts;
  X509 native;
};
// Empty: not a certificate. `der` must outlive it.
std::optional<Certificate> import_certificate(std::string_view der);
PublicKey import_public_key(std::string_view der); // null: not a key
TrustList make_trust_list();

// With certificates and keys, each in DER as well.
struct TrustAnchors::Native {
  std::vector<std::string> certificate_der;
  std::vector<Certificate> certificates; // views of certificate_der
  std::vector<std::string> key_der;
  std::vector<PublicKey> keys;
};

struct PathRules {
  int depth = 9;
  WallTime now;
  bool anchors_expire = true;
  bool of_client = false;
};
// Whether the first leads to a certificate of `roots`, and why not: in Postfix's words. The order
// of the others does not matter.
std::optional<std::string> path_trouble(const std::vector<Certificate>& chain,
                                        gnutls_x509_trust_list_t roots, const PathRules& rules);
// The same of a single certificate whose issuer is a mere key: time and purpose.
std::optional<std::string> own_trouble(const Certificate& certificate, WallTime now);
bool in_time(const Certificate& certificate, WallTime now);
// By this key. Weak algorithms do not count.
bool is_signed_by(const Certificate& certificate, gnutls_pubkey_t key);

// CommonNames of the subject, raw bytes.
std::vector<std::string> common_names(const Certificate& certificate);

} // namespace postrider::tls
