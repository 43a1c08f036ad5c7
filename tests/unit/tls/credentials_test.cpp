// SPDX-License-Identifier: MIT
#include "tls/credentials.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/log.hpp"
#include "test_pair.hpp"
#include "tls/native.hpp"
#include "tls/pem.hpp"

namespace postrider::tls {
namespace {

const TestCertificate& rsa() {
  static const TestCertificate made = make_certificate({.key = TestKey::rsa});
  return made;
}
const TestCertificate& ecdsa() { return shared_certificate(); }
const TestCertificate& ed25519() {
  static const TestCertificate made = make_certificate({.key = TestKey::ed25519});
  return made;
}

struct Files {
  std::string write(const std::string& name, const std::string& text) const {
    write_file(dir.path() + "/" + name, text);
    return dir.path() + "/" + name;
  }
  test::ScratchDir dir;
};

std::string load_error(const CredentialFiles& files) {
  const auto loaded = Credentials::load(files);
  if (loaded) return "";
  EXPECT_EQ(loaded.error().kind(), ErrorKind::config);
  return loaded.error().text();
}

TEST(CredentialFilesTest, ChainFilesHoldKeysFollowedByChains) {
  const Files files;
  const std::string both = files.write("both.pem", rsa().key + rsa().cert + "text between\n" +
                                                       ecdsa().key + ecdsa().cert);
  CredentialFiles wish;
  wish.chain_files = {both};
  auto loaded = Credentials::load(wish);
  ASSERT_TRUE(loaded.ok()) << loaded.error().text();
  EXPECT_EQ((*loaded)->native().pairs.size(), 2U);
  EXPECT_TRUE((*loaded)->has_certificate());
  // A key may end one file and its certificates begin the next.
  wish.chain_files = {files.write("key.pem", rsa().key), files.write("cert.pem", rsa().cert)};
  loaded = Credentials::load(wish);
  ASSERT_TRUE(loaded.ok()) << loaded.error().text();
  EXPECT_EQ((*loaded)->native().pairs.size(), 1U);
  wish.server = true;
  EXPECT_TRUE(Credentials::load(wish).ok());
}

TEST(CredentialFilesTest, PairsMayBeOneFile) {
  const Files files;
  CredentialFiles wish;
  const std::string both = files.write("both.pem", rsa().cert + rsa().key);
  wish.pairs = {{both, both},
                {files.write("ec.cert", ecdsa().cert), files.write("ec.key", ecdsa().key)}};
  const auto loaded = Credentials::load(wish);
  ASSERT_TRUE(loaded.ok()) << loaded.error().text();
  EXPECT_EQ((*loaded)->native().pairs.size(), 2U);
}

TEST(CredentialFilesTest, NothingIsFine) {
  const auto loaded = Credentials::load({});
  ASSERT_TRUE(loaded.ok());
  EXPECT_FALSE((*loaded)->has_certificate());
}

TEST(CredentialFilesTest, ErrorsNameFileReasonAndRemedy) {
  const Files files;
  const std::string rsa_key = files.write("rsa.key", rsa().key);
  const std::string rsa_cert = files.write("rsa.cert", rsa().cert);
  const std::string other_cert = files.write("other.cert", ecdsa().cert);
  const std::string empty = files.write("empty.pem", "nothing here\n");
  const std::string damaged = files.write("damaged.pem", [&] {
    std::string text = rsa().cert;
    text.replace(200, 20, "####################");
    return text;
  }());
  const std::string missing = files.dir.path() + "/missing.pem";
  const std::string encrypted =
      files.write("encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n"
                                   "-----END ENCRYPTED PRIVATE KEY-----\n");
  const std::string old_encrypted =
      files.write("old.key", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
                             "AES-256-CBC,00\n\nMII=\n-----END RSA PRIVATE KEY-----\n");
  const std::string unsafe = files.write("unsafe.pem", rsa().key + rsa().cert);
  ::chmod(unsafe.c_str(), 0666);

  struct Case {
    CredentialFiles files;
    std::string file, reason, remedy;
  };
  const auto pair = [](const std::string& cert, const std::string& key) {
    CredentialFiles wish;
    wish.pairs = {{cert, key}};
    return wish;
  };
  const auto chain = [](std::vector<std::string> names) {
    CredentialFiles wish;
    wish.chain_files = std::move(names);
    return wish;
  };
  CredentialFiles no_roots, no_directory;
  no_roots.ca_file = empty;
  no_directory.ca_path = missing;
  for (const Case& each : std::vector<Case>{
           {pair(other_cert, rsa_key), rsa_key,
            "does not belong to the certificate in " + other_cert, "bring both"},
           {pair(missing, rsa_key), missing, "No such file", ""},
           {pair(rsa_cert, missing), missing, "No such file", ""},
           {pair(rsa_cert, rsa_cert), rsa_cert, "no private key", ""},
           {pair(rsa_key, rsa_key), rsa_key, "no certificate", ""},
           {pair(rsa_cert, encrypted), encrypted, "is encrypted", "openssl pkey"},
           {pair(rsa_cert, old_encrypted), old_encrypted, "is encrypted", "openssl pkey"},
           {pair(damaged, rsa_key), damaged, "bad certificate", ""},
           {chain({empty}), empty, "no private key and no certificate", ""},
           {chain({rsa_cert, rsa_key}), rsa_cert, "before its private key", "key first"},
           {chain({rsa_key}), rsa_key, "no certificate behind", "put its chain there"},
           {chain({unsafe}), unsafe, "everybody on this host may write to it", "chmod"},
           {no_roots, empty, "no certificate", ""},
           {no_directory, missing, "No such file", ""}}) {
    const std::string text = load_error(each.files);
    EXPECT_THAT(text, testing::HasSubstr(each.file));
    EXPECT_THAT(text, testing::HasSubstr(each.reason));
    EXPECT_THAT(text, testing::HasSubstr(each.remedy));
  }
}

TEST(CredentialFilesTest, DsaIsRefusedByName) {
  gnutls_x509_privkey_t key = nullptr;
  ASSERT_GE(gnutls_x509_privkey_init(&key), 0);
  ASSERT_GE(gnutls_x509_privkey_generate(key, GNUTLS_PK_DSA, 1024, 0), 0);
  gnutls_datum_t pem{};
  ASSERT_GE(
      gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, nullptr, GNUTLS_PKCS_PLAIN, &pem),
      0);
  const Files files;
  CredentialFiles wish;
  wish.pairs = {{files.write("cert.pem", rsa().cert),
                 files.write("dsa.key", std::string(reinterpret_cast<char*>(pem.data), pem.size))}};
  gnutls_free(pem.data);
  gnutls_x509_privkey_deinit(key);
  const std::string text = load_error(wish);
  EXPECT_THAT(text, testing::HasSubstr("dsa.key: DSA private keys are not supported"));
  EXPECT_THAT(text, testing::HasSubstr("use RSA, ECDSA or Ed25519"));
}

TEST(CredentialFilesTest, AnExpiredCertificateIsUsedAllTheSame) {
  const TestCertificate old =
      make_certificate({.age = std::chrono::hours(48), .lasts = std::chrono::hours(24)});
  const Files files;
  CredentialFiles wish;
  wish.chain_files = {files.write("old.pem", old.key + old.cert)};
  testing::internal::CaptureStderr();
  const auto loaded = Credentials::load(wish);
  log::flush();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("old.pem: the certificate has expired; renew it"));
  ASSERT_TRUE(loaded.ok());
  EXPECT_TRUE((*loaded)->has_certificate());
}

