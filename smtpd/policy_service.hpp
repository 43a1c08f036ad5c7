// SPDX-License-Identifier: MIT
// check_policy_service: asks a server of the administrator's what to do, in Postfix's policy
// delegation protocol: lines name=value and an empty one; the answer is action=... and an empty
// line. One per server; connections are kept and used by one question at a time. What the server
// says is bounded; when it cannot be asked, the default action takes its place.
#pragma once

#include <memory>
#include <string>

#include "net/asked_server.hpp"

namespace postrider::smtpd {

struct PolicyOptions {
  std::string server; // "inet:host:port", "unix:path"
  Duration timeout = std::chrono::seconds(100);
  Duration max_idle = std::chrono::seconds(300);
  Duration max_ttl = std::chrono::seconds(1000);
  Duration retry_delay = std::chrono::seconds(1);
  std::int64_t request_limit = 0; // over one connection; 0: no limit
  std::int64_t try_limit = 2;
  std::string default_action = "451 4.3.5 Server configuration problem";
  std::string context; // policy_context

  // "inet:host:port" or "unix:path", then ", name=value" or ", { name = value }" for any of
  // timeout, max_idle, max_ttl, retry_delay, request_limit, try_limit, default_action,
  // policy_context. What is not named stays as `defaults` have it. Error config.
  static Result<PolicyOptions> parse(std::string_view spec, const PolicyOptions& defaults);
};

class PolicyService {
 public:
  static constexpr std::size_t kMostConnections = 100;
  static constexpr std::size_t kLongestAnswer = 16 << 10;

  // A host name is looked up here, once: not in a loop that serves. One that is not found makes
  // every question fail. Error config: wrong syntax.
  static Result<std::shared_ptr<PolicyService>> open(PolicyOptions options);
  explicit PolicyService(PolicyOptions options) : options_(std::move(options)) {}

  const PolicyOptions& options() const { return options_; }

  // WAITS. The action that answers `request` (lines with their ends, without the empty one); the
  // default action, with a warning, when the server fails.
  ev::Task<std::string> ask(ev::Loop& loop, const std::string& request);

 private:
  ev::Task<Result<std::string>> attempt(ev::Loop& loop, const std::string& bytes);

  PolicyOptions options_;
  std::unique_ptr<net::AskedServer> server_;
};

} // namespace postrider::smtpd
