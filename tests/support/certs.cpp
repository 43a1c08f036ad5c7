// SPDX-License-Identifier: MIT
#include "support/certs.hpp"

#include <cstdio>
#include <cstdlib>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509-ext.h>
#include <gnutls/x509.h>

namespace postrider::test {
namespace {

void must(int code, const char* what) {
  if (code >= 0) return;
  std::fprintf(stderr, "%s: %s\n", what, gnutls_strerror(code));
  std::abort();
}
#define MUST(call) must(call, #call)

std::string taken(gnutls_datum_t& datum) {
  std::string text(reinterpret_cast<const char*>(datum.data), datum.size);
  gnutls_free(datum.data);
  return text;
}

gnutls_x509_privkey_t secret_of(const Key& key) {
  return static_cast<gnutls_x509_privkey_t>(key.native());
}

std::string tlv(unsigned char tag, const std::string& content) {
  std::string out(1, static_cast<char>(tag));
  const std::size_t size = content.size();
  if (size < 0x80) {
    out.push_back(static_cast<char>(size));
  } else {
    out.push_back(static_cast<char>(0x83));
    for (const int shift : {16, 8, 0})
      out.push_back(static_cast<char>(size >> shift));
  }
  return out + content;
}

Cert make(const Wanted& wanted, const Cert* issuer, const Key* key) {
  Cert cert;
  cert.key = key != nullptr ? *key : Key(wanted.rsa_bits);
  gnutls_x509_crt_t crt;
  MUST(gnutls_x509_crt_init(&crt));
  MUST(gnutls_x509_crt_set_version(crt, 3));
  static unsigned long next_serial = 1000;
  const std::string serial = std::to_string(++next_serial);
  MUST(gnutls_x509_crt_set_serial(crt, serial.data(), serial.size()));
  if (!wanted.common_name.empty())
    MUST(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
                                       wanted.common_name.data(),
                                       static_cast<unsigned>(wanted.common_name.size())));
  MUST(gnutls_x509_crt_set_activation_time(crt, wanted.from));
  MUST(gnutls_x509_crt_set_expiration_time(crt, wanted.until));
  MUST(gnutls_x509_crt_set_key(crt, secret_of(cert.key)));
  if (!wanted.dns_names.empty() || !wanted.addresses.empty()) { // by hand: 10,000 are quick so
    std::string names;
    for (const std::string& name : wanted.dns_names)
      names += tlv(0x82, name);
    for (const std::string& address : wanted.addresses)
      names += tlv(0x87, address);
    const std::string extension = tlv(0x30, names);
    MUST(gnutls_x509_crt_set_extension_by_oid(crt, "2.5.29.17", extension.data(), extension.size(),
                                              0));
  }
  if (wanted.ca) {
    MUST(gnutls_x509_crt_set_basic_constraints(crt, 1, wanted.path_length));
    MUST(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN));
  }
  for (const std::string& purpose : wanted.purposes)
    MUST(gnutls_x509_crt_set_key_purpose_oid(crt, purpose.c_str(), 0));
  if (!wanted.name_constraints.empty())
    MUST(gnutls_x509_crt_set_extension_by_oid(crt, "2.5.29.30", wanted.name_constraints.data(),
                                              wanted.name_constraints.size(), 1));
  if (!wanted.unknown_critical.empty())
    MUST(gnutls_x509_crt_set_extension_by_oid(crt, "1.3.6.1.4.1.55555.1",
                                              wanted.unknown_critical.data(),
                                              wanted.unknown_critical.size(), 1));
  unsigned char id[20];
  std::size_t size = sizeof id;
  MUST(gnutls_x509_crt_get_key_id(crt, 0, id, &size));
  MUST(gnutls_x509_crt_set_subject_key_id(crt, id, size));

  gnutls_x509_crt_t signer = crt;
  if (issuer != nullptr) {
    MUST(gnutls_x509_crt_init(&signer));
    const gnutls_datum_t der{
        reinterpret_cast<unsigned char*>(const_cast<char*>(issuer->der.data())),
        static_cast<unsigned>(issuer->der.size())};
    MUST(gnutls_x509_crt_import(signer, &der, GNUTLS_X509_FMT_DER));
    size = sizeof id;
    if (gnutls_x509_crt_get_subject_key_id(signer, id, &size, nullptr) == 0)
      MUST(gnutls_x509_crt_set_authority_key_id(crt, id, size));
  }
  MUST(gnutls_x509_crt_sign2(crt, signer, secret_of(issuer != nullptr ? issuer->key : cert.key),
                             gnutls_digest_get_id(wanted.digest.c_str()),
                             GNUTLS_PRIVKEY_FLAG_REPRODUCIBLE));
  gnutls_datum_t der;
  MUST(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der));
  cert.der = taken(der);
  cert.subject = "CN=" + wanted.common_name;
  if (signer != crt) gnutls_x509_crt_deinit(signer);
  gnutls_x509_crt_deinit(crt);
  return cert;
}

} // namespace

