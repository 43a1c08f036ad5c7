// SPDX-License-Identifier: MIT
// tlsmgr: what delivery agents, and smtpd, share about TLS. Socket private/tlsmgr; the shape of all
// helper services (doc/ipc.md): numbered requests, answers in any order, no number where none is
// wanted.
//
//   tlsmgr                                     smtp, lmtp, smtpd, postrider
//   Hello{tlsmgr 1}  ---------------------->
//                    <----------------------  TakeSession{1, smtp, key}
//                    <----------------------  AskPolicy{2, "example.com"}
//   Session{1, bytes}  -------------------->  whoever has it, has it alone
//   Policy{2, ...}  ----------------------->
//                    <----------------------  PutSession, RememberHost      no answer
//
// Keys are chosen by the agents and kept as digests. Whatever is larger than the bounds below is
// refused, and its sender with it. Messages are types 96-111. Times are unix time in microseconds,
// 0 when there is none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mail/sts.hpp"

namespace postrider::proto {

inline constexpr std::string_view kTlsmgrProtocol = "tlsmgr";
inline constexpr std::uint32_t kTlsmgrVersion = 1;

inline constexpr std::size_t kLongestTlsKey = 8 * 1024;
inline constexpr std::size_t kLongestTlsSession = 128 * 1024;

// smtp_tls_session_cache_database, lmtp_tls_session_cache_database
enum class SessionCache : std::uint8_t { smtp, lmtp };
constexpr SessionCache highest(SessionCache) { return SessionCache::lmtp; }

// The newest session under the key. It is taken out: a ticket of TLS 1.3 is good once.
struct TakeSession {
  static constexpr std::uint16_t kType = 96;
  std::uint64_t number = 0;
  SessionCache cache = SessionCache::smtp;
  std::string key;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("cache", s.cache);
    v("key", s.key);
  }
};

struct Session {
  static constexpr std::uint16_t kType = 97;
  std::uint64_t number = 0;
  std::string session; // empty: there is none
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v.optional("session", s.session);
  }
};

struct PutSession {
  static constexpr std::uint16_t kType = 98;
  SessionCache cache = SessionCache::smtp;
  std::string key;
  std::string session;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("cache", s.cache);
    v("key", s.key);
    v("session", s.session);
  }
};

// How good the TLS of a host was, or is.
enum class HostTls : std::uint8_t { none, encrypted, trusted, verified };
constexpr HostTls highest(HostTls) { return HostTls::verified; }

struct RecallHost {
  static constexpr std::uint16_t kType = 99;
  std::uint64_t number = 0;
  std::string host;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("host", s.host);
  }
};

struct HostMemory {
  static constexpr std::uint16_t kType = 100;
  std::uint64_t number = 0;
  HostTls level = HostTls::none; // at the last time it was good; none: nothing is remembered
  std::int64_t last_good = 0;
  std::int64_t missing_since = 0; // 0: it was not missing since
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("level", s.level);
    v.optional("last_good", s.last_good);
    v.optional("missing_since", s.missing_since);
  }
};

// What a connection has shown. HostTls::none, of a host that had TLS: it is missing.
struct RememberHost {
  static constexpr std::uint16_t kType = 101;
  std::string host;
  HostTls level = HostTls::none;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("host", s.host);
    v("level", s.level);
  }
};

enum class PolicyWish : std::uint8_t {
  usual,   // from the cache while it is good; else looked up now
  recheck, // the id in DNS is compared first: before a delivery fails because of a cached policy
  refresh, // fetched now, whatever the id is
  drop,    // forgotten; the answer is what it was
  cached,  // as it is in the cache; nothing is asked
};
constexpr PolicyWish highest(PolicyWish) { return PolicyWish::cached; }

// The policy of MTA-STS of a recipient domain (A-labels).
struct AskPolicy {
  static constexpr std::uint16_t kType = 102;
  std::uint64_t number = 0;
  std::string domain;
  PolicyWish wish = PolicyWish::usual;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("domain", s.domain);
    v("wish", s.wish);
  }
};

// Why a policy that is announced could not be had: for reports (RFC 8460 section 4.3.2.2).
enum class PolicyTrouble : std::uint8_t {
  none,
  fetch,  // the policy host does not give it
  proof,  // its certificate is no good
  policy, // what came is no policy
};
constexpr PolicyTrouble highest(PolicyTrouble) { return PolicyTrouble::policy; }

struct Policy {
  static constexpr std::uint16_t kType = 103;
  std::uint64_t number = 0;
  bool present = false; // false: no policy applies, because of `reason`
  mail::StsMode mode = mail::StsMode::none;
  std::vector<std::string> mx;
  std::string id;           // of the TXT record it was fetched for
  std::int64_t fetched = 0; // or last found unchanged
  std::int64_t expires = 0;
  std::int64_t max_age = 0; // seconds, as the policy says
  PolicyTrouble trouble = PolicyTrouble::none;
  std::string reason; // also beside a policy: why it could not be refreshed
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("present", s.present);
    v.optional("mode", s.mode);
    v.optional("mx", s.mx);
    v.optional("id", s.id);
    v.optional("fetched", s.fetched);
    v.optional("expires", s.expires);
    v.optional("max_age", s.max_age);
    v.optional("trouble", s.trouble);
    v.optional("reason", s.reason);
  }
};

// The keys that smtpd makes session tickets with.
struct AskTicketKeys {
  static constexpr std::uint16_t kType = 104;
  std::uint64_t number = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
  }
};

inline constexpr std::size_t kTicketKeyBytes = 64;
inline constexpr std::size_t kMostTicketKeys = 4;

struct TicketKeys {
  static constexpr std::uint16_t kType = 105;
  std::uint64_t number = 0;
  std::vector<std::string> keys; // the newest first; none: sessions are not resumed
  std::int64_t until = 0;        // then there is a newer one
  std::int64_t usable_until = 0; // and then none of these opens a ticket any more
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v.optional("keys", s.keys);
    v.optional("until", s.until);
    v.optional("usable_until", s.usable_until);
  }
};

} // namespace postrider::proto
