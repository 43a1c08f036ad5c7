// SPDX-License-Identifier: MIT
// From every cause to what RFC 8460 section 4.3 calls it.
#include "smtpclient/tls_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::smtpclient {
namespace {

using proto::TlsPolicyKind;
using proto::TlsResult;
using testing::ElementsAre;

Options reporting() {
  Options options;
  options.tls.reports = true;
  return options;
}
Nexthop domain(std::string name) {
  Nexthop hop;
  hop.name = hop.written = std::move(name);
  return hop;
}
TlsSubject subject() { return *tls_subject(reporting(), domain("a.example"), false); }

// --- who is told about -------------------------------------------------------------------------

TEST(TlsSubjects, DomainsWhoseHostsAreLookedUp) {
  const auto found = tls_subject(reporting(),
                                 domain("B\xc3\xbc"
                                        "cher.example"),
                                 false);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->domain, "xn--bcher-kva.example");
  EXPECT_EQ(found->policy.domain, found->domain);
  EXPECT_EQ(found->policy.kind, TlsPolicyKind::no_policy_found);
}

TEST(TlsSubjects, NobodyElse) {
  EXPECT_FALSE(tls_subject(reporting(), domain("a.example"), true)) << "a report of this kind";
  EXPECT_FALSE(tls_subject(Options(), domain("a.example"), false)) << "smtp_tlsrpt_enable = no";
  Nexthop host = domain("mx.a.example");
  host.kind = Nexthop::Kind::host;
  EXPECT_FALSE(tls_subject(reporting(), host, false));
  Options options = reporting();
  options.flavor = Flavor::lmtp;
  EXPECT_FALSE(tls_subject(options, domain("a.example"), false));
  options = reporting();
  options.lookup_dns = false;
  EXPECT_FALSE(tls_subject(options, domain("a.example"), false));
  EXPECT_FALSE(tls_subject(reporting(), domain("192.0.2.1"), false));
}

// --- DANE --------------------------------------------------------------------------------------

struct DaneCase {
  std::string_view name;
  TlsLevel level;
  void (*set)(DaneFacts&);
  TlsPolicyKind kind;
  TlsResult trouble;
};
void PrintTo(const DaneCase& c, std::ostream* out) { *out << c.name; }

tls::TlsaRecord record() {
  return {.usage = 3, .selector = 1, .matching = 1, .data = std::string(32, '\xab')};
}

