// SPDX-License-Identifier: MIT
#include "auth_config.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "config/settings.hpp"
#include "maps/match_list.hpp"
#include "peer.hpp"
#include "proto/saslmgr.hpp"

namespace postrider::smtpd {
namespace {

Result<std::vector<std::string>> security_words(std::string_view name,
                                                const std::vector<std::string>& given) {
  static constexpr std::string_view kKnown[] = {"noplaintext", "noactive",        "nodictionary",
                                                "noanonymous", "forward_secrecy", "mutual_auth"};
  for (const std::string& word : given)
    if (std::find(std::begin(kKnown), std::end(kKnown), word) == std::end(kKnown))
      return Error(ErrorKind::config, std::string(name) + ": unknown word \"" + word + "\"");
  return given;
}

Result<maps::MatchList> list_of(const config::Settings& settings, std::string_view name,
                                const std::string& text) {
  maps::MapOptions options;
  options.base_directory = settings.config_directory();
  auto opened = maps::MatchList::open(text, {}, options);
  if (!opened) return opened.error().in(name);
  return opened;
}

} // namespace

struct AuthConfig::Tables {
  maps::MatchList filter;
  maps::MatchList exceptions;
};

Result<AuthConfig> AuthConfig::load(const config::Settings& settings) {
  AuthConfig out;
  out.enabled = settings.flag("smtpd_sasl_auth_enable");
  const std::string& type = settings.text("smtpd_sasl_type");
  if (out.enabled && type != "cyrus") {
    log::warning("smtpd_sasl_type = " + type + ": only cyrus is known here; AUTH is not offered");
    out.enabled = false;
  }
  out.only_tls = settings.flag("smtpd_tls_auth_only");
  out.old_clients = settings.flag("broken_sasl_auth_clients");
  out.header = settings.flag("smtpd_sasl_authenticated_header");
  out.service = settings.text("smtpd_sasl_service");
  out.realm = settings.text("smtpd_sasl_local_domain");
  for (const std::string* text : {&out.service, &out.realm})
    if (text->size() > proto::kLongestLoginText || log::printable(*text) != *text)
      return Error(ErrorKind::config,
                   "smtpd_sasl_service, smtpd_sasl_local_domain: \"" + *text + "\" is no name");
  POSTRIDER_TRY(out.security, security_words("smtpd_sasl_security_options",
                                             settings.words("smtpd_sasl_security_options")));
  POSTRIDER_TRY(out.tls_security,
                security_words("smtpd_sasl_tls_security_options",
                               settings.words("smtpd_sasl_tls_security_options")));
  out.response_limit = static_cast<std::size_t>(settings.number("smtpd_sasl_response_limit"));
  out.failure_delay = settings.time("smtpd_sasl_failure_delay");
  out.manager = settings.text("saslmgr_service_name");
  out.time_limit = settings.time("smtpd_sasl_time_limit");
  auto tables = std::make_shared<Tables>();
  POSTRIDER_TRY(tables->filter, list_of(settings, "smtpd_sasl_mechanism_filter",
                                        settings.list("smtpd_sasl_mechanism_filter")));
  POSTRIDER_TRY(tables->exceptions, list_of(settings, "smtpd_sasl_exceptions_networks",
                                            settings.list("smtpd_sasl_exceptions_networks")));
  out.tables_ = std::move(tables);
  return out;
}

Result<std::vector<std::string>>
AuthConfig::allowed(const std::vector<std::string>& mechanisms) const {
  if (!tables_ || tables_->filter.empty()) return mechanisms;
  std::vector<std::string> out;
  for (const std::string& name : mechanisms) {
    POSTRIDER_TRY(const bool passes, tables_->filter.matches_domain(name));
    if (passes) out.push_back(name);
  }
  return out;
}

Result<bool> AuthConfig::is_offered_to(const Peer& client) const {
  if (!tables_ || tables_->exceptions.empty()) return true;
  POSTRIDER_TRY(const bool excepted, tables_->exceptions.matches_host(client.name, client.address));
  return !excepted;
}

} // namespace postrider::smtpd
