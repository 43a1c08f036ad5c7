// SPDX-License-Identifier: MIT
#include "tls/x509.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/log.hpp"

namespace postrider::tls {
namespace {

constexpr std::size_t kMaxIssuerText = 200;
// Name constraints are compared with each other and with every name: work that grows with the
// product (CVE-2025-14831). Real ones have a few dozen entries.
constexpr std::size_t kMaxConstraints = 32 * 1024;      // bytes, of all of them together
constexpr std::size_t kMaxConstrainedNames = 32 * 1024; // bytes, of the alternative names

gnutls_datum_t datum(std::string_view bytes) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())),
          static_cast<unsigned>(bytes.size())};
}

// GnuTLS takes the time of day from a function of the whole process. Ours gives the system's time
// but within a check, where it gives that of the caller.
thread_local std::optional<std::time_t> time_of_check;

std::time_t time_for_gnutls(std::time_t* out) {
  const std::time_t time = time_of_check.value_or(std::time(nullptr));
  if (out != nullptr) *out = time;
  return time;
}

class AtTime {
 public:
  explicit AtTime(WallTime now) {
    static const bool is_set = (gnutls_global_set_time_function(time_for_gnutls), true);
    static_cast<void>(is_set);
    time_of_check = std::chrono::system_clock::to_time_t(now);
  }
  ~AtTime() { time_of_check.reset(); }
  AtTime(const AtTime&) = delete;
  AtTime& operator=(const AtTime&) = delete;
};

// GnuTLS tells of each step of the path it takes, the last run being the one that counts.
thread_local int good_steps = 0;

int note_step(gnutls_x509_crt_t certificate, gnutls_x509_crt_t issuer, gnutls_x509_crl_t /*list*/,
              unsigned status) {
  const bool is_step = status == 0 && issuer != nullptr &&
                       gnutls_x509_crt_equals(certificate, issuer) == 0; // a root in the chain
  good_steps = is_step ? good_steps + 1 : 0;
  return 0;
}

// "/C=XX/O=Example/CN=Example Root", as Postfix shows names.
std::string one_line(gnutls_x509_dn_t name) {
  std::string text;
  for (int i = 0; text.size() < kMaxIssuerText; ++i) {
    gnutls_x509_ava_st part;
    if (gnutls_x509_dn_get_rdn_ava(name, i, 0, &part) < 0) break;
    const std::string oid(reinterpret_cast<const char*>(part.oid.data),
                          strnlen(reinterpret_cast<const char*>(part.oid.data), part.oid.size));
    const char* known = gnutls_x509_dn_oid_name(oid.c_str(), GNUTLS_X509_DN_OID_RETURN_OID);
    const std::string value(reinterpret_cast<const char*>(part.value.data), part.value.size);
    text += '/' + std::string(known != nullptr ? known : oid.c_str()) + '=' + value;
  }
  if (text.size() > kMaxIssuerText) text.resize(kMaxIssuerText);
  return log::printable(text);
}

std::string issuer_of(const Certificate& certificate) {
  gnutls_x509_dn_t name = nullptr;
  if (gnutls_x509_crt_get_issuer(certificate.native.get(), &name) < 0) return "unknown";
  return one_line(name);
}

bool issued_by(const Certificate& certificate, const Certificate& issuer) {
  return gnutls_x509_crt_check_issuer(certificate.native.get(), issuer.native.get()) != 0;
}

// No way from the last certificate that can be reached to one that is trusted.
std::string untrusted(const std::vector<Certificate>& chain) {
  std::vector<bool> used(chain.size());
  std::size_t top = 0;
  for (bool goes_on = true; goes_on;) {
    used[top] = true;
    goes_on = false;
    for (std::size_t i = 0; i < chain.size() && !goes_on; ++i)
      if (!used[i] && issued_by(chain[top], chain[i])) top = i, goes_on = true;
  }
  if (top == 0 && issued_by(chain[0], chain[0])) return "self-signed certificate";
  return "untrusted issuer " + issuer_of(chain[top]);
}

struct StatusText {
  unsigned status;
  std::string_view text;
};
constexpr std::array kStatusTexts = std::to_array<StatusText>({
    {GNUTLS_CERT_EXPIRED, kExpired},
    {GNUTLS_CERT_NOT_ACTIVATED, "certificate not yet valid"},
    {GNUTLS_CERT_REVOKED, "certificate revoked"},
    {GNUTLS_CERT_INSECURE_ALGORITHM, "key or signature too weak"},
    {GNUTLS_CERT_SIGNER_NOT_CA, "invalid CA certificate"},
    {GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "constraints of a CA certificate are violated"},
    {GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "unhandled critical extension"},
    {GNUTLS_CERT_PURPOSE_MISMATCH, "not designated for use as a server certificate"},
    {GNUTLS_CERT_SIGNATURE_FAILURE, "certificate signature failure"},
});

bool too_constrained(const std::vector<Certificate>& chain) {
  std::size_t constraints = 0;
  std::size_t names = 0;
  for (const Certificate& certificate : chain) {
    constraints += certificate.parts.name_constraints.size();
    names = std::max(names, certificate.parts.alt_names.size());
  }
  return constraints > kMaxConstraints || (constraints > 0 && names > kMaxConstrainedNames);
}

} // namespace

std::optional<Certificate> import_certificate(std::string_view der) {
  const std::optional<CertificateParts> parts = parse_certificate(der);
  if (!parts) return std::nullopt;
  gnutls_x509_crt_t native = nullptr;
  if (gnutls_x509_crt_init(&native) < 0) return std::nullopt;
  Certificate certificate{der, *parts, X509(native)};
  const gnutls_datum_t bytes = datum(der);
  if (gnutls_x509_crt_import(native, &bytes, GNUTLS_X509_FMT_DER) < 0) return std::nullopt;
  return certificate;
}