class DaneReports : public testing::TestWithParam<DaneCase> {};
TEST_P(DaneReports, NameTheTrouble) {
  DaneFacts facts;
  facts.by_mx = facts.mx_secure = true;
  facts.host = "mx.a.example";
  facts.bases = {"mx.a.example"};
  GetParam().set(facts);
  TlsSubject about = subject();
  note_dane(about, GetParam().level, facts, decide_dane(GetParam().level, reporting().tls, facts));
  EXPECT_EQ(about.policy.kind, GetParam().kind);
  EXPECT_EQ(about.trouble, GetParam().trouble);
  EXPECT_EQ(about.domain, "a.example");
  EXPECT_EQ(about.policy.domain,
            GetParam().kind == TlsPolicyKind::tlsa ? "mx.a.example" : "a.example");
}
void found(DaneFacts& facts) {
  facts.records = DaneFacts::Records::found;
  facts.base = "mx.a.example";
  facts.tlsa = {record()};
}
INSTANTIATE_TEST_SUITE_P(
    Rfc8460Section4321, DaneReports,
    testing::ValuesIn<DaneCase>({
        {"Good", TlsLevel::dane, found, TlsPolicyKind::tlsa, TlsResult::success},
        {"GoodAtDaneOnly", TlsLevel::dane_only, found, TlsPolicyKind::tlsa, TlsResult::success},
        {"NoneOfThemCanBeUsed", TlsLevel::dane,
         [](DaneFacts& f) {
           found(f);
           f.tlsa[0].usage = 0;
         },
         TlsPolicyKind::tlsa, TlsResult::tlsa_invalid},
        {"WrongSignatures", TlsLevel::dane,
         [](DaneFacts& f) {
           f.records = DaneFacts::Records::failed;
           f.bogus = true;
         },
         TlsPolicyKind::tlsa, TlsResult::dnssec_invalid},
        {"ServersThatDoNotAnswer", TlsLevel::dane,
         [](DaneFacts& f) { f.records = DaneFacts::Records::failed; },
         TlsPolicyKind::no_policy_found, TlsResult::success},
        {"NoRecords", TlsLevel::dane, [](DaneFacts&) {}, TlsPolicyKind::no_policy_found,
         TlsResult::success},
        {"NoRecordsWhereTheyAreRequired", TlsLevel::dane_only, [](DaneFacts&) {},
         TlsPolicyKind::tlsa, TlsResult::dane_required},
        {"OurOwnFault", TlsLevel::dane_only, [](DaneFacts& f) { f.hindrance = "no resolver"; },
         TlsPolicyKind::no_policy_found, TlsResult::success},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST(DaneReports, RecordsAreWholeAndAsInAZoneFile) {
  std::string hex;
  for (int i = 0; i < 32; ++i)
    hex += "ab";
  EXPECT_EQ(record_text(record()), "3 1 1 " + hex);
}

// --- MTA-STS -----------------------------------------------------------------------------------

struct StsCase {
  std::string_view name;
  bool present;
  mail::StsMode mode;
  proto::PolicyTrouble policy_trouble;
  bool is_named;
  TlsPolicyKind kind;
  TlsResult trouble;
};
void PrintTo(const StsCase& c, std::ostream* out) { *out << c.name; }

class StsReports : public testing::TestWithParam<StsCase> {};
TEST_P(StsReports, NameTheTrouble) {
  proto::Policy policy;
  policy.present = GetParam().present;
  policy.mode = GetParam().mode;
  policy.trouble = GetParam().policy_trouble;
  policy.mx = {"*.a.example"};
  policy.max_age = 86400;
  TlsSubject about = subject();
  note_sts(about, policy, "mx.b.example", GetParam().is_named);
  EXPECT_EQ(about.policy.kind, GetParam().kind);
  EXPECT_EQ(about.trouble, GetParam().trouble);
  if (GetParam().present && GetParam().kind == TlsPolicyKind::sts)
    EXPECT_THAT(about.policy.mx, ElementsAre("*.a.example"));
}
using mail::StsMode;
using proto::PolicyTrouble;
INSTANTIATE_TEST_SUITE_P(Rfc8460Section4322, StsReports,
                         testing::ValuesIn<StsCase>({
                             {"Enforce", true, StsMode::enforce, PolicyTrouble::none, true,
                              TlsPolicyKind::sts, TlsResult::success},
                             {"Testing", true, StsMode::testing, PolicyTrouble::none, true,
                              TlsPolicyKind::sts, TlsResult::success},
                             {"ModeNone", true, StsMode::none, PolicyTrouble::none, true,
                              TlsPolicyKind::no_policy_found, TlsResult::success},
                             {"HostNotNamed", true, StsMode::enforce, PolicyTrouble::none, false,
                              TlsPolicyKind::sts, TlsResult::validation_failure},
                             {"NotAnnounced", false, StsMode::none, PolicyTrouble::none, true,
                              TlsPolicyKind::no_policy_found, TlsResult::success},
                             {"NotThere", false, StsMode::none, PolicyTrouble::fetch, true,
                              TlsPolicyKind::sts, TlsResult::sts_policy_fetch_error},
                             {"BadCertificate", false, StsMode::none, PolicyTrouble::proof, true,
                              TlsPolicyKind::sts, TlsResult::sts_webpki_invalid},
                             {"Rubbish", false, StsMode::none, PolicyTrouble::policy, true,
                              TlsPolicyKind::sts, TlsResult::sts_policy_invalid},
                             {"TheOldOneStaysInForce", true, StsMode::enforce, PolicyTrouble::fetch,
                              true, TlsPolicyKind::sts, TlsResult::success},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(StsReports, ThePolicyLineByLine) {
  proto::Policy policy;
  policy.present = true;
  policy.mode = StsMode::testing;
  policy.mx = {"mx.a.example", "*.b.example"};
  policy.max_age = 604800;
  EXPECT_THAT(policy_lines(policy),
              ElementsAre("version: STSv1", "mode: testing", "mx: mx.a.example", "mx: *.b.example",
                          "max_age: 604800"));
}

// --- certificates ------------------------------------------------------------------------------

using Proof = tls::Expectation::Proof;
struct VerdictCase {
  std::string_view name;
  Proof proof;
  bool trusted, verified, anonymous;
  std::string_view reason;
  TlsResult result;
};
void PrintTo(const VerdictCase& c, std::ostream* out) { *out << c.name; }

class CertificateReports : public testing::TestWithParam<VerdictCase> {};
TEST_P(CertificateReports, NameTheTrouble) {
  tls::Verdict verdict;
  verdict.trusted = GetParam().trusted;
  verdict.verified = GetParam().verified;
  verdict.anonymous = GetParam().anonymous;
  verdict.reason = GetParam().reason;
  const TlsAttempt attempt = attempt_of(verdict, GetParam().proof);
  EXPECT_EQ(attempt.result, GetParam().result);
  EXPECT_EQ(attempt.reason, GetParam().verified ? "" : GetParam().reason);
}
INSTANTIATE_TEST_SUITE_P(Rfc8460Section431, CertificateReports,
                         testing::ValuesIn<VerdictCase>({
                             {"Good", Proof::names, true, true, false, "", TlsResult::success},
                             {"WrongName", Proof::names, true, false, false, "no name matches: x",
                              TlsResult::certificate_host_mismatch},
                             {"Expired", Proof::names, false, false, false, tls::kExpired,
                              TlsResult::certificate_expired},
                             {"SelfSigned", Proof::names, false, false, false,
                              "self-signed certificate", TlsResult::certificate_not_trusted},
                             {"None", Proof::names, false, false, true, "no certificate",
                              TlsResult::validation_failure},
                             {"DaneOther", Proof::dane, false, false, false,
                              "no TLSA record matches", TlsResult::validation_failure},
                             {"DaneAnchorOtherName", Proof::dane, true, false, false,
                              "no name matches: x", TlsResult::certificate_host_mismatch},
                             {"DaneAnchorExpired", Proof::dane, false, false, false, tls::kExpired,
                              TlsResult::certificate_expired},
                             {"Fingerprint", Proof::fingerprint, false, false, false,
                              "no fingerprint matches", TlsResult::validation_failure},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

// --- events ------------------------------------------------------------------------------------

TEST(TlsEvents, OfAGoodConnectionNamesNobody) {
  const auto event = event_of(subject(), TlsAttempt(), {"mx.a.example", "192.0.2.1", 25}, "::1");
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->result, TlsResult::success);
  EXPECT_EQ(event->mx_host + event->mx_address + event->sending_address + event->reason, "");
}

TEST(TlsEvents, OfAFailureSaysWhereAndWhy) {
  TlsAttempt attempt;
  attempt.result = TlsResult::starttls_not_supported;
  attempt.reason = "454 no";
  const auto event = event_of(subject(), attempt, {"mx.a.example", "192.0.2.1", 25}, "192.0.2.9");
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->result, TlsResult::starttls_not_supported);
  EXPECT_EQ(event->mx_host, "mx.a.example");
  EXPECT_EQ(event->mx_address, "192.0.2.1");
  EXPECT_EQ(event->sending_address, "192.0.2.9");
  EXPECT_EQ(event->reason, "454 no");
}

TEST(TlsEvents, ThePolicysTroubleComesFirst) {
  TlsSubject about = subject();
  about.trouble = TlsResult::sts_policy_fetch_error;
  about.reason = "status 404";
  for (const std::optional<TlsAttempt>& attempt : {std::optional<TlsAttempt>(TlsAttempt()), {}}) {
    const auto event = event_of(about, attempt, {"mx.a.example", "192.0.2.1", 25}, "");
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event->result, TlsResult::sts_policy_fetch_error);
    EXPECT_EQ(event->reason, "status 404");
  }
}

TEST(TlsEvents, NothingHappenedAndNothingIsSaid) {
  EXPECT_FALSE(event_of(subject(), std::nullopt, {}, ""));
}

} // namespace
} // namespace postrider::smtpclient
