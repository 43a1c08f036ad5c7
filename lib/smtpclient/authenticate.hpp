// SPDX-License-Identifier: MIT
// AUTH (RFC 4954): logs a session in that has been greeted, with what find_login() found. One
// Authenticator per client process. Nothing it returns, logs or leaves in a transcript has a
// credential in it, whatever the server says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sasl/client.hpp"
#include "service/token_manager.hpp"
#include "smtpclient/auth_memory.hpp"
#include "smtpclient/login.hpp"
#include "smtpclient/session.hpp"

namespace postrider::smtpclient {

class Authenticator {
 public:
  static constexpr int kMostRounds = 32; // challenges in one dialogue
  // Threads for plug-ins, of a pool that nothing else uses. When as many calls hang, nobody is
  // logged in with a password until one of them has come back.
  static constexpr std::size_t kPluginThreads = 2;

  // REQUIRES sasl::Client::initialize(). All must outlive it. Without `tokens` no login with a
  // token is possible, and refused logins are remembered in this process only.
  Authenticator(ev::Loop& loop, ev::Offload& offload, const Options& options, Tables& tables,
                service::TokenManager* tokens = nullptr)
      : loop_(loop), offload_(offload), options_(options), tables_(tables), tokens_(tokens) {}

  // WAITS. nullopt: logged in, or the server did not ask for it. With a Trouble the session is good
  // for a goodbye only. REQUIRES login != nullptr.
  ev::Task<std::optional<Trouble>> log_in(Session& session, const LoginPtr& login);

 private:
  ev::Task<Result<std::vector<std::string>>> usable_mechanisms(Session& session,
                                                               const LoginPtr& login);
  ev::Task<std::optional<Trouble>> log_in_with_password(Session& session, const LoginPtr& login,
                                                        const std::vector<std::string>& mechanisms);
  ev::Task<std::optional<Trouble>> log_in_with_token(Session& session, const LoginPtr& login,
                                                     const std::vector<std::string>& mechanisms);
  ev::Task<std::optional<smtp::Reply>> recall_refusal(const std::string& key);
  void remember_refusal(const std::string& key, const smtp::Reply& reply);
  ev::Task<std::optional<Trouble>> converse(Session& session, const LoginPtr& login,
                                            const Secret& secret,
                                            const std::vector<std::string>& mechanisms);
  ev::Task<Result<Secret>> respond(Session& session, sasl::Client& client,
                                   std::string_view challenge);
  ev::Task<Result<void>> say(Session& session, std::string& line, std::string_view shown);
  ev::Task<void> cancel(Session& session);
  const std::vector<std::string>& security_for(const Session& session) const;
  Trouble refusal(const smtp::Reply& reply) const;
  bool plugins_hang();
  ev::Deadline deadline() { return loop_.after(options_.timeout(smtp::Step::auth)); }

  ev::Loop& loop_;
  ev::Offload& offload_;
  const Options& options_;
  Tables& tables_;
  service::TokenManager* tokens_;
  AuthMemory memory_;
  std::vector<std::weak_ptr<const void>> hung_; // calls of plug-ins that were given up
};

} // namespace postrider::smtpclient
