// SPDX-License-Identifier: MIT
#include "service/sasl_manager.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"

namespace postrider::service {
namespace {

constexpr std::size_t kMostMechanisms = 64;

CallerSetup caller_setup(const SaslManagerSetup& setup) {
  CallerSetup out;
  out.name = setup.service;
  out.sockets = setup.sockets.empty() ? sockets_of(setup.service) : setup.sockets;
  out.protocol = proto::kSaslmgrProtocol;
  out.version = proto::kSaslmgrVersion;
  return out;
}

LoginStep failed(std::string_view reason) {
  LoginStep step;
  step.reason = reason;
  return step;
}

// What goes into a reply to EHLO.
bool is_mechanism(std::string_view name) {
  return !name.empty() && name.size() <= 20 && std::all_of(name.begin(), name.end(), [](char c) {
    return is_alnum(c) || c == '-' || c == '_';
  });
}

} // namespace

SaslManager::SaslManager(ev::Loop& loop, SaslManagerSetup setup)
    : loop_(loop), timeout_(2 * setup.time_limit + std::chrono::seconds(10)),
      caller_(loop, caller_setup(setup)) {}

ev::Task<Result<std::vector<std::string>>>
SaslManager::mechanisms(ev::Lent<const proto::LoginFacts> facts) {
  proto::ListMechanisms request;
  request.facts = *facts;
  request.facts.client.clear();
  request.facts.server.clear();
  const std::string key = encode(request.facts);
  const auto found = known_.find(key);
  if (found != known_.end() && loop_.now() - found->second.since < kFresh)
    co_return found->second.names;
  Result<Reply> reply = co_await caller_.call(request);
  Result<proto::Mechanisms> answer =
      reply ? reply->as<proto::Mechanisms>() : Result<proto::Mechanisms>(reply.error());
  const auto last = known_.find(key);
  if (!answer) {
    if (last != known_.end()) co_return last->second.names;
    co_return nothing(answer.error());
  }
  Known known;
  known.since = loop_.now();
  for (const std::string& name : answer->names)
    if (is_mechanism(name) && known.names.size() < kMostMechanisms)
      known.names.push_back(uppercase(name));
  if (known.names.empty())
    co_return nothing(Error(ErrorKind::not_found, log::printable(answer->problem)));
  complained_ = false;
  if (known_.size() >= kMostLists) known_.clear();
  known_[key] = known;
  co_return known.names;
}

Error SaslManager::nothing(const Error& why) {
  if (!std::exchange(complained_, true))
    log::warning("no SASL authentication mechanisms: " + why.text());
  return why;
}

void SaslManager::refresh() {
  for (auto& [facts, known] : known_)
    known.since = SteadyTime();
}

LoginStep SaslManager::taken(Result<Reply>& reply) {
  // The client need not know more; Caller has told the log.
  if (!reply)
    return failed(reply.error().kind() == ErrorKind::not_found
                      ? "Can't connect to authentication server"
                      : "Connection lost to authentication server");
  Result<proto::LoginAnswer> answer = reply->as<proto::LoginAnswer>();
  wipe(reply->body);
  if (!answer) return failed("Connection lost to authentication server");
  LoginStep step;
  step.stage = answer->stage;
  step.login = answer->login;
  step.challenge = Secret(answer->challenge);
  wipe(answer->challenge);
  step.username = log::printable(answer->username);
  step.reason = log::printable(answer->reason);
  if (step.stage != proto::LoginStage::done || !step.username.empty()) return step;
  return failed("saslmgr does not say who it is");
}

ev::Task<LoginStep> SaslManager::begin(ev::Lent<const proto::LoginFacts> facts,
                                       const std::string& mechanism,
                                       const std::optional<Secret>& initial) {
  proto::BeginLogin request;
  request.facts = *facts;
  request.mechanism = mechanism;
  request.has_initial = initial.has_value();
  if (initial) request.initial = initial->view();
  Result<Reply> reply = co_await caller_.call(request, loop_.after(timeout_));
  wipe(request.initial);
  co_return taken(reply);
}

ev::Task<LoginStep> SaslManager::step(std::uint64_t login, const Secret& response) {
  proto::StepLogin request;
  request.login = login;
  request.response = response.view();
  Result<Reply> reply = co_await caller_.call(request, loop_.after(timeout_));
  wipe(request.response);
  co_return taken(reply);
}

void SaslManager::cancel(std::uint64_t login) {
  proto::CancelLogin message;
  message.login = login;
  caller_.tell(message);
}

} // namespace postrider::service
