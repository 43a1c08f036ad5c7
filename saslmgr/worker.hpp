// SPDX-License-Identifier: MIT
// A worker: a process that saslmgr forks to run Cyrus SASL and its plug-ins. It does one thing at a
// time, holds logins that wait for their client, and may be killed at any moment. It has one
// descriptor, a socket to saslmgr, with frames as everywhere (ipc/channel.hpp):
//
//   saslmgr:  DoList | DoBegin | DoStep      worker:  AskAccount, once it knows for whom it is
//             MayTry{yes}                             Answer | Names
//   saslmgr:  Forget{login}                           no answer; at any time
#pragma once

#include "base/fd.hpp"
#include "proto/saslmgr.hpp"
#include "sasl/server.hpp"

namespace postrider::sasl {
constexpr Stage highest(Stage) { return Stage::forbidden; }
} // namespace postrider::sasl

namespace postrider::saslmgr {

struct DoList {
  static constexpr std::uint16_t kType = 144;
  proto::LoginFacts facts;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("facts", s.facts);
  }
};

struct Names {
  static constexpr std::uint16_t kType = 145;
  std::vector<std::string> names;
  std::string problem;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v.optional("names", s.names);
    v.optional("problem", s.problem);
  }
};

struct DoBegin {
  static constexpr std::uint16_t kType = 146;
  std::uint64_t login = 0;
  proto::LoginFacts facts;
  std::string mechanism;
  bool has_initial = false;
  std::string initial;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("login", s.login);
    v("facts", s.facts);
    v("mechanism", s.mechanism);
    v("has_initial", s.has_initial);
    v("initial", s.initial);
  }
};

struct DoStep {
  static constexpr std::uint16_t kType = 147;
  std::uint64_t login = 0;
  std::string response;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("login", s.login);
    v("response", s.response);
  }
};

struct Forget {
  static constexpr std::uint16_t kType = 148;
  std::uint64_t login = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("login", s.login);
  }
};

struct AskAccount {
  static constexpr std::uint16_t kType = 149;
  std::string account;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("account", s.account);
  }
};

struct MayTry {
  static constexpr std::uint16_t kType = 150;
  bool yes = false;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("yes", s.yes);
  }
};

struct Answer {
  static constexpr std::uint16_t kType = 151;
  sasl::Stage stage = sasl::Stage::failed;
  std::string challenge;
  std::string username;
  std::string account;
  std::string reason;
  std::string trouble;
  bool guess = false;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("stage", s.stage);
    v.optional("challenge", s.challenge);
    v.optional("username", s.username);
    v.optional("account", s.account);
    v.optional("reason", s.reason);
    v.optional("trouble", s.trouble);
    v.optional("guess", s.guess);
  }
};

struct WorkerSetup {
  std::string application; // smtpd_sasl_path
  std::string config_path; // cyrus_sasl_config_path
};

// What the process does; ends it when saslmgr closes the socket (blocking).
[[noreturn]] void work(Fd socket, const WorkerSetup& setup);

} // namespace postrider::saslmgr
