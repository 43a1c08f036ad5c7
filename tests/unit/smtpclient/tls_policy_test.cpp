// SPDX-License-Identifier: MIT
// Entries of policy tables, their keys, and what they come to.
#include "smtpclient/tls_policy.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace postrider::smtpclient {
namespace {

using Keys = std::vector<std::string>;
using Words = std::vector<std::string>;
using Proof = tls::Expectation::Proof;

// "level; attributes", or what is wrong.
std::string shown(const Result<PolicyEntry>& entry) {
  if (!entry) return entry.error().text();
  std::string out(to_string(entry->level));
  const auto add = [&](std::string_view name, const std::string& value) {
    out += "; " + std::string(name) + "=" + value;
  };
  if (entry->ciphers) add("ciphers", *entry->ciphers);
  if (entry->exclude) add("exclude", *entry->exclude);
  if (entry->protocols) add("protocols", *entry->protocols);
  if (entry->server_name) add("servername", *entry->server_name);
  for (const std::string& one : entry->match)
    add("match", one);
  for (const std::string& one : entry->anchor_files)
    add("tafile", one);
  if (entry->reuse) add("reuse", *entry->reuse ? "yes" : "no");
  if (entry->wrapper) add("wrapper", *entry->wrapper ? "yes" : "no");
  for (const std::string& one : entry->ignored)
    add("ignored", one);
  return out;
}

TEST(PolicyEntries, AreRead) {
  const struct {
    std::string text, outcome;
  } cases[] = {
      {"may", "may"},
      {"Encrypt", "encrypt"},
      {"none", "none"},
      {"none ciphers=high", "none; ignored=ciphers=high"},
      {"encrypt protocols=>=TLSv1.2 ciphers=high", "encrypt; ciphers=high; protocols=>=TLSv1.2"},
      {"encrypt { protocols = >=TLSv1.2, <=TLSv1.3 }, ciphers=high",
       "encrypt; ciphers=high; protocols=>=TLSv1.2, <=TLSv1.3"},
      {"encrypt exclude=RC4:kDHE+AES", "encrypt; exclude=RC4:kDHE+AES"},
      {"encrypt { exclude = RC4 DES }", "encrypt; exclude=RC4 DES"},
      {"may exclude=", "may; exclude="},
      {"secure match=nexthop:hostname:.example.com",
       "secure; match=nexthop; match=hostname; match=.example.com"},
      {"verify match=a.example match=b.example", "verify; match=a.example; match=b.example"},
      {"fingerprint match=AA:BB|CC:DD match=EE", "fingerprint; match=AA:BB; match=CC:DD; match=EE"},
      {"secure tafile=/etc/ta.pem tafile=/b.pem", "secure; tafile=/etc/ta.pem; tafile=/b.pem"},
      {"verify servername=sni.example", "verify; servername=sni.example"},
      {"verify servername=hostname", "verify; servername=hostname"},
      {"encrypt connection_reuse=no", "encrypt; reuse=no"},
      {"encrypt connection_reuse=no connection_reuse=YES", "encrypt; reuse=yes"},
      {"encrypt enable_rpk=yes", "encrypt"},
      {"encrypt wrappermode=yes", "encrypt; wrapper=yes"},
      {"secure policy_type=sts policy_ttl=86400 { policy_string = version: STSv1 } match=a.example",
       "secure; match=a.example"},
      {"", "invalid empty policy"},
      {" , ", "invalid empty policy"},
      {"encrypted", "invalid security level \"encrypted\""},
      {"sts", "invalid security level \"sts\""},
      {"encrypt ciphers", "malformed attribute/value pair \"ciphers\""},
      {"encrypt =high", "malformed attribute/value pair \"=high\""},
      {"encrypt { ciphers = high", "a '{' without its '}'"},
      {"encrypt ciphers=", "attribute \"ciphers\" has empty value"},
      {"encrypt ciphers=high ciphers=high", "attribute \"ciphers\" is specified multiple times"},
      {"encrypt protocols=a protocols=b", "attribute \"protocols\" is specified multiple times"},
      {"encrypt exclude=a exclude=b", "attribute \"exclude\" is specified multiple times"},
      {"encrypt servername=a.b servername=c.d",
       "attribute \"servername\" is specified multiple times"},
      {"encrypt match=nexthop", "attribute \"match\" invalid at security level \"encrypt\""},
      {"dane match=nexthop", "attribute \"match\" invalid at security level \"dane\""},
      {"may tafile=/a", "attribute \"tafile\" invalid at security level \"may\""},
      {"fingerprint tafile=/a", "attribute \"tafile\" invalid at security level \"fingerprint\""},
      {"verify match=", "attribute \"match\" has empty value"},
      {"secure tafile=", "attribute \"tafile\" has empty value"},
      {"verify servername=192.0.2.1", "\"servername=192.0.2.1\" specifies an invalid hostname"},
      {"verify servername=", "\"servername=\" specifies an invalid hostname"},
      {"encrypt connection_reuse=maybe", "attribute \"connection_reuse\" has bad value: \"maybe\""},
      {"encrypt enable_rpk=1", "attribute \"enable_rpk\" has bad value: \"1\""},
      {"encrypt chipers=high", "invalid attribute name: \"chipers\""},
  };
  for (const auto& one : cases)
    EXPECT_EQ(shown(parse_policy_entry(one.text)), one.outcome) << one.text;
}

TEST(PolicyKeys, AreThoseOfPostfix) {
  EXPECT_EQ(policy_keys("Mail.Example.COM"), (Keys{"mail.example.com", ".example.com", ".com"}));
  EXPECT_EQ(policy_keys("example"), Keys{"example"});
  EXPECT_EQ(policy_keys("[Mail.example.com]"), Keys{"[mail.example.com]"});
  EXPECT_EQ(policy_keys("[mail.example.com]:587"), Keys{"[mail.example.com]:587"});
  EXPECT_EQ(policy_keys("example.com:26"), Keys{"example.com:26"});
  EXPECT_EQ(policy_keys("[192.0.2.1]"), Keys{"[192.0.2.1]"});
  EXPECT_EQ(policy_keys("192.0.2.1"), Keys{"192.0.2.1"});
  EXPECT_EQ(policy_keys("/run/lmtp.sock"), Keys{"/run/lmtp.sock"});
}

TEST(PerSiteWords, AreCombinedAsPostfixDoes) {
  using enum TlsLevel;
  const struct {
    std::vector<std::string> found; // of the next hop, of the host
    TlsLevel parameter, outcome;
  } cases[] = {
      {{}, may, may},
      {{"NONE"}, verify, none},
      {{"none"}, may, none},
      {{"MAY"}, none, may},
      {{"MAY"}, encrypt, encrypt},
      {{"MUST_NOPEERMATCH"}, none, encrypt},
      {{"MUST_NOPEERMATCH"}, verify, encrypt},
      {{"MUST"}, none, verify},
      {{"NONE", "MAY"}, verify, none},
      {{"MAY", "NONE"}, verify, none},
      {{"MUST", "NONE"}, none, verify},
      {{"NONE", "MUST"}, none, verify},
      {{"MUST_NOPEERMATCH", "MUST"}, none, verify},
      {{"MUST", "MUST_NOPEERMATCH"}, none, verify},
      {{"MAY", "MUST_NOPEERMATCH"}, none, encrypt},
  };
  for (const auto& one : cases) {
    std::optional<TlsLevel> found;
    std::string shown;
    for (const std::string& word : one.found) {
      auto next = add_site_word(found, word);
      ASSERT_TRUE(next);
      found = *next;
      shown += word + " ";
    }
    EXPECT_EQ(to_string(site_level(one.parameter, found)), to_string(one.outcome))
        << shown << to_string(one.parameter);
  }
  EXPECT_EQ(add_site_word({}, "MUSTN'T").error().text(), "unknown TLS policy 'MUSTN'T'");
}

struct Given {
  TlsOptions options;
  std::optional<PolicyEntry> entry;
  explicit Given(const std::string& text = "") {
    options.secure_match = {"nexthop", "dot-nexthop"};
    options.verify_match = {"hostname"};
    options.exclude = {"RC4"};
    options.mandatory_exclude = {"3DES"};
    options.protocols = ">=TLSv1";
    options.mandatory_protocols = ">=TLSv1.2";
    options.ciphers = "medium";
    options.mandatory_ciphers = "high";
    options.high_list = "HIGH";
    options.medium_list = "MEDIUM";
    options.null_list = "eNULL";
    if (text.empty()) return;
    auto parsed = parse_policy_entry(text);
    EXPECT_TRUE(parsed) << text;
    entry = *parsed;
  }
  Result<TlsPolicy> made(TlsLevel level) const {
    return make_policy(options, level, entry ? &*entry : nullptr);
  }
  Result<TlsPolicy> made() const { return made(entry->level); }
};

TEST(Policies, TakeTheCiphersOfTheirLevel) {
  const Given given;
  const auto may = given.made(TlsLevel::may);
  ASSERT_TRUE(may);
  EXPECT_EQ(may->ciphers.grade, "medium");
  EXPECT_EQ(may->ciphers.cipherlist, "MEDIUM");
  EXPECT_EQ(may->ciphers.protocols, ">=TLSv1");
  EXPECT_EQ(may->ciphers.exclude, Words{"RC4"});
  const auto encrypt = given.made(TlsLevel::encrypt);
  ASSERT_TRUE(encrypt);
  EXPECT_EQ(encrypt->ciphers.grade, "high");
  EXPECT_EQ(encrypt->ciphers.cipherlist, "HIGH");
  EXPECT_EQ(encrypt->ciphers.protocols, ">=TLSv1.2");
  EXPECT_EQ(encrypt->ciphers.exclude, (Words{"RC4", "3DES", "eNULL"}));
  EXPECT_EQ(given.made(TlsLevel::verify)->ciphers.exclude, (Words{"RC4", "3DES", "aNULL"}));
}

TEST(Policies, TakeTheEntryInPlaceOfParameters) {
  Given given("encrypt ciphers=null exclude=DES:kDHE protocols=TLSv1.3 servername=sni.example "
              "connection_reuse=no wrappermode=yes");
  given.options.mandatory_priority = "NORMAL";
  given.options.server_name = "other.example";
  const auto policy = given.made();
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->ciphers.grade, "null");
  EXPECT_EQ(policy->ciphers.cipherlist, "eNULL");
  EXPECT_EQ(policy->ciphers.exclude, (Words{"DES", "kDHE", "eNULL"}));
  EXPECT_EQ(policy->ciphers.protocols, "TLSv1.3");
  EXPECT_EQ(policy->ciphers.native, "");
  EXPECT_EQ(policy->server_name, "sni.example");
  EXPECT_FALSE(policy->reuse);
  EXPECT_TRUE(policy->wrapper);
}

