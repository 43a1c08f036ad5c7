// SPDX-License-Identifier: MIT
// The SASL parameters of the client, read once.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config/settings.hpp"

namespace postrider::smtpclient {

struct SaslOptions {
  bool enabled = false;
  std::string delimiter = ":";       // between user and password
  bool by_sender = false;            // smtp_sender_dependent_authentication; not for LMTP
  std::vector<std::string> security; // "noplaintext", ...
  std::vector<std::string> tls_security;
  std::vector<std::string> verified_security;
  std::string plugin_path;
  std::string failure_cache; // "lmdb:/path"; empty: none
  std::chrono::milliseconds failure_time{90LL * 86400 * 1000};
  bool soft_bounce = true;
  bool dummy_mail_auth = false;
  bool send_authzid = false;
  std::string token_service;

  // Error config names the parameter.
  static Result<SaslOptions> load(const config::Settings& settings, bool lmtp);
};

} // namespace postrider::smtpclient