TEST(CredentialRoots, ComeFromFileDirectoryAndSystem) {
  const TestCertificate one = make_certificate({.name = "One", .ca = true});
  const TestCertificate two = make_certificate({.name = "Two", .ca = true});
  const TestCertificate three = make_certificate({.name = "Three", .ca = true});
  const Files files;
  test::ScratchDir directory;
  write_file(directory.path() + "/a.pem", two.cert);
  write_file(directory.path() + "/1234abcd.0", three.cert);
  write_file(directory.path() + "/README", "no certificate\n");
  write_file(directory.path() + "/again.pem", two.cert);
  CredentialFiles wish;
  wish.ca_file = files.write("ca.pem", one.cert);
  wish.ca_path = directory.path();
  auto loaded = Credentials::load(wish);
  ASSERT_TRUE(loaded.ok()) << loaded.error().text();
  EXPECT_GE((*loaded)->native().root_count, 3U);
  wish.default_ca = true;
  loaded = Credentials::load(wish);
  ASSERT_TRUE(loaded.ok()) << loaded.error().text();
}

struct Choice {
  std::string name, client; // what the client's priority lets the server use
  std::string signature;
};
class CredentialChoice : public testing::TestWithParam<Choice> {};
TEST_P(CredentialChoice, FollowsWhatThePeerTakes) {
  for (const bool of_client : {false, true}) {
    test::ScratchDir dir;
    ev::Loop loop;
    TestPair pair(loop);
    pair.client_wish.priority = kNormal;
    pair.server_wish.ask_certificate = of_client;
    if (of_client) {
      pair.client_wish.credentials = client_credentials(dir, {rsa(), ecdsa(), ed25519()});
      pair.server_wish.priority = GetParam().client;
      pair.server_wish.credentials = server_credentials(dir, {rsa(), ecdsa(), ed25519()});
    } else {
      pair.client_wish.priority = GetParam().client;
      pair.server_wish.credentials = server_credentials(dir, {rsa(), ecdsa(), ed25519()});
    }
    pair.shake_hands();
    ASSERT_TRUE(pair.client && pair.server) << pair.client_error().text();
    const std::string who = of_client ? "client-signature " : "server-signature ";
    EXPECT_THAT(pair.client->facts().details, testing::HasSubstr(who + GetParam().signature));
    EXPECT_EQ(pair.server->chain().size(), of_client ? 1U : 0U);
  }
}
INSTANTIATE_TEST_SUITE_P(Algorithms, CredentialChoice,
                         testing::ValuesIn<Choice>({
                             {"Rsa", "NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256",
                              "RSA-PSS (2048 bits)"},
                             {"Ecdsa", "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SECP256R1-SHA256",
                              "ECDSA (P-256)"},
                             {"Ed25519", "NORMAL:-SIGN-ALL:+SIGN-EDDSA-ED25519", "ED25519"},
                         }),
                         [](const auto& each) { return each.param.name; });