TEST(Policies, KeepTheNativePriorityWhereTheEntrySaysNothingOfCiphers) {
  Given given("encrypt protocols=TLSv1.3");
  given.options.mandatory_priority = "NORMAL";
  EXPECT_EQ(given.made()->ciphers.native, "NORMAL");
  EXPECT_EQ(given.made()->ciphers.protocols, "TLSv1.3");
}

TEST(Policies, AreRefusedWhenTheyCannotBeMet) {
  EXPECT_EQ(Given().made(TlsLevel::fingerprint).error().text(),
            "configured at fingerprint security level, but with no fingerprints to match");
  EXPECT_EQ(Given("may wrappermode=yes").made().error().text(),
            "wrapper mode requires the level encrypt (or stronger)");
  Given given;
  given.options.server_name = "192.0.2.1";
  EXPECT_EQ(given.made(TlsLevel::may).error().text(),
            "tls_servername = 192.0.2.1 specifies an invalid hostname");
  EXPECT_TRUE(given.made(TlsLevel::none));
}

TEST(Policies, ExpectNamesByWords) {
  const ServerNames names{"example.com", "mx.example.net"};
  const auto expected = [&](const Given& given, TlsLevel level) {
    return expectation_of(*given.made(level), given.options, names);
  };
  EXPECT_EQ(expected(Given(), TlsLevel::may).proof, Proof::none);
  EXPECT_EQ(expected(Given(), TlsLevel::encrypt).proof, Proof::none);
  EXPECT_EQ(expected(Given(), TlsLevel::verify).names, Words{"mx.example.net"});
  EXPECT_EQ(expected(Given(), TlsLevel::secure).names, (Words{"example.com", ".example.com"}));
  EXPECT_EQ(expected(Given("secure match=hostname:.a.example:b.example"), TlsLevel::secure).names,
            (Words{"mx.example.net", ".a.example", "b.example"}));
  Given prints;
  prints.options.fingerprints = {"AA:BB"};
  prints.options.fingerprint_digest = "sha512";
  const tls::Expectation print = expected(prints, TlsLevel::fingerprint);
  EXPECT_EQ(print.proof, Proof::fingerprint);
  EXPECT_EQ(print.fingerprints, Words{"AA:BB"});
  EXPECT_EQ(print.digest, "sha512");
}

