// SPDX-License-Identifier: MIT
// Trust anchors of an administrator's file, and TLSA records (RFC 6698, 7671, 7672).
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/certs.hpp"
#include "support/scratch_dir.hpp"
#include "tls/verify.hpp"

namespace postrider::tls {
namespace {

using test::authority;
using test::Cert;
using test::host;
using test::issue;
using test::kNow;
using test::root;
using test::Wanted;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using Proof = Expectation::Proof;

struct World {
  Cert root = test::root("Root");
  Cert ca = issue(authority("Authority"), root);
  Cert leaf = issue(host("mx.example.com"), ca);
  Cert other = test::root("Another");
};
const World& world() {
  static const World made;
  return made;
}

std::vector<std::string> ders(const std::vector<Cert>& chain) {
  std::vector<std::string> bytes;
  for (const Cert& cert : chain)
    bytes.push_back(cert.der);
  return bytes;
}

const Credentials& no_roots() {
  static const std::shared_ptr<const Credentials> loaded = *Credentials::load({});
  return *loaded;
}

std::string summary(const std::vector<Cert>& chain, const Expectation& expectation) {
  const Verdict verdict = verify(ders(chain), expectation, no_roots(), test::now());
  EXPECT_TRUE(verdict.trusted || !verdict.verified);
  if (verdict.verified) return "verified";
  return (verdict.trusted ? "trusted: " : "untrusted: ") + verdict.reason;
}

// ---- files --------------------------------------------------------------------------------------

class AnchorFile {
 public:
  explicit AnchorFile(const std::string& text) {
    std::ofstream(path()) << text;
    loaded_ = TrustAnchors::load({path()});
  }
  std::string path() const { return dir_.path() + "/anchors.pem"; }
  Expectation expectation(const std::string& name = "mx.example.com") const {
    Expectation e;
    e.proof = Proof::names;
    e.names = {name};
    EXPECT_TRUE(loaded_->ok()) << (*loaded_ ? "" : loaded_->error().text());
    e.anchors = **loaded_;
    return e;
  }
  std::string error() const { return loaded_->ok() ? "loaded" : loaded_->error().text(); }

