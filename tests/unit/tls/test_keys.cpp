// SPDX-License-Identifier: MIT
#include "test_keys.hpp"

#include <ctime>
#include <fstream>
#include <gnutls/x509.h>

#include "base/check.hpp"

namespace postrider::tls {

namespace {

void must(int rc) { POSTRIDER_CHECK(rc >= 0, gnutls_strerror(rc)); }

gnutls_datum_t datum(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),
          static_cast<unsigned>(text.size())};
}

std::string taken(gnutls_datum_t& bytes) {
  std::string text(reinterpret_cast<char*>(bytes.data), bytes.size);
  gnutls_free(bytes.data);
  return text;
}

gnutls_x509_privkey_t make_key(TestKey kind) {
  gnutls_x509_privkey_t key = nullptr;
  must(gnutls_x509_privkey_init(&key));
  if (kind == TestKey::ed25519)
    must(gnutls_x509_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, 256, 0));
  else if (kind == TestKey::ecdsa)
    must(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
  else
    must(gnutls_x509_privkey_generate(key, GNUTLS_PK_RSA, kind == TestKey::rsa ? 2048 : 1024, 0));
  return key;
}

} // namespace

TestCertificate make_certificate(const TestCertificateWish& wish) {
  static int serial = 0;
  gnutls_x509_privkey_t key = make_key(wish.key);
  gnutls_x509_crt_t cert = nullptr;
  must(gnutls_x509_crt_init(&cert));
  must(gnutls_x509_crt_set_version(cert, 3));
  const std::string number = std::to_string(100000 + ++serial);
  must(gnutls_x509_crt_set_serial(cert, number.data(), number.size()));
  must(gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, wish.name.data(),
                                     static_cast<unsigned>(wish.name.size())));
  must(gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME, wish.name.data(),
                                            static_cast<unsigned>(wish.name.size()),
                                            GNUTLS_FSAN_SET));
  const std::time_t begin = std::time(nullptr) - wish.age.count();
  must(gnutls_x509_crt_set_activation_time(cert, begin));
  must(gnutls_x509_crt_set_expiration_time(cert, begin + wish.lasts.count()));
  must(gnutls_x509_crt_set_basic_constraints(cert, wish.ca ? 1 : 0, -1));
  must(gnutls_x509_crt_set_key_usage(cert, wish.ca ? GNUTLS_KEY_KEY_CERT_SIGN
                                                   : GNUTLS_KEY_DIGITAL_SIGNATURE |
                                                         GNUTLS_KEY_KEY_ENCIPHERMENT));
  must(gnutls_x509_crt_set_key(cert, key));

  gnutls_x509_crt_t issuer = cert;
  gnutls_x509_privkey_t issuer_key = key;
  if (wish.issuer != nullptr) {
    must(gnutls_x509_crt_init(&issuer));
    must(gnutls_x509_privkey_init(&issuer_key));
    const gnutls_datum_t cert_pem = datum(wish.issuer->cert), key_pem = datum(wish.issuer->key);
    must(gnutls_x509_crt_import(issuer, &cert_pem, GNUTLS_X509_FMT_PEM));
    must(gnutls_x509_privkey_import(issuer_key, &key_pem, GNUTLS_X509_FMT_PEM));
  }
  const auto algorithm = gnutls_x509_privkey_get_pk_algorithm(issuer_key);
  must(gnutls_x509_crt_sign2(
      cert, issuer, issuer_key,
      algorithm == GNUTLS_PK_EDDSA_ED25519 ? GNUTLS_DIG_SHA512 : GNUTLS_DIG_SHA256, 0));
  TestCertificate made;
  gnutls_datum_t out{};
  must(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &out));
  made.cert = taken(out);
  must(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, nullptr, GNUTLS_PKCS_PLAIN,
                                         &out));
  made.key = taken(out);
  if (wish.issuer != nullptr) {
    gnutls_x509_crt_deinit(issuer);
    gnutls_x509_privkey_deinit(issuer_key);
  }
  gnutls_x509_crt_deinit(cert);
  gnutls_x509_privkey_deinit(key);
  return made;
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  POSTRIDER_CHECK(out.flush().good(), path);
}

namespace {

std::shared_ptr<const Credentials>
credentials(const test::ScratchDir& dir, const std::vector<TestCertificate>& pairs, bool server) {
  CredentialFiles files;
  files.server = server;
  for (const TestCertificate& pair : pairs) {
    const std::string path = dir.path() + "/" + (server ? "server" : "client") +
                             std::to_string(files.chain_files.size()) + ".pem";
    write_file(path, pair.key + pair.cert);
    files.chain_files.push_back(path);
  }
  auto loaded = Credentials::load(files);
  POSTRIDER_CHECK(loaded.ok(), loaded ? "" : loaded.error().text());
  return *loaded;
}

} // namespace

std::shared_ptr<const Credentials> server_credentials(const test::ScratchDir& dir,
                                                      const std::vector<TestCertificate>& pairs) {
  return credentials(dir, pairs, true);
}

std::shared_ptr<const Credentials> client_credentials(const test::ScratchDir& dir,
                                                      const std::vector<TestCertificate>& pairs) {
  return credentials(dir, pairs, false);
}

} // namespace postrider::tls
