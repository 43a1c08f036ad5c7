// SPDX-License-Identifier: MIT
#include "tls/verify.hpp"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/ascii.hpp"
#include "support/certs.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tls {
namespace {

using test::authority;
using test::Cert;
using test::host;
using test::issue;
using test::kNow;
using test::root;
using test::self_signed;
using test::Wanted;
using testing::HasSubstr;
using testing::StartsWith;
using Proof = Expectation::Proof;

// One root, one authority below it, made once.
struct World {
  Cert root = test::root("Root");
  Cert ca = issue(authority("Authority"), root);
  Cert leaf = issue(host("mx.example.com"), ca);
};
const World& world() {
  static const World made;
  return made;
}

std::shared_ptr<const Credentials> trusting(const std::vector<Cert>& roots) {
  test::ScratchDir dir;
  CredentialFiles files;
  if (!roots.empty()) {
    files.ca_file = dir.path() + "/roots.pem";
    std::ofstream out(files.ca_file);
    for (const Cert& cert : roots)
      out << cert.pem();
  }
  auto loaded = Credentials::load(files);
  EXPECT_TRUE(loaded.ok()) << (loaded ? "" : loaded.error().text());
  return *loaded;
}

std::vector<std::string> ders(const std::vector<Cert>& chain) {
  std::vector<std::string> bytes;
  for (const Cert& cert : chain)
    bytes.push_back(cert.der);
  return bytes;
}

Expectation names(std::vector<std::string> expected) {
  Expectation expectation;
  expectation.proof = Proof::names;
  expectation.names = std::move(expected);
  return expectation;
}

Verdict judged(const std::vector<Cert>& chain, const Expectation& expectation,
               const std::vector<Cert>& roots = {world().root}) {
  return verify(ders(chain), expectation, *trusting(roots), test::now());
}

std::string summary(const Verdict& verdict) {
  const std::string state = verdict.verified  ? "verified"
                            : verdict.trusted ? "trusted"
                                              : "untrusted";
  return verdict.reason.empty() ? state : state + ": " + verdict.reason;
}

// ---- chains -------------------------------------------------------------------------------------

TEST(Chains, LeadToARoot) {
  const World& w = world();
  const Expectation mx = names({"mx.example.com"});
  EXPECT_EQ(summary(judged({w.leaf, w.ca}, mx)), "verified");
  EXPECT_EQ(summary(judged({w.leaf, w.ca, w.root}, mx)), "verified");
  EXPECT_EQ(summary(judged({w.leaf, w.root, w.ca}, mx)), "verified") << "in another order";
  EXPECT_EQ(summary(judged({w.leaf, w.ca}, mx, {w.ca})), "verified") << "the authority as a root";
  EXPECT_EQ(summary(judged({w.leaf}, mx)), "untrusted: untrusted issuer /CN=Authority");
  EXPECT_EQ(summary(judged({w.leaf, w.ca}, mx, {})), "untrusted: untrusted issuer /CN=Root");
  EXPECT_EQ(summary(judged({w.leaf, w.ca, w.root}, mx, {root("Another")})),
            "untrusted: untrusted issuer /CN=Root");
  EXPECT_EQ(summary(judged({self_signed(host("mx.example.com"))}, mx)),
            "untrusted: self-signed certificate");
  EXPECT_EQ(summary(judged({w.leaf, w.ca}, mx, {root("Root")})),
            "untrusted: untrusted issuer /CN=Root")
      << "another key under the root's name";
}

TEST(Chains, NothingIsExpectedAndTrustIsStillLookedAt) {
  const World& w = world();
  const Verdict good = judged({w.leaf, w.ca}, Expectation{});
  EXPECT_TRUE(good.trusted);
  EXPECT_TRUE(good.verified);
  const Verdict bad = judged({w.leaf}, Expectation{});
  EXPECT_FALSE(bad.trusted);
  EXPECT_TRUE(bad.verified);
  const Verdict anonymous = verify({}, Expectation{}, *trusting({}), test::now());
  EXPECT_FALSE(anonymous.trusted);
  EXPECT_TRUE(anonymous.verified);
  EXPECT_EQ(anonymous.reason, "no certificate");
  EXPECT_FALSE(verify({}, names({"mx.example.com"}), *trusting({}), test::now()).verified);
}

struct BadCase {
  std::string_view name;
  std::vector<Cert> (*chain)();
  std::string_view reason;
};
class BadChains : public testing::TestWithParam<BadCase> {};
TEST_P(BadChains, AreRefusedForTheRightReason) {
  const Verdict verdict = judged(GetParam().chain(), names({"mx.example.com"}));
  EXPECT_FALSE(verdict.trusted);
  EXPECT_FALSE(verdict.verified);
  EXPECT_THAT(verdict.reason, HasSubstr(std::string(GetParam().reason)));
}

std::vector<Cert> leaf_with(void (*change)(Wanted&)) {
  Wanted wanted = host("mx.example.com");
  change(wanted);
  return {issue(wanted, world().ca), world().ca};
}
std::vector<Cert> authority_with(void (*change)(Wanted&)) {
  Wanted wanted = authority("Odd Authority");
  change(wanted);
  const Cert ca = issue(wanted, world().root);
  return {issue(host("mx.example.com"), ca), ca};
}

INSTANTIATE_TEST_SUITE_P(
    All, BadChains,
    testing::Values(
        BadCase{"Expired", [] { return leaf_with([](Wanted& w) { w.until = kNow - 1; }); },
                "certificate has expired"},
        BadCase{"NotYet", [] { return leaf_with([](Wanted& w) { w.from = kNow + 60; }); },
                "certificate not yet valid"},
        BadCase{"AuthorityExpired",
                [] { return authority_with([](Wanted& w) { w.until = kNow - 1; }); },
                "certificate has expired"},
        BadCase{"ForClients",
                [] { return leaf_with([](Wanted& w) { w.purposes = {"1.3.6.1.5.5.7.3.2"}; }); },
                "not designated for use as a server certificate"},
        BadCase{"Sha1", [] { return leaf_with([](Wanted& w) { w.digest = "SHA1"; }); }, "too weak"},
        BadCase{"Rsa1024", [] { return leaf_with([](Wanted& w) { w.rsa_bits = 1024; }); },
                "too weak"},
        BadCase{"Rsa512", [] { return leaf_with([](Wanted& w) { w.rsa_bits = 512; }); },
                "too weak"},
        BadCase{"AuthorityRsa1024",
                [] { return authority_with([](Wanted& w) { w.rsa_bits = 1024; }); }, "too weak"},
        BadCase{"NotAnAuthority", [] { return authority_with([](Wanted& w) { w.ca = false; }); },
                "invalid CA certificate"},
        BadCase{"UnknownCritical",
                [] { return leaf_with([](Wanted& w) { w.unknown_critical.assign("\5\0", 2); }); },
                "unhandled critical extension"},
        BadCase{"PathLength",
                [] {
                  Wanted limited = authority("Limited");
                  limited.path_length = 0;
                  const Cert upper = issue(limited, world().root);
                  const Cert lower = issue(authority("Lower"), upper);
                  return std::vector{issue(host("mx.example.com"), lower), lower, upper};
                },
                "constraints"},
        BadCase{"NotPermitted",
                [] {
                  return authority_with(
                      [](Wanted& w) { w.name_constraints = test::constraints({"other.org"}, {}); });
                },
                "constraints"},
        BadCase{"Excluded",
                [] {
                  return authority_with([](Wanted& w) {
                    w.name_constraints = test::constraints({}, {"example.com"});
                  });
                },
                "constraints"}),
    [](const auto& i) { return std::string(i.param.name); });

// CVE-2026-3833: constraints are compared without regard to case.
TEST(NameConstraints, CaseIsNoWayAroundThem) {
  Wanted wanted = authority("Constrained");
  wanted.name_constraints = test::constraints({}, {"example.com"});
  const Cert ca = issue(wanted, world().root);
  for (const char* name : {"MX.EXAMPLE.COM", "mx.Example.com"})
    EXPECT_EQ(summary(judged({issue(host(name), ca), ca}, names({"mx.example.com"}))),
              "untrusted: constraints of a CA certificate are violated");
  wanted.name_constraints = test::constraints({"example.com"}, {});
  const Cert permitted = issue(wanted, world().root);
  EXPECT_EQ(summary(judged({issue(host("MX.EXAMPLE.COM"), permitted), permitted},
                           names({"mx.example.com"}))),
            "verified");
  Wanted no_alternatives = host("mx.elsewhere.org");
  no_alternatives.dns_names.clear();
  EXPECT_FALSE(
      judged({issue(no_alternatives, permitted), permitted}, names({"mx.elsewhere.org"})).trusted);
}

// CVE-2025-14831 and the like: whatever is in a chain, the work is bounded.
TEST(HostileCertificates, ManyConstraintsAreNotComparedWithManyNames) {
  std::vector<std::string> many;
  for (int i = 0; i < 4000; ++i)
    many.push_back("h" + std::to_string(i) + ".example.org");
  Wanted wanted = authority("Constrained");
  wanted.name_constraints = test::constraints({}, many);
  const Cert ca = issue(wanted, world().root);
  EXPECT_EQ(summary(judged({world().leaf, ca}, names({"mx.example.com"}))),
            "untrusted: too many names or name constraints");
  wanted.name_constraints = test::constraints({}, {"example.org"});
  const Cert small = issue(wanted, world().root);
  Wanted names_too = host("mx.example.com");
  names_too.dns_names.insert(names_too.dns_names.end(), many.begin(), many.end());
  EXPECT_EQ(summary(judged({issue(names_too, small), small}, names({"mx.example.com"}))),
            "untrusted: too many names or name constraints");
}

TEST(HostileCertificates, TenThousandNamesAreAllLookedAt) {
  Wanted wanted = host("first.example.com");
  for (int i = 0; i < 10000; ++i)
    wanted.dns_names.push_back("n" + std::to_string(i) + ".example");
  wanted.dns_names.push_back("last.example.com");
  const Cert big = issue(wanted, world().ca);
  EXPECT_EQ(summary(judged({big, world().ca}, names({"last.example.com"}))), "verified");
  const Verdict no = judged({big, world().ca}, names({"other.example.com"}));
  EXPECT_EQ(no.reason, "no name matches: first.example.com n0.example n1.example n2.example "
                       "n3.example and 9997 more");
}

TEST(HostileCertificates, LongChainsEnd) {
  std::vector<Cert> line;
  Cert issuer = world().root;
  for (int i = 0; i < 100; ++i)
    line.push_back(issuer = issue(authority("CA" + std::to_string(i)), issuer));
  const auto chain_of = [&](std::size_t authorities) {
    std::vector<Cert> chain{issue(host("mx.example.com"), line[authorities - 1])};
    for (std::size_t i = authorities; i > 0; --i)
      chain.push_back(line[i - 1]);
    return chain;
  };
  EXPECT_EQ(summary(judged(chain_of(100), names({"mx.example.com"}))),
            "untrusted: untrusted issuer /CN=CA84");
  EXPECT_EQ(summary(judged(chain_of(8), names({"mx.example.com"}))), "verified");
  EXPECT_EQ(summary(judged(chain_of(9), names({"mx.example.com"}))),
            "untrusted: certificate chain longer than limit(9)");
  Expectation deeper = names({"mx.example.com"});
  deeper.depth = 10;
  EXPECT_EQ(summary(judged(chain_of(9), deeper)), "verified");
  Expectation shallow = names({"mx.example.com"});
  shallow.depth = 1;
  EXPECT_EQ(summary(judged({world().leaf, world().ca}, shallow, {world().ca})), "verified")
      << "the issuing authority as a root is one step away";
  EXPECT_FALSE(judged({world().leaf, world().ca}, shallow).trusted);
}

TEST(HostileCertificates, AlteredBytesProveNothing) {
  const auto none = trusting({});
  const Expectation mx = names({"mx.example.com"});
  const std::string& good = world().leaf.der;
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(verify({good.substr(0, size)}, mx, *none, test::now()).reason, "bad certificate");
  EXPECT_EQ(verify({good + "x"}, mx, *none, test::now()).reason, "bad certificate");
  EXPECT_EQ(verify({std::string(300000, '0')}, mx, *none, test::now()).reason,
            "certificates too large");
  // Bytes altered in turn: never verified, whatever that does to the form.
  for (std::size_t i = 0; i < good.size(); i += 7) {
    std::string altered = good;
    altered[i] = static_cast<char>(altered[i] ^ 0x20);
    EXPECT_FALSE(
        verify({altered, world().ca.der}, mx, *trusting({world().root}), test::now()).verified)
        << i;
  }
}

// ---- names --------------------------------------------------------------------------------------

struct NameCase {
  std::string_view name;
  std::string_view expected;
  std::vector<std::string> dns;
  std::string common;
  bool verified;
};
class Names : public testing::TestWithParam<NameCase> {};
TEST_P(Names, AreComparedAsPostfixDoes) {
  Wanted wanted;
  wanted.common_name = GetParam().common;
  wanted.dns_names = GetParam().dns;
  const Verdict verdict =
      judged({issue(wanted, world().ca), world().ca}, names({std::string(GetParam().expected)}));
  EXPECT_TRUE(verdict.trusted) << verdict.reason;
  EXPECT_EQ(verdict.verified, GetParam().verified) << verdict.reason;
  if (!verdict.verified) {
    EXPECT_THAT(verdict.reason, StartsWith("no name matches:"));
  }
}
using namespace std::string_literals;
INSTANTIATE_TEST_SUITE_P(
    Rfc6125, Names,
    testing::ValuesIn<NameCase>({
        {"Same", "mx.example.com", {"mx.example.com"}, "", true},
        {"AnyCase", "mx.example.com", {"MX.Example.COM"}, "", true},
        {"Second", "mx.example.com", {"a.example", "mx.example.com"}, "", true},
        {"Other", "mx.example.com", {"mx2.example.com"}, "", false},
        {"Suffix", "example.com", {"mx.example.com"}, "", false},
        {"Wildcard", "mx.example.com", {"*.example.com"}, "", true},
        {"WildcardIsOneLabel", "a.mx.example.com", {"*.example.com"}, "", false},
        {"WildcardIsNotNone", "example.com", {"*.example.com"}, "", false},
        {"OneLabelMore", "*.example.com", {"mx.example.com"}, "", true},
        {"OneLabelMoreIsNotTwo", "*.example.com", {"a.mx.example.com"}, "", false},
        {"OneLabelMoreIsNotNone", "*.example.com", {"example.com"}, "", false},
        {"OneLabelMoreOfAWildcard", "*.example.com", {"*.example.com"}, "", true},
        {"OneLabelMoreOfADeeperWildcard", "*.example.com", {"*.mx.example.com"}, "", false},
        {"WildcardOfTopDomain", "example.com", {"*.com"}, "", false},
        {"PartialWildcard", "mx.example.com", {"m*.example.com"}, "", false},
        {"InnerWildcard", "mx.a.example.com", {"mx.*.example.com"}, "", false},
        {"TwoWildcards", "a.b.example.com", {"*.*.example.com"}, "", false},
        {"BareWildcard", "example", {"*"}, "", false},
        {"WildcardOfALabel", "xn--mx-eka.example.com", {"*.example.com"}, "", true},
        {"ALabel", "xn--mx-eka.example.com", {"xn--mx-eka.example.com"}, "", true},
        {"SubDomain", ".example.com", {"a.b.example.com"}, "", true},
        {"SubDomainNotSelf", ".example.com", {"example.com"}, "", false},
        {"SubDomainNotTail", ".example.com", {"badexample.com"}, "", false},
        {"SubDomainWildcard", ".example.com", {"*.example.com"}, "", true},
        {"CommonName", "mx.example.com", {}, "mx.example.com", true},
        {"CommonWildcard", "mx.example.com", {}, "*.example.com", true},
        {"CommonNameBesideDnsName", "mx.example.com", {"a.example"}, "mx.example.com", false},
        {"NulInName", "mx.example.com", {"mx.example.com\0.evil.org"s}, "", false},
        {"NulAtEnd", "mx.example.com", {"mx.example.com\0"s}, "", false},
        {"NulInCommonName", "mx.example.com", {}, "mx.example.com\0.evil.org"s, false},
        {"Space", "mx.example.com", {" mx.example.com"}, "", false},
        {"Utf8", "mx.example.com", {"mx.ex\xc3\xa4mple.com"}, "", false},
    }),
    [](const auto& i) { return std::string(i.param.name); });

TEST(NamesInCertificates, AddressesAreNoNames) {
  Wanted wanted = host("mx.example.com");
  wanted.dns_names.clear();
  wanted.addresses = {std::string("\xc0\x00\x02\x01", 4)};
  const Cert cert = issue(wanted, world().ca);
  EXPECT_FALSE(judged({cert, world().ca}, names({"192.0.2.1"})).verified);
  EXPECT_TRUE(judged({cert, world().ca}, names({"mx.example.com"})).verified)
      << "addresses do not hide the CommonName";
}

TEST(NamesInCertificates, ANameWithoutATrustedChainProvesNothing) {
  const Verdict verdict = judged({self_signed(host("mx.example.com"))}, names({"mx.example.com"}));
  EXPECT_FALSE(verdict.verified);
}

// ---- fingerprints -------------------------------------------------------------------------------

class Fingerprints : public testing::TestWithParam<const char*> {};
TEST_P(Fingerprints, OfCertificateAndKey) {
  const Cert& leaf = world().leaf;
  Expectation expectation;
  expectation.proof = Proof::fingerprint;
  expectation.digest = GetParam();
  const std::string of_cert = test::to_hex(test::digest_of(leaf.der, uppercase(GetParam())));
  const std::string of_key =
      test::to_hex(test::digest_of(leaf.key.public_der(), uppercase(GetParam())));
  for (const std::string& wanted : {of_cert, of_key, uppercase(of_cert)}) {
    expectation.fingerprints = {"00:11", wanted};
    EXPECT_EQ(summary(judged({leaf}, expectation, {})), "verified") << "no root is needed";
  }
  expectation.fingerprints = {of_cert.substr(2), of_cert + "00", ""};
  EXPECT_THAT(summary(judged({leaf}, expectation, {})),
              StartsWith("untrusted: no fingerprint matches: certificate "));
  expectation.fingerprints = {test::to_hex(test::digest_of(world().ca.der, uppercase(GetParam())))};
  EXPECT_FALSE(judged({leaf, world().ca}, expectation).verified) << "only the server's own counts";
}
INSTANTIATE_TEST_SUITE_P(Digests, Fingerprints,
                         testing::Values("sha256", "sha384", "sha512", "sha1", "md5"));

TEST(FingerprintText, IsThatOfPostfix) {
  EXPECT_EQ(certificate_fingerprint("abc", "md5").value(),
            "90:01:50:98:3C:D2:4F:B0:D6:96:3F:7D:28:E1:7F:72");
  EXPECT_THAT(certificate_fingerprint("abc", "sha3").error().text(),
              HasSubstr("no such digest: sha3"));
  Expectation expectation;
  expectation.proof = Proof::fingerprint;
  expectation.digest = "whirlpool";
  expectation.fingerprints = {""};
  EXPECT_THAT(judged({world().leaf}, expectation).reason, HasSubstr("no such digest: whirlpool"));
}

} // namespace
} // namespace postrider::tls
