// SPDX-License-Identifier: MIT
// tokenmgr: what delivery agents share about logins: OAuth 2.0 tokens, and which logins were
// refused. Socket private/tokenmgr; the shape of all helper services (doc/ipc.md).
//
//   tokenmgr                                   smtp, lmtp
//   Hello{tokenmgr 1}  -------------------->
//                      <--------------------  GetToken{1, "office"}
//   Token{1, "ya29..."}  ------------------>
//                      <--------------------  GetToken{2, "office", refused=digest}   after a 535
//   Token{2, problem="..."}  -------------->
//                      <--------------------  AskRefusal{3, smtp, key}
//   KnownRefusal{3, known=false}  --------->
//                      <--------------------  TellRefusal{smtp, key, 535, "...", ttl}   no answer
//
// A token is a secret: it is in no log, and whoever may ask this socket may have every token.
// Passwords never come here: the key of a refusal is a digest. Messages are types 120-127.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postrider::proto {

inline constexpr std::string_view kTokenmgrProtocol = "tokenmgr";
inline constexpr std::uint32_t kTokenmgrVersion = 1;

inline constexpr std::size_t kLongestTokenName = 255;
inline constexpr std::size_t kLongestToken = 48 * 1024;
inline constexpr std::size_t kLoginDigest = 32;          // bytes
inline constexpr std::size_t kLongestRefusal = 8 * 1024; // of its text

// smtp_sasl_auth_cache_name, lmtp_sasl_auth_cache_name
enum class RefusalCache : std::uint8_t { smtp, lmtp };
constexpr RefusalCache highest(RefusalCache) { return RefusalCache::lmtp; }

struct GetToken {
  static constexpr std::uint16_t kType = 120;
  std::uint64_t number = 0;
  std::string name;
  std::string refused; // SHA-256 of the token that a server did not take; empty: none
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("name", s.name);
    v.optional("refused", s.refused);
  }
};

struct Token {
  static constexpr std::uint16_t kType = 121;
  std::uint64_t number = 0;
  std::string token; // empty: there is none, because of `problem`
  std::string problem;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v.optional("token", s.token);
    v.optional("problem", s.problem);
  }
};

struct AskRefusal {
  static constexpr std::uint16_t kType = 122;
  std::uint64_t number = 0;
  RefusalCache cache = RefusalCache::smtp;
  std::string key; // kLoginDigest bytes
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("cache", s.cache);
    v("key", s.key);
  }
};

struct KnownRefusal {
  static constexpr std::uint16_t kType = 123;
  std::uint64_t number = 0;
  bool known = false;
  std::string text; // the reply as lines with their codes
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("known", s.known);
    v.optional("text", s.text);
  }
};

struct TellRefusal {
  static constexpr std::uint16_t kType = 124;
  RefusalCache cache = RefusalCache::smtp;
  std::string key;
  std::string text;
  std::uint64_t ttl = 0; // seconds
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("cache", s.cache);
    v("key", s.key);
    v("text", s.text);
    v("ttl", s.ttl);
  }
};

} // namespace postrider::proto
