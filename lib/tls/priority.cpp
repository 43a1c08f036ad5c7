// SPDX-License-Identifier: MIT
#include "tls/priority.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <gnutls/gnutls.h>
#include <memory>

#include "base/ascii.hpp"
#include "tls/cipher_suites.hpp"

namespace postrider::tls {
namespace {

// Postfix's, without what is weak or has no certificate that anybody uses.
constexpr std::string_view kWeak = "!SEED:!IDEA:!3DES:!RC2:!RC4:!RC5:!kDH:!kECDH:!aDSS:!MD5";
constexpr std::string_view kHighList = "aNULL:-aNULL:HIGH:@STRENGTH:";
constexpr std::string_view kMediumList = "aNULL:-aNULL:HIGH:MEDIUM:@STRENGTH:";
constexpr std::string_view kNullList = "eNULL:!aNULL:";

Error config_error(std::string text) { return Error(ErrorKind::config, std::move(text)); }

// ---- versions -----------------------------------------------------------------------------------

struct Version {
  std::string_view name;
  unsigned code;
  std::string_view gnutls; // empty: GnuTLS does not know it, so it is never offered
};
constexpr std::array kVersions = std::to_array<Version>({
    {"SSLv2", 0x0002, ""},
    {"SSLv3", 0x0300, ""},
    {"TLSv1", 0x0301, "VERS-TLS1.0"},
    {"TLSv1.1", 0x0302, "VERS-TLS1.1"},
    {"TLSv1.2", 0x0303, "VERS-TLS1.2"},
    {"TLSv1.3", 0x0304, "VERS-TLS1.3"},
});
constexpr unsigned kTls13 = 0x0304;

const Version* version_named(std::string_view name) {
  for (const Version& version : kVersions)
    if (iequals(version.name, name)) return &version;
  return nullptr;
}

Error unknown_version(std::string_view word) {
  return config_error("no such TLS version: " + std::string(word) +
                      "; there are TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3");
}

Result<unsigned> bound(std::string_view word) {
  if (const Version* version = version_named(word)) return version->code;
  unsigned code = 0;
  const bool hex = istarts_with(word, "0x");
  const std::string_view digits = hex ? word.substr(2) : word;
  const auto [end, failed] =
      std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
  if (failed != std::errc() || end != digits.data() + digits.size()) return unknown_version(word);
  return code;
}

// The codes of the versions that may be used, the newest last.
Result<std::vector<const Version*>> parse_versions(std::string_view text) {
  unsigned least = 0;
  unsigned most = UINT_MAX;
  std::vector<const Version*> named;
  std::vector<const Version*> excluded;
  const std::vector<std::string_view> words = split(text, ", \t\r\n:");
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    const bool is_least = word.starts_with(">=");
    if (is_least || word.starts_with("<=")) {
      word.remove_prefix(2);
      if (word.empty() && i + 1 < words.size()) word = words[++i];
      POSTRIDER_TRY(const unsigned code, bound(word));
      (is_least ? least : most) = code;
      continue;
    }
    const bool out = word.front() == '!';
    if (out) word.remove_prefix(1);
    const Version* version = version_named(word);
    if (version == nullptr) return unknown_version(word);
    (out ? excluded : named).push_back(version);
  }
  const auto is_in = [](const auto& list, const Version& v) {
    return std::find(list.begin(), list.end(), &v) != list.end();
  };
  std::vector<const Version*> left;
  for (const Version& v : kVersions)
    if (!v.gnutls.empty() && v.code >= least && v.code <= most && !is_in(excluded, v) &&
        (named.empty() || is_in(named, v)))
      left.push_back(&v);
  if (left.empty()) return config_error("no TLS version is left by \"" + std::string(text) + '"');
  return left;
}

// ---- parts of suites ----------------------------------------------------------------------------

// A key exchange, cipher or MAC, by the bits of cipher_suites.hpp.
struct Part {
  enum class Kind : std::uint8_t { kx, enc, mac };
  Kind kind;
  unsigned bit;
  std::string_view gnutls;
};
using Kind = Part::Kind;
constexpr std::array kParts = std::to_array<Part>({
    {Kind::kx, static_cast<unsigned>(Kx::rsa), "RSA"},
    {Kind::kx, static_cast<unsigned>(Kx::dhe_rsa), "DHE-RSA"},
    {Kind::kx, static_cast<unsigned>(Kx::ecdhe_rsa), "ECDHE-RSA"},
    {Kind::kx, static_cast<unsigned>(Kx::ecdhe_ecdsa), "ECDHE-ECDSA"},
    {Kind::kx, static_cast<unsigned>(Kx::dh_anon), "ANON-DH"},
    {Kind::kx, static_cast<unsigned>(Kx::ecdh_anon), "ANON-ECDH"},
    {Kind::enc, static_cast<unsigned>(Enc::none), "NULL"},
    {Kind::enc, static_cast<unsigned>(Enc::rc4), "ARCFOUR-128"},
    {Kind::enc, static_cast<unsigned>(Enc::triple_des), "3DES-CBC"},
    {Kind::enc, static_cast<unsigned>(Enc::aes128_cbc), "AES-128-CBC"},
    {Kind::enc, static_cast<unsigned>(Enc::aes256_cbc), "AES-256-CBC"},
    {Kind::enc, static_cast<unsigned>(Enc::camellia128_cbc), "CAMELLIA-128-CBC"},
    {Kind::enc, static_cast<unsigned>(Enc::camellia256_cbc), "CAMELLIA-256-CBC"},
    {Kind::enc, static_cast<unsigned>(Enc::aes128_gcm), "AES-128-GCM"},
    {Kind::enc, static_cast<unsigned>(Enc::aes256_gcm), "AES-256-GCM"},
    {Kind::enc, static_cast<unsigned>(Enc::aes128_ccm), "AES-128-CCM"},
    {Kind::enc, static_cast<unsigned>(Enc::aes256_ccm), "AES-256-CCM"},
    {Kind::enc, static_cast<unsigned>(Enc::aes128_ccm8), "AES-128-CCM-8"},
    {Kind::enc, static_cast<unsigned>(Enc::aes256_ccm8), "AES-256-CCM-8"},
    {Kind::enc, static_cast<unsigned>(Enc::camellia128_gcm), "CAMELLIA-128-GCM"},
    {Kind::enc, static_cast<unsigned>(Enc::camellia256_gcm), "CAMELLIA-256-GCM"},
    {Kind::enc, static_cast<unsigned>(Enc::chacha20), "CHACHA20-POLY1305"},
    {Kind::mac, static_cast<unsigned>(Mac::md5), "MD5"},
    {Kind::mac, static_cast<unsigned>(Mac::sha1), "SHA1"},
    {Kind::mac, static_cast<unsigned>(Mac::sha256), "SHA256"},
    {Kind::mac, static_cast<unsigned>(Mac::sha384), "SHA384"},
    {Kind::mac, static_cast<unsigned>(Mac::aead), "AEAD"},
});

unsigned bit_of(const Suite& suite, Kind kind) {
  switch (kind) {
  case Kind::kx: return static_cast<unsigned>(suite.kx);
  case Kind::enc: return static_cast<unsigned>(suite.enc);
  case Kind::mac: return static_cast<unsigned>(suite.mac);
  }
  return 0;
}

bool uses(const Suite& suite, const Part& part) { return bit_of(suite, part.kind) == part.bit; }

// What GnuTLS would offer with these parts is every suite made of them.
struct Offer {
  std::vector<const Part*> parts;
  bool tls12 = false; // a version before 1.3 is on
  bool tls13 = false;