// As OpenSSL does: the issuers that a server names do not keep a certificate back.
TEST(CredentialChoiceTest, IssuersAreNotLookedAt) {
  const TestCertificate other_ca = make_certificate({.name = "Other CA", .ca = true});
  test::ScratchDir dir;
  ev::Loop loop;
  TestPair pair(loop);
  pair.server_wish.credentials = server_credentials(dir, {shared_certificate()});
  const gnutls_datum_t pem{
      reinterpret_cast<unsigned char*>(const_cast<char*>(other_ca.cert.data())),
      static_cast<unsigned>(other_ca.cert.size())};
  ASSERT_EQ(gnutls_certificate_set_x509_trust_mem(pair.server_wish.credentials->native().handle,
                                                  &pem, GNUTLS_X509_FMT_PEM),
            1);
  pair.server_wish.ask_certificate = true;
  pair.client_wish.credentials = client_credentials(dir, {ecdsa()});
  pair.shake_hands();
  ASSERT_TRUE(pair.client && pair.server);
  EXPECT_EQ(pair.server->chain().size(), 1U);
}

TEST(CredentialSourceTest, FollowsTheFilesAndKeepsWhatIsGood) {
  const Files files;
  CredentialFiles wish;
  wish.pairs = {{files.write("cert.pem", rsa().cert), files.write("key.pem", rsa().key)}};
  auto source = CredentialSource::open(wish);
  ASSERT_TRUE(source.ok());
  const auto first = source->current();
  EXPECT_FALSE(*source->refresh());
  // A new certificate whose key is not there yet: said once.
  files.write("cert.pem", ecdsa().cert);
  const Result<bool> half = source->refresh();
  ASSERT_FALSE(half.ok());
  EXPECT_THAT(half.error().text(), testing::HasSubstr("does not belong"));
  EXPECT_FALSE(*source->refresh());
  EXPECT_EQ(source->current(), first);
  files.write("key.pem", ecdsa().key);
  EXPECT_TRUE(*source->refresh());
  EXPECT_NE(source->current(), first);
  // Gone, and back again.
  ::unlink((files.dir.path() + "/key.pem").c_str());
  EXPECT_FALSE(source->refresh().ok());
  EXPECT_FALSE(*source->refresh());
  EXPECT_TRUE(source->current()->has_certificate());
  files.write("key.pem", ecdsa().key);
  EXPECT_TRUE(*source->refresh());
}