 private:
  test::ScratchDir dir_;
  std::optional<Result<std::shared_ptr<const TrustAnchors>>> loaded_;
};

TEST(TrustAnchorFiles, StandAnywhereInTheChain) {
  const World& w = world();
  const std::vector<Cert> chain{w.leaf, w.ca};
  for (const std::string& anchor :
       {w.ca.pem(), w.root.pem(), w.ca.key.public_pem(), w.root.key.public_pem()})
    EXPECT_EQ(summary(chain, AnchorFile(anchor).expectation()), "verified") << anchor;
  EXPECT_EQ(summary({w.leaf}, AnchorFile(w.ca.pem()).expectation()), "verified");
  EXPECT_EQ(summary({w.leaf}, AnchorFile(w.ca.key.public_pem()).expectation()), "verified")
      << "a key that has signed the server's own certificate";
  EXPECT_EQ(summary({w.leaf}, AnchorFile(w.root.pem()).expectation()),
            "untrusted: untrusted issuer /CN=Authority");
  EXPECT_EQ(summary(chain, AnchorFile(w.other.pem() + w.other.key.public_pem()).expectation()),
            "untrusted: untrusted issuer /CN=Root");
  EXPECT_EQ(summary(chain, AnchorFile(w.other.pem() + w.ca.pem()).expectation()), "verified");
  EXPECT_EQ(summary(chain, AnchorFile(w.ca.pem()).expectation("mx.other.org")),
            "trusted: no name matches: mx.example.com");
}

TEST(TrustAnchorFiles, AnchorsDoNotExpireAndOthersDo) {
  const World& w = world();
  const Cert old_root = root("Old Root", kNow - 10);
  const Cert ca = issue(authority("Its Authority"), old_root);
  const std::vector<Cert> chain{issue(host("mx.example.com"), ca), ca};
  EXPECT_EQ(summary(chain, AnchorFile(old_root.pem()).expectation()), "verified");

  Wanted wanted = authority("Old Authority");
  wanted.until = kNow - 10;
  const Cert old_ca = issue(wanted, w.root);
  const std::vector<Cert> below{issue(host("mx.example.com"), old_ca), old_ca};
  EXPECT_EQ(summary(below, AnchorFile(old_ca.pem()).expectation()), "verified");
  EXPECT_EQ(summary(below, AnchorFile(old_ca.key.public_pem()).expectation()), "verified");
  EXPECT_THAT(summary(below, AnchorFile(w.root.pem()).expectation()), HasSubstr("expired"));
  EXPECT_THAT(summary(below, AnchorFile(w.root.key.public_pem()).expectation()),
              StartsWith("untrusted: "));

  Wanted late = host("mx.example.com");
  late.until = kNow - 10;
  const Cert old_leaf = issue(late, w.ca);
  EXPECT_EQ(summary({old_leaf, w.ca}, AnchorFile(w.ca.pem()).expectation()),
            "untrusted: certificate has expired");
  EXPECT_EQ(summary({old_leaf}, AnchorFile(w.ca.key.public_pem()).expectation()),
            "untrusted: certificate has expired");
}

// A certificate with the anchor's name, or with the anchor's key, is not what the anchor signed.
TEST(TrustAnchorFiles, CannotBeBorrowed) {
  const World& w = world();
  const Cert false_ca = test::self_signed(authority("Authority"));
  const Cert leaf = issue(host("mx.example.com"), false_ca);
  for (const std::string& anchor : {w.ca.pem(), w.ca.key.public_pem()}) {
    EXPECT_THAT(summary({leaf, false_ca}, AnchorFile(anchor).expectation()),
                StartsWith("untrusted: "));
    EXPECT_THAT(summary({leaf, false_ca, w.ca}, AnchorFile(anchor).expectation()),
                StartsWith("untrusted: "))
        << "the true one stands beside the chain";
  }
}

TEST(TrustAnchorFiles, SayWhatIsWrongWithThem) {
  EXPECT_THAT(AnchorFile("").error(), HasSubstr("anchors.pem: no certificate and no public key"));
  EXPECT_THAT(AnchorFile("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").error(),
              HasSubstr("anchors.pem: bad certificate"));
  EXPECT_THAT(AnchorFile("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").error(),
              HasSubstr("anchors.pem: bad public key"));
  EXPECT_THAT(AnchorFile(world().ca.key.private_pem()).error(), HasSubstr("no certificate"));
  EXPECT_THAT(TrustAnchors::load({"/nonexistent/file"}).error().text(),
              HasSubstr("/nonexistent/file"));
}

// ---- TLSA records -------------------------------------------------------------------------------

TlsaRecord tlsa(int usage, int selector, int matching, const Cert& cert) {
  TlsaRecord record;
  record.usage = static_cast<std::uint8_t>(usage);
  record.selector = static_cast<std::uint8_t>(selector);
  record.matching = static_cast<std::uint8_t>(matching);
  const std::string bytes = selector == 0 ? cert.der : cert.key.public_der();
  record.data = matching == 1   ? test::digest_of(bytes, "SHA256")
                : matching == 2 ? test::digest_of(bytes, "SHA512")
                                : bytes;
  return record;
}

Expectation dane(std::vector<TlsaRecord> records,
                 std::vector<std::string> names = {"mx.example.com"}) {
  Expectation e;
  e.proof = Proof::dane;
  e.names = std::move(names);
  e.tlsa = usable(records, {"sha512", "sha256"});
  EXPECT_EQ(e.tlsa.size(), records.size());
  return e;
}

TEST(TlsaRecords, AreParsed) {
  const auto record = parse_tlsa(std::string("\3\1\2abc", 6));
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(*record, (TlsaRecord{3, 1, 2, "abc"}));
  for (const std::size_t size : {0, 1, 2, 3})
    EXPECT_FALSE(parse_tlsa(std::string(size, '\3')).has_value()) << size;
  EXPECT_TRUE(parse_tlsa(std::string(65535, '\3')).has_value());
}

TEST(TlsaRecords, UsableOnesAreKept) {
  const Cert& cert = world().leaf;
  const std::vector<std::string> digests{"sha512", "sha256"};
  for (const int usage : {2, 3})
    for (const int selector : {0, 1})
      for (const int matching : {0, 1, 2}) {
        const TlsaRecord record = tlsa(usage, selector, matching, cert);
        EXPECT_THAT(usable({record}, digests), ElementsAre(record)) << to_string(record);
      }
  for (const int usage : {0, 1, 4, 255})
    EXPECT_THAT(usable({tlsa(usage, 1, 1, cert)}, digests), IsEmpty()) << usage;
  TlsaRecord odd = tlsa(3, 1, 1, cert);
  odd.selector = 2;
  EXPECT_THAT(usable({odd}, digests), IsEmpty());
  odd = tlsa(3, 1, 1, cert);
  odd.matching = 3;
  EXPECT_THAT(usable({odd}, digests), IsEmpty());
  EXPECT_THAT(usable({tlsa(3, 1, 2, cert)}, {"sha256"}), IsEmpty()) << "a digest not in the list";
}

TEST(TlsaRecords, LengthsAreChecked) {
  for (const std::size_t size : {0, 1, 2, 3, 19, 31, 32, 33, 63, 64, 65, 65535}) {
    TlsaRecord record{3, 1, 1, std::string(size, 'x')};
    EXPECT_EQ(usable({record}, {"sha512", "sha256"}).size(), size == 32 ? 1U : 0U) << size;
    record.matching = 2;
    EXPECT_EQ(usable({record}, {"sha512", "sha256"}).size(), size == 64 ? 1U : 0U) << size;
    record.matching = 0;
    EXPECT_THAT(usable({record}, {"sha512", "sha256"}), IsEmpty()) << "no key: " << size;
    record.selector = 0;
    EXPECT_THAT(usable({record}, {"sha512", "sha256"}), IsEmpty()) << "no certificate: " << size;
  }
}

TEST(TlsaRecords, TheStrongestDigestOfEachKindCounts) {
  const Cert& a = world().leaf;
  const TlsaRecord strong = tlsa(3, 1, 2, a);
  const TlsaRecord weak = tlsa(3, 1, 1, a);
  const TlsaRecord other_kind = tlsa(3, 0, 1, a);
  const TlsaRecord other_usage = tlsa(2, 1, 1, a);
  const TlsaRecord whole = tlsa(3, 1, 0, a);
  EXPECT_THAT(usable({weak, other_kind, strong, other_usage, whole}, {"sha512", "sha256"}),
              ElementsAre(other_kind, strong, other_usage, whole));
  EXPECT_THAT(usable({weak, strong}, {"sha256", "sha512"}), ElementsAre(weak));
  TlsaRecord broken = strong;
  broken.data.pop_back();
  EXPECT_THAT(usable({weak, broken}, {"sha512", "sha256"}), ElementsAre(weak))
      << "a record that cannot be used beats none";
}

TEST(TlsaRecords, AreShown) {
  EXPECT_EQ(to_string(TlsaRecord{3, 1, 1, "\x01\xab"}), "3 1 1 01ab");
  EXPECT_EQ(to_string(TlsaRecord{2, 0, 0, std::string(33, '\0')}),
            "2 0 0 " + std::string(64, '0') + "...");
}

// ---- DANE-EE: the record alone ------------------------------------------------------------------

TEST(DaneEndEntity, ProvesWithoutNameDateOrIssuer) {
  Wanted wanted = host("any.other.name");
  wanted.until = kNow - 1000;
  wanted.digest = "SHA1";
  wanted.purposes = {"1.3.6.1.5.5.7.3.2"};
  const Cert odd = issue(wanted, world().other);
  for (const int selector : {0, 1})
    for (const int matching : {0, 1, 2}) {
      EXPECT_EQ(summary({odd}, dane({tlsa(3, selector, matching, odd)})), "verified");
      EXPECT_EQ(summary({odd}, dane({tlsa(3, selector, matching, world().leaf)})),
                "untrusted: no TLSA record matches");
      EXPECT_EQ(summary({odd, world().leaf}, dane({tlsa(3, selector, matching, world().leaf)})),
                "untrusted: no TLSA record matches")
          << "only the server's own certificate counts";
    }
  EXPECT_EQ(summary({odd}, dane({tlsa(3, 1, 1, world().leaf), tlsa(3, 1, 1, odd)})), "verified");
}

// ---- DANE-TA: a private root, with names and dates
// ------------------------------------------------

TEST(DaneTrustAnchor, InTheChain) {
  const World& w = world();
  const std::vector<Cert> chain{w.leaf, w.ca, w.root};
  for (const int selector : {0, 1})
    for (const int matching : {0, 1, 2}) {
      EXPECT_EQ(summary(chain, dane({tlsa(2, selector, matching, w.root)})), "verified");
      EXPECT_EQ(summary(chain, dane({tlsa(2, selector, matching, w.ca)})), "verified");
      EXPECT_EQ(summary({w.leaf, w.ca}, dane({tlsa(2, selector, matching, w.ca)})), "verified");
      EXPECT_THAT(summary(chain, dane({tlsa(2, selector, matching, w.other)})),
                  StartsWith("untrusted: "));
    }
}

TEST(DaneTrustAnchor, AboveTheChainWhenTheRecordHoldsAllOfIt) {
  const World& w = world();
  for (const int selector : {0, 1}) {
    EXPECT_EQ(summary({w.leaf, w.ca}, dane({tlsa(2, selector, 0, w.root)})), "verified");
    EXPECT_EQ(summary({w.leaf}, dane({tlsa(2, selector, 0, w.ca)})), "verified");
    EXPECT_THAT(summary({w.leaf}, dane({tlsa(2, selector, 0, w.other)})),
                StartsWith("untrusted: "));
    EXPECT_EQ(summary({w.leaf, w.ca}, dane({tlsa(2, selector, 1, w.root)})),
              "untrusted: no TLSA record matches")
        << "a digest of what is not there";
  }
}

TEST(DaneTrustAnchor, NamesAndDatesCount) {
  const World& w = world();
  const std::vector<Cert> chain{w.leaf, w.ca};
  EXPECT_EQ(summary(chain, dane({tlsa(2, 1, 1, w.ca)}, {"example.com", "mx.example.com"})),
            "verified");
  EXPECT_EQ(summary(chain, dane({tlsa(2, 1, 1, w.ca)}, {"example.com"})),
            "trusted: no name matches: mx.example.com");
  EXPECT_EQ(summary({w.leaf}, dane({tlsa(2, 1, 0, w.ca)}, {"example.com"})),
            "trusted: no name matches: mx.example.com");
  Wanted late = host("mx.example.com");
  late.until = kNow - 1;
  EXPECT_EQ(summary({issue(late, w.ca), w.ca}, dane({tlsa(2, 1, 1, w.ca)})),
            "untrusted: certificate has expired");
  const Cert old_root = root("Old", kNow - 1);
  const Cert leaf = issue(host("mx.example.com"), old_root);
  EXPECT_EQ(summary({leaf, old_root}, dane({tlsa(2, 0, 1, old_root)})), "verified")
      << "the anchor's own date does not count";
}

TEST(DaneTrustAnchor, MustHaveSigned) {
  const World& w = world();
  const Cert stranger = test::self_signed(host("mx.example.com"));
  EXPECT_THAT(summary({stranger, w.ca}, dane({tlsa(2, 0, 1, w.ca)})), StartsWith("untrusted: "));
  EXPECT_THAT(summary({stranger, w.ca}, dane({tlsa(2, 1, 1, w.ca)})), StartsWith("untrusted: "));
  EXPECT_THAT(summary({stranger}, dane({tlsa(2, 1, 0, w.ca)})), StartsWith("untrusted: "));
  // The server's own certificate is no trust anchor.
  EXPECT_EQ(summary({w.leaf, w.ca}, dane({tlsa(2, 1, 1, w.leaf)})),
            "untrusted: no TLSA record matches");
  Wanted no_ca = authority("Not");
  no_ca.ca = false;
  const Cert mere = issue(no_ca, w.root);
  EXPECT_THAT(summary({issue(host("mx.example.com"), mere), mere}, dane({tlsa(2, 0, 1, mere)})),
              StartsWith("untrusted: "));
}

TEST(DaneTrustAnchor, ManyRecordsAreBoundedWork) {
  const World& w = world();
  std::vector<TlsaRecord> records;
  const Cert others[] = {w.other, w.leaf};
  for (int i = 0; i < 128; ++i)
    records.push_back(tlsa(2, i % 2, 0, others[i % 2]));
  std::vector<Cert> chain{w.leaf};
  for (int i = 0; i < 15; ++i)
    chain.push_back(w.ca);
  EXPECT_THAT(summary(chain, dane(records)), StartsWith("untrusted: "));
  records.front() = tlsa(3, 1, 1, w.leaf);
  EXPECT_EQ(summary(chain, dane(records)), "verified");
}

TEST(Dane, EitherUsageWill) {
  const World& w = world();
  EXPECT_EQ(summary({w.leaf, w.ca}, dane({tlsa(3, 1, 1, w.other), tlsa(2, 0, 1, w.ca)})),
            "verified");
  EXPECT_EQ(summary({w.leaf, w.ca}, dane({tlsa(2, 0, 1, w.other), tlsa(3, 1, 1, w.leaf)})),
            "verified");
  EXPECT_EQ(summary({w.leaf, w.ca}, dane({})), "untrusted: no TLSA record matches");
}

} // namespace
} // namespace postrider::tls
