// SPDX-License-Identifier: MIT
#include "smtpclient/dane.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fake_dns.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Records = DaneFacts::Records;
constexpr auto kDane = TlsLevel::dane;
constexpr auto kOnly = TlsLevel::dane_only;

const tls::TlsaRecord kGood{3, 1, 1, std::string(32, 'x')};
const tls::TlsaRecord kShort{3, 1, 1, "x"};

// ---- the decision -------------------------------------------------------------------------------

struct Case {
  std::string_view name;
  TlsLevel asked;
  bool by_mx, mx_secure;
  TlsLevel insecure_mx;
  Records records;
  std::vector<tls::TlsaRecord> tlsa;
  std::string_view result; // level in force, perhaps "half", or "refused: why"
};

class Decisions : public testing::TestWithParam<Case> {};
TEST_P(Decisions, AreThoseOfPostfix) {
  const Case& c = GetParam();
  DaneFacts facts;
  facts.by_mx = c.by_mx;
  facts.mx_secure = c.mx_secure;
  facts.host = facts.base = "mx.example";
  facts.bases = {"mx.example"};
  facts.port = 25;
  facts.records = c.records;
  facts.tlsa = c.tlsa;
  facts.reason = "SERVFAIL";
  TlsOptions options;
  options.insecure_mx_level = c.insecure_mx;
  const Dane dane = decide_dane(c.asked, options, facts);
  std::string result(to_string(dane.level));
  if (dane.half && dane.level == kDane) result += " half";
  if (!dane.refusal.empty()) result = "refused: " + dane.refusal;
  EXPECT_EQ(result, c.result);
  EXPECT_EQ(dane.level == kDane && dane.refusal.empty(), !dane.records.empty());
  EXPECT_EQ(dane.why.empty(), dane.level == kDane && dane.refusal.empty());
}
constexpr auto kMay = TlsLevel::may;
constexpr auto kEncrypt = TlsLevel::encrypt;
INSTANTIATE_TEST_SUITE_P(
    All, Decisions,
    testing::ValuesIn<Case>({
        {"Good", kDane, true, true, kMay, Records::found, {kGood}, "dane"},
        {"GoodOnly", kOnly, true, true, kMay, Records::found, {kGood}, "dane"},
        {"GoodHost", kDane, false, false, kMay, Records::found, {kGood}, "dane"},
        {"GoodHostOnly", kOnly, false, false, kMay, Records::found, {kGood}, "dane"},
        {"SomeUsable", kDane, true, true, kMay, Records::found, {kShort, kGood}, "dane"},
        {"None", kDane, true, true, kMay, Records::none, {}, "may"},
        {"NoneOnly", kOnly, true, true, kMay, Records::none, {}, "refused: no TLSA records found"},
        {"Unusable", kDane, true, true, kMay, Records::found, {kShort}, "encrypt"},
        {"UnusableOnly",
         kOnly,
         true,
         true,
         kMay,
         Records::found,
         {kShort},
         "refused: TLSA records unusable"},
        {"Failed",
         kDane,
         true,
         true,
         kMay,
         Records::failed,
         {},
         "refused: TLSA lookup error for mx.example:25"},
        {"FailedOnly",
         kOnly,
         true,
         true,
         kMay,
         Records::failed,
         {},
         "refused: TLSA lookup error for mx.example:25"},
        {"InsecureMxMay", kDane, true, false, kMay, Records::found, {kGood}, "may"},
        {"InsecureMxNone", kDane, true, false, TlsLevel::none, Records::found, {kGood}, "may"},
        {"InsecureMxEncrypt", kDane, true, false, kEncrypt, Records::found, {kGood}, "encrypt"},
        {"InsecureMxEncryptNoRecords", kDane, true, false, kEncrypt, Records::none, {}, "may"},
        {"InsecureMxDane", kDane, true, false, kDane, Records::found, {kGood}, "dane half"},
        {"InsecureMxDaneUnusable", kDane, true, false, kDane, Records::found, {kShort}, "encrypt"},
        {"InsecureMxDaneFailed",
         kDane,
         true,
         false,
         kDane,
         Records::failed,
         {},
         "refused: TLSA lookup error for mx.example:25"},
        {"InsecureMxOnly",
         kOnly,
         true,
         false,
         kDane,
         Records::found,
         {kGood},
         "refused: non DNSSEC destination"},
    }),
    [](const auto& i) { return std::string(i.param.name); });

// ---- the look-ups -------------------------------------------------------------------------------

