// SPDX-License-Identifier: MIT
#include "smtpclient/sasl_options.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace postrider::smtpclient {
namespace {

Result<void> check_security(const config::Settings::Client& client, const char* parameter) {
  static constexpr std::string_view kKnown[] = {"noplaintext", "noactive", "nodictionary",
                                                "noanonymous", "mutual_auth"};
  for (const std::string& word : client.words(parameter))
    if (std::find(std::begin(kKnown), std::end(kKnown), word) == std::end(kKnown))
      return Error(ErrorKind::config, std::string(parameter) + ": unknown word \"" + word + "\"");
  return {};
}

} // namespace

Result<SaslOptions> SaslOptions::load(const config::Settings& settings, bool lmtp) {
  const auto client = settings.client(lmtp ? "lmtp" : "smtp");
  SaslOptions o;
  o.enabled = client.flag("sasl_auth_enable");
  o.delimiter = client.text("sasl_password_result_delimiter");
  o.by_sender = client.flag("sender_dependent_authentication");
  if (lmtp && o.by_sender) {
    log::warning("lmtp_sender_dependent_authentication has no effect, as in Postfix");
    o.by_sender = false;
  }
  o.security = client.words("sasl_security_options");
  o.tls_security = client.words("sasl_tls_security_options");
  o.verified_security = client.words("sasl_tls_verified_security_options");
  o.plugin_path = client.text("sasl_path");
  o.failure_cache = client.text("sasl_auth_cache_name");
  o.failure_time = client.time("sasl_auth_cache_time");
  o.soft_bounce = client.flag("sasl_auth_soft_bounce");
  o.dummy_mail_auth = client.flag("send_dummy_mail_auth");
  o.send_authzid = settings.flag("send_cyrus_sasl_authzid");
  o.token_service = settings.text("token_service_name");
  for (const char* parameter :
       {"sasl_security_options", "sasl_tls_security_options", "sasl_tls_verified_security_options"})
    POSTRIDER_TRY_VOID(check_security(client, parameter));
  if (client.text("sasl_type") != "cyrus") // there is no other; main.cf says so first
    return Error(ErrorKind::config, "sasl_type: only cyrus is known");
  if (!o.failure_cache.empty() && !o.failure_cache.starts_with("lmdb:/"))
    return Error(ErrorKind::config, "sasl_auth_cache_name must be lmdb: and a path");
  if (o.enabled && client.words("sasl_password_maps").empty())
    return Error(ErrorKind::config, "sasl_auth_enable needs sasl_password_maps");
  return o;
}

} // namespace postrider::smtpclient
