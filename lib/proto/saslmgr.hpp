// SPDX-License-Identifier: MIT
// saslmgr: logins of clients (AUTH, RFC 4954), asked for by smtpd, which thereby has nothing to do
// with password databases. Socket private/saslmgr; the shape of all helper services (doc/ipc.md).
//
//   saslmgr                                       smtpd
//   Hello{saslmgr 1}  ----------------------->
//                       <-----------------------  ListMechanisms{1, facts}
//   Mechanisms{1, PLAIN CRAM-MD5}  ---------->
//                       <-----------------------  BeginLogin{2, facts, "CRAM-MD5"}
//   LoginAnswer{2, challenge, login=7}  ----->
//                       <-----------------------  StepLogin{3, login=7, response}
//   LoginAnswer{3, done, "joe@example.com"}  >    or refused, or failed (temporary)
//                       <-----------------------  CancelLogin{7}              no answer
//
// Responses and challenges are bytes, not base64. A login that is answered with anything but a
// challenge is over, and its number is known no more. Responses are secrets: they are in no log.
// Messages are types 136-143; 144-151 are between saslmgr and its own workers (saslmgr/worker.*).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::proto {

inline constexpr std::string_view kSaslmgrProtocol = "saslmgr";
inline constexpr std::uint32_t kSaslmgrVersion = 1;

inline constexpr std::size_t kLongestLoginText = 255;         // of each fact
inline constexpr std::size_t kMostLoginWords = 32;            // security options
inline constexpr std::size_t kLongestLoginData = 1024 * 1024; // a response or a challenge
inline constexpr std::size_t kLongestLoginFrame = kLongestLoginData + 64 * 1024;

// What is known of the session in which a client logs in.
struct LoginFacts {
  std::string service; // smtpd_sasl_service
  std::string hostname;
  std::string realm;                 // smtpd_sasl_local_domain
  std::string client;                // its IP address
  std::string server;                // ours
  std::vector<std::string> security; // smtpd_sasl_security_options, or those for TLS
  std::string external;              // whom TLS has verified the client to be; empty: nobody
  bool operator==(const LoginFacts&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("service", s.service);
    v("hostname", s.hostname);
    v.optional("realm", s.realm);
    v.optional("client", s.client);
    v.optional("server", s.server);
    v.optional("security", s.security);
    v.optional("external", s.external);
  }
};

struct ListMechanisms {
  static constexpr std::uint16_t kType = 136;
  std::uint64_t number = 0;
  LoginFacts facts;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("facts", s.facts);
  }
};

struct Mechanisms {
  static constexpr std::uint16_t kType = 137;
  std::uint64_t number = 0;
  std::vector<std::string> names; // empty: none, because of `problem`
  std::string problem;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v.optional("names", s.names);
    v.optional("problem", s.problem);
  }
};

struct BeginLogin {
  static constexpr std::uint16_t kType = 138;
  std::uint64_t number = 0;
  LoginFacts facts;
  std::string mechanism;
  bool has_initial = false;
  std::string initial;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("facts", s.facts);
    v("mechanism", s.mechanism);
    v("has_initial", s.has_initial);
    v.optional("initial", s.initial);
  }
};

struct StepLogin {
  static constexpr std::uint16_t kType = 139;
  std::uint64_t number = 0;
  std::uint64_t login = 0;
  std::string response;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("login", s.login);
    v.optional("response", s.response);
  }
};

struct CancelLogin {
  static constexpr std::uint16_t kType = 140;
  std::uint64_t login = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("login", s.login);
  }
};

enum class LoginStage : std::uint8_t {
  challenge, // the client is to answer it
  done,      // username is logged in
  refused,   // 535
  failed,    // 454: a backend is away or too slow, too many try, too many have failed
};
constexpr LoginStage highest(LoginStage) { return LoginStage::failed; }

struct LoginAnswer {
  static constexpr std::uint16_t kType = 141;
  std::uint64_t number = 0;
  LoginStage stage = LoginStage::failed;
  std::uint64_t login = 0; // challenge
  std::string challenge;
  std::string username; // done: who is logged in; else whom it was about, as far as it is known
  std::string reason;   // refused, failed
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("stage", s.stage);
    v.optional("login", s.login);
    v.optional("challenge", s.challenge);
    v.optional("username", s.username);
    v.optional("reason", s.reason);
  }
};

} // namespace postrider::proto
