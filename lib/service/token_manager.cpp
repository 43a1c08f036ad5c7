// SPDX-License-Identifier: MIT
#include "service/token_manager.hpp"

#include "tls/digest.hpp"

namespace postrider::service {
namespace {

CallerSetup caller_setup(const TokenManagerSetup& setup) {
  CallerSetup out;
  out.name = setup.service;
  out.sockets = setup.sockets.empty() ? sockets_of(setup.service) : setup.sockets;
  out.protocol = proto::kTokenmgrProtocol;
  out.version = proto::kTokenmgrVersion;
  return out;
}

} // namespace

TokenManager::TokenManager(ev::Loop& loop, TokenManagerSetup setup)
    : setup_(std::move(setup)), caller_(loop, caller_setup(setup_)) {}

ev::Task<Result<Secret>> TokenManager::token(const std::string& name, std::string_view refused,
                                             ev::Deadline deadline) {
  if (name.size() > proto::kLongestTokenName)
    co_return Error(ErrorKind::not_found, "the name of the token is too long");
  proto::GetToken request;
  request.name = name;
  if (!refused.empty()) request.refused = tls::sha256(refused);
  Result<Reply> reply = co_await caller_.call(request, deadline);
  if (!reply) co_return reply.error();
  Result<proto::Token> answer = reply->as<proto::Token>();
  wipe(reply->body);
  if (!answer) co_return answer.error();
  if (answer->token.empty()) co_return Error(ErrorKind::not_found, answer->problem);
  Secret token(answer->token);
  wipe(answer->token);
  co_return token;
}

ev::Task<std::optional<std::string>> TokenManager::refusal(const std::string& digest) {
  proto::AskRefusal request;
  request.cache = setup_.cache;
  request.key = digest;
  Result<Reply> reply = co_await caller_.call(request);
  if (!reply) co_return std::nullopt;
  Result<proto::KnownRefusal> answer = reply->as<proto::KnownRefusal>();
  if (!answer || !answer->known) co_return std::nullopt;
  co_return std::move(answer->text);
}

void TokenManager::tell_refusal(const std::string& digest, const std::string& text,
                                std::chrono::seconds ttl) {
  proto::TellRefusal message;
  message.cache = setup_.cache;
  message.key = digest;
  message.text = text.substr(0, proto::kLongestRefusal);
  message.ttl = static_cast<std::uint64_t>(ttl.count());
  caller_.tell(message);
}

} // namespace postrider::service
