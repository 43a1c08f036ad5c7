// SPDX-License-Identifier: MIT
// What main.cf says about AUTH: smtpd_sasl_*.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

struct Peer;

struct AuthConfig {
  bool enabled = false;     // smtpd_sasl_auth_enable, with an implementation that we know
  bool only_tls = false;    // smtpd_tls_auth_only
  bool old_clients = false; // broken_sasl_auth_clients: "AUTH=PLAIN" as well
  bool header = false;      // smtpd_sasl_authenticated_header
  std::string service = "smtp";
  std::string realm;
  std::vector<std::string> security;     // words of smtpd_sasl_security_options
  std::vector<std::string> tls_security; // and of smtpd_sasl_tls_security_options
  std::size_t response_limit = 12288;    // bytes of a line
  Duration failure_delay{};
  std::string manager = "saslmgr"; // saslmgr_service_name
  Duration time_limit = std::chrono::seconds(20);

  // Error config names the parameter.
  static Result<AuthConfig> load(const config::Settings& settings);

  // Questions for maps::ask(); an Error is a table's trouble.
  // Those that smtpd_sasl_mechanism_filter lets through.
  Result<std::vector<std::string>> allowed(const std::vector<std::string>& mechanisms) const;
  // Not in smtpd_sasl_exceptions_networks.
  Result<bool> is_offered_to(const Peer& client) const;

 private:
  struct Tables;
  std::shared_ptr<Tables> tables_; // null: all mechanisms, to everybody
};

} // namespace postrider::smtpd
