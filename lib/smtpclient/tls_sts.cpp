// SPDX-License-Identifier: MIT
// TlsClient and policies of MTA-STS.
#include "base/log.hpp"
#include "mail/domain.hpp"
#include "smtpclient/sts.hpp"
#include "smtpclient/tls_client.hpp"

namespace postrider::smtpclient {

ev::Task<TlsClient::PolicyPtr> TlsClient::sts_policy(const std::string& domain,
                                                     proto::PolicyWish wish) {
  const auto known = sts_policies_.find(domain);
  if (wish == proto::PolicyWish::usual && known != sts_policies_.end() &&
      known->second.until > loop_.now())
    co_return known->second.policy;
  const ev::Deadline deadline = loop_.after(options_.tls.sts_limit);
  Result<proto::Policy> found = co_await manager_.sts_policy(domain, wish, deadline);
  if (!found) co_return nullptr;
  if (sts_policies_.size() >= kMostPlans) sts_policies_.clear();
  auto policy = std::make_shared<const proto::Policy>(std::move(*found));
  sts_policies_[domain] = {policy, loop_.now() + kStsTime};
  co_return policy;
}

ev::Task<Result<TlsPlanPtr>> TlsClient::with_sts(TlsPlanPtr& plan, ev::Lent<const Nexthop> hop,
                                                 std::string_view host, TlsSubject* subject) {
  // Who wrote down what holds for this destination has decided.
  if (plan->entry || !may_have_sts(options_, *hop, plan->policy.level)) co_return plan;
  const Result<std::string> domain = mail::to_ascii(hop->name);
  if (!domain) co_return plan;
  const bool only_named = options_.tls.enforce_sts_patterns;
  PolicyPtr policy = co_await sts_policy(*domain, proto::PolicyWish::usual);
  if (!policy) co_return plan; // tlsmgr is away, and has said so
  StsDemand demand = decide_sts(*policy, only_named, host);
  if (demand == StsDemand::leave_out) {
    // Before mail waits because of a policy from the cache, is it still the one?
    PolicyPtr newer = co_await sts_policy(*domain, proto::PolicyWish::recheck);
    if (newer) policy = std::move(newer);
    demand = decide_sts(*policy, only_named, host);
  }
  const bool is_named = host.empty() || mail::sts_allows(policy->mx, host);
  if (subject != nullptr) note_sts(*subject, *policy, host, is_named || !only_named);
  switch (demand) {
  case StsDemand::nothing: co_return plan;
  case StsDemand::watch: {
    if (!is_named)
      log::warning("MTA-STS policy of " + *domain + " (mode testing) does not name MX host " +
                   std::string(host));
    auto watched = std::make_shared<TlsPlan>(*plan);
    watched->sts_testing = *domain;
    co_return TlsPlanPtr(std::move(watched));
  }
  case StsDemand::prove: {
    co_return make_sts(*policy);
  }
  case StsDemand::leave_out: break;
  }
  co_return Error(ErrorKind::config, "MX host " + std::string(host) +
                                         " is not named by the MTA-STS policy of " + *domain);
}

Result<TlsPlanPtr> TlsClient::make_sts(const proto::Policy& policy) {
  const PolicyEntry entry = sts_entry(policy, options_.tls.enforce_sts_patterns);
  std::string key = "sts";
  for (const std::string& name : entry.match)
    key += "\n" + name;
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second;
  POSTRIDER_TRY(TlsPlanPtr made, make(TlsLevel::sts, &entry));
  keep(key, made);
  return made;
}

ev::RootTask TlsClient::recheck(std::string domain) {
  co_await sts_policy(domain, proto::PolicyWish::recheck);
}

void TlsClient::sts_failed(const Nexthop& hop) {
  const Result<std::string> domain = mail::to_ascii(hop.name);
  if (domain) group_.spawn(recheck(*domain), "policy of MTA-STS");
}

} // namespace postrider::smtpclient