Key::Key(int rsa_bits) {
  gnutls_x509_privkey_t key;
  MUST(gnutls_x509_privkey_init(&key));
  if (rsa_bits > 0)
    MUST(gnutls_x509_privkey_generate(key, GNUTLS_PK_RSA, static_cast<unsigned>(rsa_bits), 0));
  else
    MUST(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
  native_ = std::shared_ptr<void>(
      key, [](void* k) { gnutls_x509_privkey_deinit(static_cast<gnutls_x509_privkey_t>(k)); });
}

namespace {
std::string exported(const Key& key, gnutls_x509_crt_fmt_t format) {
  gnutls_privkey_t secret;
  gnutls_pubkey_t open;
  MUST(gnutls_privkey_init(&secret));
  MUST(gnutls_privkey_import_x509(secret, secret_of(key), 0));
  MUST(gnutls_pubkey_init(&open));
  MUST(gnutls_pubkey_import_privkey(open, secret, 0, 0));
  gnutls_datum_t out;
  MUST(gnutls_pubkey_export2(open, format, &out));
  gnutls_pubkey_deinit(open);
  gnutls_privkey_deinit(secret);
  return taken(out);
}
} // namespace

std::string Key::public_der() const { return exported(*this, GNUTLS_X509_FMT_DER); }
std::string Key::public_pem() const { return exported(*this, GNUTLS_X509_FMT_PEM); }
std::string Key::private_pem() const {
  gnutls_datum_t out;
  MUST(gnutls_x509_privkey_export2(secret_of(*this), GNUTLS_X509_FMT_PEM, &out));
  return taken(out);
}

std::string Cert::pem() const {
  const gnutls_datum_t in{reinterpret_cast<unsigned char*>(const_cast<char*>(der.data())),
                          static_cast<unsigned>(der.size())};
  gnutls_datum_t out;
  MUST(gnutls_pem_base64_encode2("CERTIFICATE", &in, &out));
  return taken(out);
}

Cert self_signed(const Wanted& wanted) { return make(wanted, nullptr, nullptr); }
Cert issue(const Wanted& wanted, const Cert& issuer, const Key* key) {
  return make(wanted, &issuer, key);
}

Wanted host(const std::string& name) {
  Wanted wanted;
  wanted.common_name = name;
  wanted.dns_names = {name};
  return wanted;
}

Wanted authority(const std::string& name) {
  Wanted wanted;
  wanted.common_name = name;
  wanted.ca = true;
  wanted.purposes.clear();
  return wanted;
}

Cert root(const std::string& name, std::time_t until) {
  Wanted wanted = authority(name);
  wanted.until = until;
  return self_signed(wanted);
}

std::string constraints(const std::vector<std::string>& permitted,
                        const std::vector<std::string>& excluded) {
  const auto trees = [](unsigned char tag, const std::vector<std::string>& names) {
    std::string all;
    for (const std::string& name : names)
      all += tlv(0x30, tlv(0x82, name));
    return names.empty() ? std::string() : tlv(tag, all);
  };
  return tlv(0x30, trees(0xA0, permitted) + trees(0xA1, excluded));
}

std::string digest_of(const std::string& bytes, const std::string& algorithm) {
  const gnutls_digest_algorithm_t id = gnutls_digest_get_id(algorithm.c_str());
  std::string out(gnutls_hash_get_len(id), '\0');
  MUST(gnutls_hash_fast(id, bytes.data(), bytes.size(), out.data()));
  return out;
}

std::string to_hex(const std::string& bytes) {
  std::string out;
  for (const unsigned char c : bytes) {
    constexpr char digits[] = "0123456789abcdef";
    out.push_back(digits[c >> 4]);
    out.push_back(digits[c & 15]);
  }
  return out;
}

} // namespace postrider::test
