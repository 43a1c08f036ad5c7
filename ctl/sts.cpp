// SPDX-License-Identifier: MIT
// sts: shows, refreshes and drops policies of MTA-STS, by way of tlsmgr.
#include "client.hpp"
#include "command.hpp"
#include "json.hpp"
#include "mail/domain.hpp"
#include "proto/tlsmgr.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

std::string patterns_of(const proto::Policy& policy) {
  std::string out;
  for (const std::string& mx : policy.mx)
    out += (out.empty() ? "" : " ") + mx;
  return out;
}

void show(const std::string& domain, const proto::Policy& policy) {
  if (!policy.present) {
    print(shown(domain) + ": no policy applies: " + shown(policy.reason) + "\n");
    return;
  }
  std::string out = shown(domain) + ":\n  mode     " + std::string(to_string(policy.mode)) +
                    "\n  mx       " + shown(patterns_of(policy)) + "\n  id       " +
                    shown(policy.id) + "\n  checked  " + show_time(policy.fetched) +
                    "\n  expires  " + show_time(policy.expires) + "\n";
  if (!policy.reason.empty()) out += "  trouble  " + shown(policy.reason) + "\n";
  print(out);
}

int run_sts(const Invocation& in) {
  if (in.words().size() != 1) return fail(in, exit_usage, "sts: name one domain");
  const Result<std::string> domain = mail::to_ascii(in.words().front());
  if (!domain || !mail::is_hostname(*domain))
    return fail(in, exit_usage, "sts: " + shown(in.words().front()) + " is no domain");
  proto::AskPolicy request;
  request.number = 1;
  request.domain = *domain;
  for (const auto& [option, wish] : {std::pair("refresh", proto::PolicyWish::refresh),
                                     std::pair("drop", proto::PolicyWish::drop),
                                     std::pair("cached", proto::PolicyWish::cached)}) {
    if (!in.has(option)) continue;
    if (request.wish != proto::PolicyWish::usual)
      return fail(in, exit_usage, "sts: --refresh, --drop and --cached exclude each other");
    request.wish = wish;
  }
  const Result<config::Settings> settings = load_settings(in);
  if (!settings) return fail(in, settings.error());
  auto client =
      Client::to_tlsmgr(settings->text("queue_directory"), settings->text("tlsmgr_service_name"));
  if (!client) return fail(in, client.error());
  const Result<proto::Policy> policy = (*client)->order<proto::Policy>(request);
  if (!policy) return fail(in, policy.error());
  if (in.json)
    print(json::of_object({{"domain", *domain},
                           {"present", policy->present ? "true" : "false"},
                           {"mode", std::string(to_string(policy->mode))},
                           {"mx", patterns_of(*policy)},
                           {"id", policy->id},
                           {"checked", std::to_string(policy->fetched / 1000000)},
                           {"expires", std::to_string(policy->expires / 1000000)},
                           {"reason", policy->reason}}) +
          "\n");
  else
    show(*domain, *policy);
  return policy->present ? exit_ok : exit_not_found;
}

} // namespace

const std::vector<Command>& sts_commands() {
  static const std::vector<Command> commands = {
      {"sts",
       "DOMAIN",
       "the policy of MTA-STS of a domain",
       {{"refresh", "", "fetch it now"},
        {"cached", "", "as it is in the cache, without asking anybody"},
        {"drop", "", "forget it; shows what it was"}},
       run_sts},
  };
  return commands;
}

} // namespace postrider::ctl