constexpr std::string_view kHex =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

std::string zone() {
  const std::string record = " TLSA 3 1 1 " + std::string(kHex);
  return R"(
signed.example          MX 10 mx.signed.example SECURE
mx.signed.example       A 192.0.2.1 SECURE
_25._tcp.mx.signed.example)" +
         record + R"( SECURE
unsigned.example        MX 10 mx.signed.example
loose.example           MX 10 mx.loose.example SECURE
mx.loose.example        A 192.0.2.2
_25._tcp.mx.loose.example)" +
         record + R"( SECURE
forged.example          MX 10 mx.forged.example SECURE
mx.forged.example       A 192.0.2.3 SECURE
_25._tcp.mx.forged.example)" +
         record + R"(
bare.example            A 192.0.2.4 SECURE
broken.example          MX 10 mx.broken.example SECURE
mx.broken.example       A 192.0.2.5 SECURE
_25._tcp.mx.broken.example TEMPORARY SERVFAIL
bogus.example           MX 10 mx.bogus.example SECURE
mx.bogus.example        A 192.0.2.6 SECURE
_25._tcp.mx.bogus.example BOGUS
alias.example           CNAME mx.signed.example SECURE
lonely.example          CNAME bare.example SECURE
_25._tcp.lonely.example)" +
         record + R"( SECURE
outward.example         CNAME mx.loose.example SECURE
_25._tcp.outward.example)" +
         record + R"( SECURE
drifting.example        CNAME mx.loose.example
_25._tcp.drifting.example)" +
         record + R"( SECURE
_2525._tcp.mx.signed.example)" +
         record + " SECURE\n";
}

class DaneLookups : public testing::Test {
 protected:
  DaneLookups() {
    options_.dnssec = true;
    options_.lookup_dns = true;
    options_.randomize = false;
  }
  DaneFacts facts(std::string_view nexthop, TlsLevel level = kDane) {
    const auto hops = parse_nexthops(nexthop, options_);
    EXPECT_TRUE(hops.ok());
    const Nexthop hop = hops->front();
    TargetFinder finder(loop_, dns_, nullptr, options_, [](const net::Address&) { return true; });
    const Targets targets = test::run_task<Targets>(loop_, [&] { return finder.find(hop); });
    EXPECT_FALSE(targets.endpoints.empty()) << nexthop;
    if (targets.endpoints.empty()) return {};
    const Endpoint endpoint = targets.endpoints.front();
    return test::run_task<DaneFacts>(
        loop_, [&] { return find_dane_facts(loop_, dns_, options_, level, hop, endpoint); });
  }
  Dane decided(std::string_view nexthop) {
    return decide_dane(kDane, options_.tls, facts(nexthop));
  }
  bool asked_for_tlsa() const {
    for (const std::string& question : dns_.asked())
      if (question.starts_with("TLSA ")) return true;
    return false;
  }

  ev::Loop loop_;
  Options options_;
  test::FakeDns dns_{loop_, zone()};
};

TEST_F(DaneLookups, ASignedDomain) {
  const DaneFacts f = facts("signed.example");
  EXPECT_TRUE(f.by_mx && f.mx_secure);
  EXPECT_EQ(f.records, Records::found);
  EXPECT_THAT(dns_.asked(), Contains("TLSA _25._tcp.mx.signed.example"));
  const Dane dane = decide_dane(kDane, options_.tls, f);
  EXPECT_EQ(dane.level, kDane);
  EXPECT_EQ(dane.server_name, "mx.signed.example");
  EXPECT_THAT(dane.names, ElementsAre("mx.signed.example", "signed.example"));
}

TEST_F(DaneLookups, AHostInBracketsAndAnotherPort) {
  const Dane dane = decided("[mx.signed.example]:2525");
  EXPECT_EQ(dane.level, kDane);
  EXPECT_THAT(dane.names, ElementsAre("mx.signed.example"));
  EXPECT_THAT(dns_.asked(), Contains("TLSA _2525._tcp.mx.signed.example"));
}

TEST_F(DaneLookups, UnsignedAddressesAreNotAskedFor) {
  EXPECT_EQ(decided("loose.example").level, TlsLevel::may);
  EXPECT_FALSE(asked_for_tlsa());
  options_.tls.insecure_host_tlsa = true; // smtp_tls_force_insecure_host_tlsa_lookup
  EXPECT_EQ(decided("loose.example").level, kDane);
}