PublicKey import_public_key(std::string_view der) {
  gnutls_pubkey_t native = nullptr;
  if (gnutls_pubkey_init(&native) < 0) return nullptr;
  PublicKey key(native);
  const gnutls_datum_t bytes = datum(der);
  if (gnutls_pubkey_import(native, &bytes, GNUTLS_X509_FMT_DER) < 0) return nullptr;
  return key;
}

TrustList make_trust_list() {
  gnutls_x509_trust_list_t native = nullptr;
  POSTRIDER_CHECK(gnutls_x509_trust_list_init(&native, 16) >= 0);
  return TrustList(native);
}

std::optional<std::string> path_trouble(const std::vector<Certificate>& chain,
                                        gnutls_x509_trust_list_t roots, const PathRules& rules) {
  if (too_constrained(chain)) return "too many names or name constraints";
  std::vector<gnutls_x509_crt_t> natives;
  for (const Certificate& certificate : chain)
    natives.push_back(certificate.native.get());
  const std::string_view use =
      rules.of_client ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
  gnutls_typed_vdata_st purpose{GNUTLS_DT_KEY_PURPOSE_OID, datum(use).data, 0};
  // 112 bits: RSA of 2048 and more, no SHA-1. OpenSSL's level 2, Debian's default.
  unsigned flags = GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM);
  if (!rules.anchors_expire) flags |= GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS;
  unsigned status = 0;
  good_steps = 0;
  const AtTime at(rules.now);
  const int code = gnutls_x509_trust_list_verify_crt2(roots, natives.data(),
                                                      static_cast<unsigned>(natives.size()),
                                                      &purpose, 1, flags, &status, note_step);
  if (code < 0) return "certificate verification failed: " + std::string(gnutls_strerror(code));
  if (status == 0 && good_steps > rules.depth)
    return "certificate chain longer than limit(" + std::to_string(rules.depth) + ')';
  if (status == 0) return std::nullopt;
  for (const StatusText& known : kStatusTexts) {
    if ((status & known.status) == 0) continue;
    if (known.status == GNUTLS_CERT_PURPOSE_MISMATCH && rules.of_client)
      return "not designated for use as a client certificate";
    return std::string(known.text);
  }
  return untrusted(chain);
}

bool in_time(const Certificate& certificate, WallTime now) {
  const std::time_t time = std::chrono::system_clock::to_time_t(now);
  return gnutls_x509_crt_get_activation_time(certificate.native.get()) <= time &&
         time <= gnutls_x509_crt_get_expiration_time(certificate.native.get());
}

std::optional<std::string> own_trouble(const Certificate& certificate, WallTime now) {
  if (!in_time(certificate, now)) {
    const bool early = gnutls_x509_crt_get_activation_time(certificate.native.get()) >
                       std::chrono::system_clock::to_time_t(now);
    return std::string(early ? "certificate not yet valid" : kExpired);
  }
  if (gnutls_x509_crt_check_key_purpose(certificate.native.get(), GNUTLS_KP_TLS_WWW_SERVER, 0) == 0)
    return "not designated for use as a server certificate";
  return std::nullopt;
}

bool is_signed_by(const Certificate& certificate, gnutls_pubkey_t key) {
  const int algorithm = gnutls_x509_crt_get_signature_algorithm(certificate.native.get());
  if (algorithm <= 0 || gnutls_sign_is_secure2(static_cast<gnutls_sign_algorithm_t>(algorithm),
                                               GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS) == 0)
    return false;
  std::string signature(4096, '\0'); // RSA of 16384 bits has 2048
  std::size_t size = signature.size();
  if (gnutls_x509_crt_get_signature(certificate.native.get(), signature.data(), &size) < 0)
    return false;
  signature.resize(size);
  const gnutls_datum_t bytes = datum(certificate.parts.signed_part);
  const gnutls_datum_t signature_bytes = datum(signature);
  return gnutls_pubkey_verify_data2(key, static_cast<gnutls_sign_algorithm_t>(algorithm), 0, &bytes,
                                    &signature_bytes) >= 0;
}

std::vector<std::string> common_names(const Certificate& certificate) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < 4; ++i) {
    std::string name(256, '\0');
    std::size_t size = name.size();
    if (gnutls_x509_crt_get_dn_by_oid(certificate.native.get(), GNUTLS_OID_X520_COMMON_NAME, i, 0,
                                      name.data(), &size) < 0)
      break;
    name.resize(size);
    names.push_back(std::move(name));
  }
  return names;
}

CertificateNames names_of(std::string_view der) {
  const std::optional<Certificate> certificate = import_certificate(der);
  if (!certificate) return {};
  using Get = int (*)(gnutls_x509_crt_t, const char*, unsigned, unsigned, void*, std::size_t*);
  const auto first = [&](Get get) {
    for (const char* oid : {GNUTLS_OID_X520_COMMON_NAME, GNUTLS_OID_X520_ORGANIZATION_NAME}) {
      std::string name(256, '\0');
      std::size_t size = name.size();
      if (get(certificate->native.get(), oid, 0, 0, name.data(), &size) < 0) continue;
      name.resize(size);
      return log::printable(name);
    }
    return std::string();
  };
  return {first(gnutls_x509_crt_get_dn_by_oid), first(gnutls_x509_crt_get_issuer_dn_by_oid)};
}

} // namespace postrider::tls
