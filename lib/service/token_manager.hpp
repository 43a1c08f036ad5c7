// SPDX-License-Identifier: MIT
// TokenManager: OAuth 2.0 tokens, and logins that were refused, from tokenmgr. One per process.
// Without tokenmgr there are no tokens, so that mail which needs one waits, and nothing is known of
// what other processes were refused.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "proto/tokenmgr.hpp"
#include "service/caller.hpp"

namespace postrider::service {

struct TokenManagerSetup {
  std::string service = "tokenmgr"; // token_service_name
  proto::RefusalCache cache = proto::RefusalCache::smtp;
  std::vector<std::string> sockets = {}; // for tests; empty: those of `service`
};

class TokenManager {
 public:
  TokenManager(ev::Loop& loop, TokenManagerSetup setup);

  // WAITS for the source of the token. `refused`: the one that a server did not take; what comes is
  // another one, if there is one to be had. Error not_found: no token, and why.
  ev::Task<Result<Secret>> token(const std::string& name, std::string_view refused,
                                 ev::Deadline deadline);

  // WAITS, a moment at most. The text of the reply to the login with this digest; nullopt: nothing
  // is known.
  ev::Task<std::optional<std::string>> refusal(const std::string& digest);
  void tell_refusal(const std::string& digest, const std::string& text, std::chrono::seconds ttl);

 private:
  TokenManagerSetup setup_;
  Caller caller_;
};

} // namespace postrider::service