TEST_F(DaneLookups, UnsignedMxRecords) {
  options_.tls.insecure_mx_level = TlsLevel::may;
  EXPECT_EQ(decided("unsigned.example").level, TlsLevel::may);
  EXPECT_FALSE(asked_for_tlsa()) << "whatever they are, they do not count";
  options_.tls.insecure_mx_level = kDane;
  EXPECT_TRUE(decided("unsigned.example").half);
}

TEST_F(DaneLookups, UnsignedRecordsAreNone) {
  EXPECT_EQ(facts("forged.example").records, Records::none);
  EXPECT_EQ(decided("forged.example").level, TlsLevel::may);
}

TEST_F(DaneLookups, NoRecords) { EXPECT_EQ(decided("bare.example").why, "no TLSA records found"); }

TEST_F(DaneLookups, FailuresAreNotTakenForNone) {
  for (const char* name : {"broken.example", "bogus.example"}) {
    const Dane dane = decided(name);
    EXPECT_THAT(dane.refusal, HasSubstr("TLSA lookup error for mx.")) << name;
  }
  EXPECT_EQ(facts("bogus.example").reason, "DNSSEC validation failed");
}

// RFC 7672 section 2.2.2 and 2.2.3.
TEST_F(DaneLookups, ASignedAliasLeadsToTheNameAtItsEnd) {
  const Dane dane = decided("[alias.example]");
  EXPECT_EQ(dane.server_name, "mx.signed.example");
  EXPECT_THAT(dane.names, ElementsAre("mx.signed.example", "alias.example"));
}

TEST_F(DaneLookups, WithoutRecordsThereTheAliasItselfIsAsked) {
  const Dane dane = decided("[lonely.example]");
  EXPECT_EQ(dane.server_name, "lonely.example");
  EXPECT_THAT(dns_.asked(), Contains("TLSA _25._tcp.bare.example"));
}

TEST_F(DaneLookups, ASignedAliasOfAnUnsignedHostIsAskedItself) {
  const Dane dane = decided("[outward.example]");
  EXPECT_EQ(dane.level, kDane);
  EXPECT_EQ(dane.server_name, "outward.example");
  EXPECT_EQ(decided("[drifting.example]").level, TlsLevel::may) << "the alias is unsigned as well";
}

TEST_F(DaneLookups, AddressesHaveNoRecords) {
  EXPECT_EQ(decided("[192.0.2.1]").level, TlsLevel::may);
  EXPECT_FALSE(asked_for_tlsa());
}

TEST_F(DaneLookups, WhatStandsInTheWay) {
  struct {
    std::string_view word;
    void (*set)(Options&);
  } const cases[] = {
      {"smtp_dns_support_level", [](Options& o) { o.dnssec = false; }},
      {"ignore_mx_lookup_error", [](Options& o) { o.ignore_mx_lookup_error = true; }},
      {"smtp_dns_resolver_options", [](Options& o) { o.complete_names = true; }},
      {"smtp_dns_resolver_options", [](Options& o) { o.search_parents = true; }},
  };
  EXPECT_EQ(dane_hindrance(options_), "");
  for (const auto& c : cases) {
    const Options before = options_;
    c.set(options_);
    EXPECT_THAT(dane_hindrance(options_), HasSubstr(std::string(c.word)));
    const DaneFacts f = facts("signed.example");
    EXPECT_EQ(decide_dane(kDane, options_.tls, f).level, TlsLevel::may);
    EXPECT_EQ(decide_dane(kOnly, options_.tls, f).refusal, "client TLS configuration problem");
    options_ = before;
  }
  EXPECT_FALSE(asked_for_tlsa());
}

TEST_F(DaneLookups, ReasonsAreSaid) {
  EXPECT_THAT(dane_reasons(facts("signed.example"), options_.tls),
              ElementsAre("the MX records are signed",
                          "_25._tcp.mx.signed.example TLSA 3 1 1 " + std::string(kHex)));
  EXPECT_THAT(dane_reasons(facts("loose.example"), options_.tls),
              ElementsAre("the MX records are signed",
                          "the addresses of mx.loose.example are not signed: no TLSA records are "
                          "looked for"));
  EXPECT_THAT(dane_reasons(facts("broken.example"), options_.tls),
              Contains("_25._tcp.mx.broken.example: TLSA look-up failed: SERVFAIL"));
  EXPECT_THAT(dane_reasons(facts("bare.example"), options_.tls),
              ElementsAre("_25._tcp.bare.example has no signed TLSA records"));
}

} // namespace
} // namespace postrider::smtpclient
