// SPDX-License-Identifier: MIT
#include "tls/priority.hpp"

#include <algorithm>
#include <cstdio>
#include <gmock/gmock.h>
#include <gnutls/gnutls.h>
#include <gtest/gtest.h>
#include <set>

#include "base/ascii.hpp"
#include "tls/cipher_suites.hpp"

namespace postrider::tls {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string version_name(gnutls_protocol_t version) { return gnutls_protocol_get_name(version); }

// What GnuTLS offers with a priority string: the library itself is asked.
struct Offered {
  std::set<std::string> suites;
  std::set<std::string> versions;
};

Offered offered(const std::string& text) {
  gnutls_priority_t priority = nullptr;
  const char* at = nullptr;
  EXPECT_EQ(gnutls_priority_init(&priority, text.c_str(), &at), 0) << text << " at " << at;
  Offered result;
  for (unsigned i = 0;; ++i) {
    unsigned index = 0;
    const int code = gnutls_priority_get_cipher_suite_index(priority, i, &index);
    if (code == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) break;
    if (code < 0) continue;
    unsigned char id[2];
    if (gnutls_cipher_suite_info(index, id, nullptr, nullptr, nullptr, nullptr) == nullptr)
      continue;
    const std::string_view name = suite_name(static_cast<std::uint16_t>(id[0] << 8 | id[1]));
    EXPECT_NE(name, "") << "a suite that the table has not: " << int(id[0]) << ' ' << int(id[1]);
    result.suites.emplace(name);
  }
  const unsigned* list = nullptr;
  const int count = gnutls_priority_protocol_list(priority, &list);
  for (int i = 0; i < count; ++i)
    result.versions.insert(version_name(static_cast<gnutls_protocol_t>(list[i])));
  gnutls_priority_deinit(priority);
  return result;
}

bool is_in(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

Offered offered(const CipherRequest& request) {
  const Result<Translation> made = translate(request);
  EXPECT_TRUE(made.ok()) << (made ? "" : made.error().text());
  return made ? offered(made->priority) : Offered{};
}

std::string error_of(const CipherRequest& request) {
  const Result<Translation> made = translate(request);
  return made ? "accepted: " + made->priority : made.error().text();
}

TEST(CipherSuites, TheTableHasEverySuiteThatGnutlsHasForUs) {
  std::size_t found = 0;
  for (unsigned index = 0;; ++index) {
    unsigned char id[2];
    gnutls_kx_algorithm_t kx;
    const char* name = gnutls_cipher_suite_info(index, id, &kx, nullptr, nullptr, nullptr);
    if (name == nullptr) break;
    const std::string text = name;
    const bool left_out =
        text.find("PSK") != std::string::npos || text.find("SRP") != std::string::npos ||
        text.find("DSS") != std::string::npos || text.find("GOST") != std::string::npos;
    const auto code = static_cast<std::uint16_t>(id[0] << 8 | id[1]);
    EXPECT_EQ(suite_name(code).empty(), left_out) << text;
    if (!left_out) ++found;
  }
  EXPECT_EQ(found, all_suites().size());
}

// Each suite alone must be what GnuTLS makes of its parts: the table's facts are the library's.
TEST(CipherSuites, PartsOfEachSuiteAreThoseOfGnutls) {
  for (const Suite& suite : all_suites()) {
    CipherRequest request;
    request.cipherlist = std::string(suite.name);
    if (suite.ver == Ver::tls13) {
      request.cipherlist = "ALL";
      request.protocols = "TLSv1.3";
      for (const Suite& other : all_suites())
        if (other.ver == Ver::tls13 && other.code != suite.code)
          request.exclude.emplace_back(other.name);
    } else {
      request.protocols = "<=TLSv1.2";
    }
    EXPECT_THAT(offered(request).suites, ElementsAre(std::string(suite.name)));
  }
}

struct ExclusionCase {
  std::string_view name, grade, list;
};
class ExcludedSuites : public testing::TestWithParam<ExclusionCase> {};

// The promise of this module, over every suite and word there is.
TEST_P(ExcludedSuites, NeverComeBack) {
  std::vector<std::string> words;
  for (const Suite& suite : all_suites())
    words.emplace_back(suite.name);
  for (const char* word : {"aNULL",   "eNULL",    "RC4",       "3DES",       "DES",
                           "MD5",     "SHA1",     "kRSA",      "kDHE",       "kECDHE",
                           "aRSA",    "aECDSA",   "AES128",    "AES256",     "AESGCM",
                           "AESCCM",  "CHACHA20", "CAMELLIA",  "ARIA",       "SSLv3",
                           "EXPORT",  "LOW",      "SEED",      "IDEA",       "PSK",
                           "SRP",     "kDH",      "kDHE+AES",  "aNULL+DH",   "CBC",
                           "TLSv1.2", "TLSv1",    "SHA1+kRSA", "AES+SHA256", "ECDHE+AES128+aRSA"})
    words.emplace_back(word);
  for (const std::string& word : words) {
    CipherRequest request;
    request.grade = GetParam().grade;
    request.cipherlist = GetParam().list;
    request.exclude = {word};
    const Result<Translation> made = translate(request);
    if (!made) {
      EXPECT_THAT(made.error().text(), HasSubstr("no cipher is left")) << word;
      continue;
    }
    const Offered left = offered(made->priority);
    EXPECT_THAT(left.suites, Not(IsEmpty()));
    const auto out = suites_of(word);
    ASSERT_TRUE(out.ok()) << word;
    for (const Suite* suite : *out)
      EXPECT_FALSE(left.suites.contains(std::string(suite->name)))
          << word << " leaves " << suite->name;
    // What is gone beyond that is said.
    request.exclude.clear();
    std::set<std::string> all = offered(request).suites;
    for (const Suite* suite : *out)
      all.erase(std::string(suite->name));
    for (const std::string& name : all)
      EXPECT_TRUE(left.suites.contains(name) || is_in(made->lost, name)) << word << ", " << name;
  }
}
INSTANTIATE_TEST_SUITE_P(Grades, ExcludedSuites,
                         testing::ValuesIn<ExclusionCase>({
                             {"High", "high", ""},
                             {"Medium", "medium", ""},
                             {"Everything", "medium", "ALL:eNULL"},
                         }),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(Priority, OneSuiteOutTakesNoMoreThanItMust) {
  CipherRequest request;
  request.exclude = {"aNULL", "AES256-SHA"};
  const Offered left = offered(request);
  EXPECT_TRUE(left.suites.contains("ECDHE-RSA-AES256-GCM-SHA384"));
  EXPECT_TRUE(left.suites.contains("ECDHE-RSA-AES128-SHA"));
  EXPECT_TRUE(left.suites.contains("TLS_AES_256_GCM_SHA384"));
  const Result<Translation> made = translate(request);
  ASSERT_TRUE(made.ok());
  EXPECT_THAT(made->lost, Not(IsEmpty()));
}

TEST(Priority, WordsForWholePartsLoseNothingElse) {
  for (const char* word : {"RC4", "kRSA", "aNULL", "AES128", "CAMELLIA", "SHA1", "kDHE", "MD5",
                           "CHACHA20", "aECDSA", "AESCCM", "3DES", "SEED", "PSK", "EXPORT"}) {
    CipherRequest request;
    request.exclude = {word};
    const Result<Translation> made = translate(request);
    ASSERT_TRUE(made.ok());
    EXPECT_THAT(made->lost, IsEmpty()) << word << ": " << made->priority;
  }
}

TEST(Priority, GradesDiffer) {
  CipherRequest high;
  high.grade = "high";
  CipherRequest null;
  null.grade = "null";
  EXPECT_TRUE(offered(high).suites.contains("TLS_AES_128_GCM_SHA256"));
  EXPECT_FALSE(offered(high).suites.contains("RC4-SHA"));
  EXPECT_THAT(offered(null).suites,
              ElementsAre("ECDHE-ECDSA-NULL-SHA", "ECDHE-RSA-NULL-SHA", "NULL-SHA", "NULL-SHA256"));
  for (const char* grade : {"low", "export", "MEDIUM"}) {
    CipherRequest same;
    same.grade = grade;
    EXPECT_EQ(to_priority(same).value(), to_priority(CipherRequest{}).value());
  }
  CipherRequest unknown;
  unknown.grade = "best";
  EXPECT_THAT(error_of(unknown), HasSubstr("no such grade of ciphers: best"));
}

TEST(Priority, ListsThatPostfixHasHadAreTaken) {
  for (const char* list :
       {"aNULL:-aNULL:HIGH:@STRENGTH", "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH", "eNULL:!aNULL",
        "ALL:!EXPORT:!LOW:+RC4:@STRENGTH", "ALL:!EXPORT:!LOW:!MEDIUM:+RC4:@STRENGTH",
        "ALL:+RC4:@STRENGTH", "DEFAULT",
        "HIGH:MEDIUM:!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:"
        "!aDSS:!MD5",
        "aNULL:-aNULL:ALL:!EXPORT:!LOW:!MEDIUM:+RC4:@STRENGTH"}) {
    CipherRequest request;
    request.cipherlist = list;
    EXPECT_TRUE(translate(request).ok()) << list << ": " << error_of(request);
  }
}

TEST(Priority, TheOrderOfTheListIsThatOfTheParts) {
  CipherRequest request;
  request.cipherlist = "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256";
  const std::string text = to_priority(request).value();
  EXPECT_LT(text.find("CHACHA20"), text.find("AES-128-GCM"));
  EXPECT_THAT(offered(request).suites,
              ElementsAre("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305",
                          "TLS_AES_128_CCM_8_SHA256", "TLS_AES_128_CCM_SHA256",
                          "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"));
  EXPECT_THAT(offered(request).versions, ElementsAre("TLS1.2", "TLS1.3"))
      << "before TLS 1.2 there is no suite for this list";
}

// Old configurations name them; a half of such a name is no name.
TEST(Priority, SuitesThatAreNeverOfferedMayBeNamed) {
  for (const char* name :
       {"DES-CBC-SHA", "DH-DSS-CAMELLIA128-SHA", "DH-RSA-AES128-GCM-SHA256", "DHE-PSK-NULL-SHA",
        "DHE-RSA-SEED-SHA", "ECDH-ECDSA-DES-CBC3-SHA", "EDH-RSA-DES-CBC-SHA", "EXP-RC2-CBC-MD5",
        "PSK-CAMELLIA128-SHA256", "RSA-PSK-3DES-EDE-CBC-SHA", "SRP-RSA-AES-256-CBC-SHA"}) {
    CipherRequest request;
    request.exclude = {name};
    ASSERT_TRUE(translate(request).ok()) << error_of(request);
    EXPECT_EQ(to_priority(request).value(), to_priority(CipherRequest{}).value()) << name;
  }
  for (const char* half : {"DES-", "CBC-SHA", "DH-RSA-", "AES-256-CBC-SHA"}) {
    CipherRequest request;
    request.exclude = {half};
    EXPECT_THAT(error_of(request), HasSubstr("no such cipher or property: ")) << half;
  }
}

struct WordCase {
  std::string_view name, word, error;
};
class BadWords : public testing::TestWithParam<WordCase> {};
TEST_P(BadWords, AreNamedWithTheNearest) {
  CipherRequest request;
  request.exclude = {std::string(GetParam().word)};
  EXPECT_THAT(error_of(request), HasSubstr(std::string(GetParam().error)));
}
INSTANTIATE_TEST_SUITE_P(
    Exclusions, BadWords,
    testing::ValuesIn<WordCase>({
        {"Typo", "RC5X", "no such cipher or property: RC5X; the nearest is RC5"},
        {"Case", "anull", "no such cipher or property: anull; the nearest is aNULL"},
        {"InSum", "kDHE+EAS", "no such cipher or property: EAS; the nearest is"},
        {"Suite", "ECDHE-RSA-AES128-GCM-SHA265", "the nearest is ECDHE-RSA-AES128-GCM-SHA256"},
        {"Operator", "!RC4", "without \"!\": !RC4"},
        {"LonelyPlus", "+", "without \"+\""},
        {"Level", "@SECLEVEL=2", "without \"@\""},
    }),
    [](const auto& i) { return std::string(i.param.name); });

TEST(Priority, ListsWithWordsThatMeanNothingAreErrors) {
  for (const auto& [list, error] : std::vector<std::pair<std::string, std::string>>{
           {"HIGH:!aNUL", "no such cipher or property: aNUL"},
           {"HIGH:@SECLEVEL=2", "cannot be translated: @SECLEVEL=2"},
           {"HIGH:@STRENTH", "cannot be translated: @STRENTH"},
           {"SEED:IDEA", "no cipher is left"}}) {
    CipherRequest request;
    request.cipherlist = list;
    request.protocols = "<=TLSv1.2";
    EXPECT_THAT(error_of(request), HasSubstr(error));
  }
}

struct ProtocolCase {
  std::string_view name, text, versions; // or the error
};
class Protocols : public testing::TestWithParam<ProtocolCase> {};
TEST_P(Protocols, AreRead) {
  CipherRequest request;
  request.protocols = GetParam().text;
  const Result<Translation> made = translate(request);
  if (!made) {
    EXPECT_THAT(made.error().text(), HasSubstr(std::string(GetParam().versions)));
    return;
  }
  std::string versions;
  for (const std::string& version : offered(made->priority).versions)
    versions += (versions.empty() ? "" : " ") + version.substr(3);
  EXPECT_EQ(versions, GetParam().versions);
}
INSTANTIATE_TEST_SUITE_P(Forms, Protocols,
                         testing::ValuesIn<ProtocolCase>({
                             {"None", "", "1.0 1.1 1.2 1.3"},
                             {"PostfixNow", ">=TLSv1", "1.0 1.1 1.2 1.3"},
                             {"PostfixBefore", "!SSLv2, !SSLv3", "1.0 1.1 1.2 1.3"},
                             {"PostfixLongAgo", "!SSLv2", "1.0 1.1 1.2 1.3"},
                             {"Range", ">=TLSv1.2, <=TLSv1.3", "1.2 1.3"},
                             {"WithSpace", ">= TLSv1.2", "1.2 1.3"},
                             {"Hex", ">=0x0303 <=0x0303", "1.2"},
                             {"Decimal", "<=770", "1.0 1.1"},
                             {"Future", "<=0x0305", "1.0 1.1 1.2 1.3"},
                             {"Excluded", "!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", "1.2 1.3"},
                             {"Named", "TLSv1.2", "1.2"},
                             {"HoleThatGnutlsCloses", "TLSv1.3 TLSv1.1", "1.1"},
                             {"Hole", "TLSv1 TLSv1.2", "1.0 1.2"},
                             {"AnyCase", "tlsv1.3", "1.3"},
                             {"OldOnes", "SSLv3, TLSv1", "1.0"},
                             {"OnlyOld", "SSLv3", "no TLS version is left by \"SSLv3\""},
                             {"Empty", ">=TLSv1.3, <=TLSv1.2", "no TLS version is left"},
                             {"TooNew", ">=0x0305", "no TLS version is left"},
                             {"Unknown", "TLSv1.4",
                              "no such TLS version: TLSv1.4; there are TLSv1,"},
                             {"UnknownOut", "!TLS1", "no such TLS version: TLS1"},
                             {"LonelySign", ">=", "no such TLS version: "},
                             {"BadHex", ">=0x03zz", "no such TLS version: 0x03zz"},
                         }),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(Priority, ExclusionsReachTls13) {
  CipherRequest request;
  request.exclude = {"AES256"};
  const Offered left = offered(request);
  EXPECT_FALSE(left.suites.contains("TLS_AES_256_GCM_SHA384"));
  EXPECT_TRUE(left.suites.contains("TLS_AES_128_GCM_SHA256"));
  CipherRequest none;
  none.protocols = "TLSv1.3";
  none.exclude = {"AES", "CHACHA20"};
  EXPECT_THAT(error_of(none), HasSubstr("no cipher is left"));
}

TEST(Priority, NativeStringsKeepTheVersions) {
  CipherRequest request;
  request.native = "SECURE192:+VERS-TLS1.0";
  request.protocols = ">=TLSv1.2";
  EXPECT_EQ(to_priority(request).value(), "SECURE192:+VERS-TLS1.0:-VERS-TLS1.0:-VERS-TLS1.1");
  EXPECT_THAT(offered(request).versions, Not(Contains("TLS1.0")));
  request.protocols = "";
  EXPECT_EQ(to_priority(request).value(), request.native);
}

TEST(Priority, NativeStringsAreTried) {
  CipherRequest request;
  request.native = "NORMAL:+RC5-SHA:-VERS-ALL";
  EXPECT_THAT(error_of(request), HasSubstr("at \"+RC5-SHA\""));
  request.native = "NONE";
  EXPECT_THAT(error_of(request), HasSubstr("GnuTLS refuses \"NONE\""));
  request.native = "NONE:+VERS-TLS1.2:+AES-256-GCM:+AEAD:+ECDHE-RSA:+SIGN-ALL:+GROUP-ALL";
  EXPECT_TRUE(translate(request).ok()) << error_of(request);
  request.protocols = "TLSv1.3";
  EXPECT_THAT(error_of(request), HasSubstr("GnuTLS"));
}

// OpenSSL itself says what its lists mean, where it is installed; it was built without RC4 and
// 3DES, and says nothing about suites that it has not.
TEST(CipherLists, MeanWhatOpensslSays) {
  std::set<std::string> known;
  const auto ask = [](const std::string& list) {
    std::vector<std::string> names;
    FILE* pipe = popen(("openssl ciphers '" + list + ":@SECLEVEL=0' 2>/dev/null").c_str(), "r");
    std::string text;
    for (int c = 0; pipe != nullptr && (c = fgetc(pipe)) != EOF;)
      text.push_back(static_cast<char>(c));
    if (pipe != nullptr) pclose(pipe);
    for (const std::string_view name : split(text, ":\n"))
      names.emplace_back(name);
    return names;
  };
  for (const std::string& name : ask("ALL:eNULL"))
    if (!name.starts_with("TLS_")) known.insert(name);
  if (known.empty()) GTEST_SKIP() << "no openssl";
  for (const char* list : {"ALL",
                           "DEFAULT",
                           "HIGH",
                           "eNULL",
                           "aNULL",
                           "kRSA",
                           "aRSA",
                           "ECDHE",
                           "kECDHE",
                           "DHE",
                           "kDHE",
                           "aECDSA",
                           "AES128",
                           "AESCCM",
                           "AESCCM8",
                           "AESGCM",
                           "CAMELLIA",
                           "CHACHA20",
                           "CBC",
                           "SHA1",
                           "SHA256",
                           "SHA384",
                           "SSLv3",
                           "TLSv1",
                           "TLSv1.2",
                           "aNULL:-aNULL:HIGH:@STRENGTH",
                           "ALL:!aNULL:+SHA1",
                           "ECDHE+AESGCM:DHE+AESGCM:RSA",
                           "HIGH:-kRSA:kRSA+AES",
                           "ALL:+ECDHE:-DHE:!SHA1:@STRENGTH",
                           "AES128-SHA:AES256-SHA:+AES128-SHA",
                           "COMPLEMENTOFDEFAULT",
                           "ALL:COMPLEMENTOFALL",
                           "CAMELLIA+aRSA+DHE:-CAMELLIA128:AES"}) {
    std::vector<std::string> expected;
    for (const std::string& name : ask(list))
      if (std::any_of(all_suites().begin(), all_suites().end(),
                      [&](const Suite& s) { return s.name == name && s.ver != Ver::tls13; }))
        expected.push_back(name);
    const auto chosen = choose(list);
    ASSERT_TRUE(chosen.ok()) << chosen.error().text();
    std::vector<std::string> names;
    for (const Suite* suite : *chosen)
      if (known.contains(std::string(suite->name))) names.emplace_back(suite->name);
    EXPECT_EQ(names, expected) << list;
  }
}

} // namespace
} // namespace postrider::tls