TEST(Policies, SayTheServerNameThatWasAskedFor) {
  const auto said = [](const std::string& setting, const ServerNames& names) {
    Given given;
    given.options.server_name = setting;
    return server_name_of(*given.made(TlsLevel::may), names);
  };
  const ServerNames names{"example.com", "mx.example.net"};
  EXPECT_EQ(said("", names), "");
  EXPECT_EQ(said("sni.example", names), "sni.example");
  EXPECT_EQ(said("hostname", names), "mx.example.net");
  EXPECT_EQ(said("nexthop", names), "example.com");
  EXPECT_EQ(said("nexthop", {"192.0.2.1", "192.0.2.1"}), "");
  EXPECT_EQ(said("hostname", {"x", "2001:db8::1"}), "");
}

TEST(Policies, DifferInTheirDigestWhenTheyDiffer) {
  const std::vector<std::string> entries = {"none",           "may",
                                            "encrypt",        "encrypt ciphers=medium",
                                            "verify",         "encrypt protocols=TLSv1.3",
                                            "secure",         "encrypt exclude=AES",
                                            "verify match=a", "encrypt servername=a.example",
                                            "verify match=b", "verify tafile=/a",
                                            "dane",           "encrypt wrappermode=yes"};
  std::vector<std::string> digests;
  for (const std::string& entry : entries)
    digests.push_back(Given(entry).made()->digest);
  for (std::size_t i = 0; i < digests.size(); ++i)
    for (std::size_t j = 0; j < digests.size(); ++j)
      EXPECT_EQ(digests[i] == digests[j], i == j) << entries[i] << " and " << entries[j];
  EXPECT_EQ(Given("encrypt").made()->digest, Given().made(TlsLevel::encrypt)->digest);
}

} // namespace
} // namespace postrider::smtpclient
