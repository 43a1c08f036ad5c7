// SPDX-License-Identifier: MIT
// SaslManager: logins of clients, by saslmgr. One per process. While saslmgr is away nobody can log
// in, and what was known of its mechanisms last is still offered.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "proto/saslmgr.hpp"
#include "service/caller.hpp"

namespace postrider::service {

struct SaslManagerSetup {
  std::string service = "saslmgr";                // saslmgr_service_name
  Duration time_limit = std::chrono::seconds(20); // smtpd_sasl_time_limit
  std::vector<std::string> sockets = {};          // for tests; empty: those of `service`
};

struct LoginStep {
  proto::LoginStage stage = proto::LoginStage::failed;
  std::uint64_t login = 0;
  Secret challenge;
  std::string username; // printable
  std::string reason;   // printable
  LoginStep() {}
};

class SaslManager {
 public:
  static constexpr Duration kFresh = std::chrono::seconds(60); // of a list of mechanisms
  static constexpr std::size_t kMostLists = 1000;

  SaslManager(ev::Loop& loop, SaslManagerSetup setup);

  // WAITS, a moment at most. Upper case, in the order of preference. Error: nothing can be offered;
  // why is in the log, once. `facts.client` is of no account here.
  ev::Task<Result<std::vector<std::string>>> mechanisms(ev::Lent<const proto::LoginFacts> facts);

  // Asks again for each list when it is next wanted: after a reload.
  void refresh();

  // WAIT for an answer, which is always there: trouble with saslmgr is a login that has failed.
  ev::Task<LoginStep> begin(ev::Lent<const proto::LoginFacts> facts, const std::string& mechanism,
                            const std::optional<Secret>& initial);
  ev::Task<LoginStep> step(std::uint64_t login, const Secret& response);
  // The client has given up at a challenge.
  void cancel(std::uint64_t login);

 private:
  struct Known {
    std::vector<std::string> names;
    SteadyTime since{};
  };
  Error nothing(const Error& why);
  LoginStep taken(Result<Reply>& reply);

  ev::Loop& loop_;
  Duration timeout_; // longer than saslmgr takes, so that it is not taken for dead
  Caller caller_;
  bool complained_ = false;
  std::map<std::string, Known> known_; // by facts, encoded
};

} // namespace postrider::service
