// SPDX-License-Identifier: MIT
// Between delivery agents and scache, which keeps idle plaintext connections for them. The agent
// connects to private/scache; scache opens with Hello{scache, 1}. Requests are numbered by the
// agent, from 1 on, and answered in any order.
//
//   request  = Save with one descriptor           -> Saved
//            | Find                               -> Found with one descriptor | NotFound
//
//   agent:  Save{1, "relay example.net", "relay 192.0.2.1 25 mx.example.net", 2000, facts}  +
//   socket scache: Saved{1} agent:  Find{2, "relay example.net", ""} scache: Found{2, facts}  +
//   socket
//
// A destination leads to the endpoints that were saved with it, an endpoint to connections. Keys
// and facts are the agents' own words (smtpclient/pool.hpp, smtpclient/session_facts.hpp): scache
// compares the first, byte by byte, and passes the second on. The keys hold everything that makes
// two connections different.
//
//   a connection has one owner: who saves it has given it away, whether or not Saved comes; scache
//   has given it away with Found
//   what scache hands out is not trusted: the agent looks where the descriptor leads
//   connections under TLS and those with a login never get here
#pragma once

#include <cstdint>
#include <string>

namespace postrider::proto {

inline constexpr const char* kCacheProtocol = "scache";
inline constexpr std::uint32_t kCacheVersion = 1;
inline constexpr std::size_t kMostCacheKey = 1024;    // bytes
inline constexpr std::size_t kMostCacheFacts = 16384; // bytes

struct Save {
  static constexpr std::uint16_t kType = 112;
  static constexpr std::size_t kDescriptors = 1;
  std::uint64_t number = 0;
  std::string destination; // empty: to be found by endpoint only
  std::string endpoint;
  std::uint32_t ttl = 0; // milliseconds; at most connection_cache_ttl_limit counts
  std::string facts;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v.optional("destination", s.destination);
    v("endpoint", s.endpoint);
    v("ttl", s.ttl);
    v("facts", s.facts);
  }
};

struct Saved {
  static constexpr std::uint16_t kType = 113;
  std::uint64_t number = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
  }
};

// By one of the two; a destination, when both are there.
struct Find {
  static constexpr std::uint16_t kType = 114;
  std::uint64_t number = 0;
  std::string destination;
  std::string endpoint;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v.optional("destination", s.destination);
    v.optional("endpoint", s.endpoint);
  }
};

struct Found {
  static constexpr std::uint16_t kType = 115;
  static constexpr std::size_t kDescriptors = 1;
  std::uint64_t number = 0;
  std::string facts;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("facts", s.facts);
  }
};

struct NotFound {
  static constexpr std::uint16_t kType = 116;
  std::uint64_t number = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
  }
};

} // namespace postrider::proto