TEST(CredentialSourceTest, SeesWhatIsWrittenIntoAFileOfADirectoryOfRoots) {
  const Files files;
  CredentialFiles wish;
  wish.ca_path = files.dir.path() + "/roots";
  ASSERT_EQ(::mkdir(wish.ca_path.c_str(), 0700), 0);
  files.write("roots/one.pem", rsa().cert);
  auto source = CredentialSource::open(wish);
  ASSERT_TRUE(source.ok());
  EXPECT_FALSE(*source->refresh());
  files.write("roots/one.pem", ecdsa().cert); // the directory itself stays as it is
  EXPECT_TRUE(*source->refresh());
  EXPECT_FALSE(*source->refresh());
  files.write("roots/two.pem", rsa().cert);
  EXPECT_TRUE(*source->refresh());
  EXPECT_EQ(source->current()->native().root_count, 2U);
  ::unlink((wish.ca_path + "/one.pem").c_str());
  EXPECT_TRUE(*source->refresh());
  EXPECT_EQ(source->current()->native().root_count, 1U);
}

TEST(CredentialsTest, AnotherCertificateIsAnotherDigest) {
  const Files files;
  const auto identity = [&](const TestCertificate& pair) {
    CredentialFiles wish;
    wish.pairs = {{files.write("cert.pem", pair.cert), files.write("key.pem", pair.key)}};
    const auto loaded = Credentials::load(wish);
    EXPECT_TRUE(loaded.ok());
    return loaded.ok() ? (*loaded)->digest() : std::string();
  };
  EXPECT_NE(identity(rsa()), "");
  EXPECT_EQ(identity(rsa()), identity(rsa()));
  EXPECT_NE(identity(rsa()), identity(ecdsa()));
  EXPECT_EQ(no_certificate()->digest(), "");
}

TEST(PemBlocks, AreFoundInOrder) {
  const std::string text = "-----BEGIN EC PARAMETERS-----\nAA==\n-----END EC PARAMETERS-----\n" +
                           ecdsa().key + "junk -----BEGIN nothing\n" + ecdsa().cert +
                           "-----BEGIN CERTIFICATE-----\nnever ended\n";
  const auto blocks = pem_blocks(text);
  ASSERT_EQ(blocks.size(), 2U);
  EXPECT_EQ(blocks[0].kind, PemBlock::Kind::key);
  EXPECT_EQ(blocks[0].text, ecdsa().key.substr(0, ecdsa().key.size() - 1));
  EXPECT_EQ(blocks[1].kind, PemBlock::Kind::certificate);
  EXPECT_TRUE(pem_blocks("-----BEGIN").empty());
  EXPECT_TRUE(pem_blocks("").empty());
}

} // namespace
} // namespace postrider::tls