  bool has(Kind kind, unsigned bit) const {
    return std::any_of(parts.begin(), parts.end(),
                       [&](const Part* p) { return p->kind == kind && p->bit == bit; });
  }
  bool contains(const Suite& suite) const {
    if (!has(Kind::enc, bit_of(suite, Kind::enc)) || !has(Kind::mac, bit_of(suite, Kind::mac)))
      return false;
    return suite.ver == Ver::tls13 ? tls13 : tls12 && has(Kind::kx, bit_of(suite, Kind::kx));
  }
};

using Suites = std::vector<const Suite*>;

bool is_in(const Suites& list, const Suite& suite) {
  return std::find(list.begin(), list.end(), &suite) != list.end();
}

// Suites that nobody asked for.
Suites intruders(const Offer& offer, const Suites& wanted) {
  Suites found;
  for (const Suite& suite : all_suites())
    if (offer.contains(suite) && !is_in(wanted, suite)) found.push_back(&suite);
  return found;
}

// What it costs to do without a suite: those of today most, static RSA and anonymous ones least.
int weight(const Suite& suite) {
  if (suite.ver == Ver::tls13) return 16;
  const bool aead = suite.mac == Mac::aead;
  if (suite.kx == Kx::ecdhe_rsa || suite.kx == Kx::ecdhe_ecdsa) return aead ? 8 : 4;
  if (suite.kx == Kx::dhe_rsa) return aead ? 4 : 2;
  return 1;
}

// Takes out the part that costs least of those that an intruder uses.
void take_out_one(Offer& offer, const Suites& wanted, const Suites& intruding) {
  const Part* cheapest = nullptr;
  int least = INT_MAX;
  for (const Part* part : offer.parts) {
    const auto uses_it = [&](const Suite* s) { return uses(*s, *part); };
    const auto hits = std::count_if(intruding.begin(), intruding.end(), uses_it);
    if (hits == 0) continue;
    int cost = 0;
    for (const Suite* suite : wanted)
      if (uses_it(suite) && offer.contains(*suite)) cost += 100 * weight(*suite);
    cost /= static_cast<int>(hits); // a part that keeps many out is worth more
    if (cost < least) least = cost, cheapest = part;
  }
  std::erase(offer.parts, cheapest);
}

// The largest offer that this way finds, with nothing in it that is not wanted. Parts stand in the
// order in which the list has them first.
Offer offer_of(const Suites& wanted, bool tls12, bool tls13) {
  Offer offer;
  offer.tls12 = tls12;
  offer.tls13 = tls13;
  const auto add_parts = [&](const Suite& suite) {
    for (const Part& part : kParts)
      if (uses(suite, part) && !offer.has(part.kind, part.bit)) offer.parts.push_back(&part);
  };
  for (const Suite* suite : wanted)
    if (tls12 && suite->ver != Ver::tls13) add_parts(*suite);
  for (Suites in = intruders(offer, wanted); !in.empty(); in = intruders(offer, wanted))
    take_out_one(offer, wanted, in);
  // OpenSSL's lists do not speak of the suites of TLS 1.3: those that harm nothing come along.
  for (const Suite* suite : wanted) {
    if (!tls13 || suite->ver != Ver::tls13) continue;
    const Offer before = offer;
    add_parts(*suite);
    if (!intruders(offer, wanted).empty()) offer = before;
  }
  return offer;
}

// ---- the string ---------------------------------------------------------------------------------

struct Freed {
  void operator()(gnutls_priority_t priority) const { gnutls_priority_deinit(priority); }
};
using Priority = std::unique_ptr<std::remove_pointer_t<gnutls_priority_t>, Freed>;

Result<void> check_native(const std::string& text) {
  gnutls_priority_t made = nullptr;
  const char* at = nullptr;
  if (const int code = gnutls_priority_init(&made, text.c_str(), &at); code < 0) {
    std::string where = at == nullptr ? text : std::string(at);
    if (const std::size_t end = where.find(':', 1); end != std::string::npos) where.resize(end);
    return config_error("GnuTLS refuses \"" + text + "\" at \"" + where +
                        "\": " + gnutls_strerror(code));
  }
  const Priority priority(made);
  unsigned index = 0;
  if (gnutls_priority_get_cipher_suite_index(made, 0, &index) ==
      GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
    return config_error("no cipher is left by \"" + text + '"');
  const unsigned* versions = nullptr;
  if (gnutls_priority_protocol_list(made, &versions) <= 0)
    return config_error("no TLS version is left by \"" + text + '"');
  return {};
}

Result<Translation> from_native(const std::string& native,
                                const std::vector<const Version*>& versions) {
  POSTRIDER_TRY_VOID(check_native(native));
  Translation translation;
  translation.priority = native;
  for (const Version& v : kVersions)
    if (!v.gnutls.empty() && std::find(versions.begin(), versions.end(), &v) == versions.end())
      translation.priority += ":-" + std::string(v.gnutls);
  POSTRIDER_TRY_VOID(check_native(translation.priority));
  return translation;
}

Result<std::string> list_of(const CipherRequest& request) {
  if (!request.cipherlist.empty()) return request.cipherlist;
  const auto built_in = [](std::string_view list) {
    return std::string(list) + std::string(kWeak);
  };
  if (iequals(request.grade, "high")) return built_in(kHighList);
  if (iequals(request.grade, "null")) return built_in(kNullList);
  for (const std::string_view medium : {"medium", "low", "export"})
    if (iequals(request.grade, medium)) return built_in(kMediumList);
  return config_error("no such grade of ciphers: " + request.grade +
                      "; there are high, medium and null");
}

Result<Suites> wanted_suites(const CipherRequest& request) {
  POSTRIDER_TRY(const std::string list, list_of(request));
  POSTRIDER_TRY(Suites wanted, choose(list));
  for (const std::string& words : request.exclude)
    for (const std::string_view word : split(words, ":, \t\r\n")) {
      if (word.find_first_of("!-+@") == 0)
        return config_error("an exclusion is a cipher or a property, without \"" +
                            std::string(word.substr(0, 1)) + "\": " + std::string(word));
      POSTRIDER_TRY(const Suites out, suites_of(word));
      std::erase_if(wanted, [&](const Suite* s) { return is_in(out, *s); });
    }
  return wanted;
}

} // namespace

Result<Translation> translate(const CipherRequest& request) {
  POSTRIDER_TRY(std::vector<const Version*> versions, parse_versions(request.protocols));
  if (!request.native.empty()) return from_native(request.native, versions);
  POSTRIDER_TRY(const Suites wanted, wanted_suites(request));

  const Offer offer =
      offer_of(wanted, versions.front()->code < kTls13, versions.back()->code == kTls13);
  // A version without a suite must not be offered: the server would take it and find nothing.
  std::erase_if(versions, [&](const Version* v) {
    return std::none_of(wanted.begin(), wanted.end(), [&](const Suite* s) {
      const bool fits = v->code == kTls13   ? s->ver == Ver::tls13
                        : v->code == 0x0303 ? s->ver != Ver::tls13
                                            : s->ver == Ver::ssl3 || s->ver == Ver::tls1;
      return fits && offer.contains(*s);
    });
  });
  if (versions.empty()) return config_error("no cipher is left");

  Translation translation;
  // Curves only: a server of GnuTLS would take a group of RFC 7919 before them, at ten times the
  // work.
  translation.priority = "NONE:+COMP-NULL:+CTYPE-X509:+SIGN-ALL:+GROUP-X25519:+GROUP-EC-ALL";
  for (auto v = versions.rbegin(); v != versions.rend(); ++v)
    translation.priority += ":+" + std::string((*v)->gnutls);
  for (const Part* part : offer.parts)
    translation.priority += ":+" + std::string(part->gnutls);
  POSTRIDER_TRY_VOID(check_native(translation.priority));
  for (const Suite* suite : wanted) {
    const bool possible = suite->ver == Ver::tls13 ? offer.tls13 : offer.tls12;
    if (possible && !offer.contains(*suite)) translation.lost.emplace_back(suite->name);
  }
  return translation;
}

Result<std::string> to_priority(const CipherRequest& request) {
  POSTRIDER_TRY(Translation translation, translate(request));
  return std::move(translation.priority);
}

} // namespace postrider::tls
