// SPDX-License-Identifier: MIT
#include "forward/setup.hpp"

#include <algorithm>

namespace postrider::forward {
namespace {

using smtpclient::Flavor;
using smtpclient::Options;
using smtpclient::TlsLevel;

constexpr std::uint16_t kSmtpsPort = 465; // RFC 8314 section 7.3

Auth auth_of(const std::string& word) {
  return word == "off"        ? Auth::off
         : word == "external" ? Auth::external
         : word == "forward"  ? Auth::forward
                              : Auth::maps;
}

void set_logins(smtpclient::SaslOptions& sasl, Auth auth, bool in_clear) {
  // What a server may ask of us, and what a password of the client's is worth.
  const auto no_plaintext = [](std::vector<std::string>& words) {
    if (std::find(words.begin(), words.end(), "noplaintext") == words.end())
      words.push_back("noplaintext");
  };
  switch (auth) {
  case Auth::off: sasl.enabled = false; return;
  case Auth::maps: break;
  case Auth::external:
    sasl.enabled = true;
    sasl.send_authzid = false; // nobody else
    return;
  case Auth::forward:
    sasl.enabled = true;
    sasl.send_authzid = false;
    sasl.security = sasl.tls_security = sasl.verified_security = {"noanonymous"};
    sasl.failure_cache.clear(); // whose password it was is known for this session only
    break;
  }
  if (!in_clear) no_plaintext(sasl.security);
}

Result<Options> options_for(Kind kind, const config::Settings& settings, const Rules& rules) {
  const Flavor flavor = kind == Kind::lmtp ? Flavor::lmtp : Flavor::smtp;
  POSTRIDER_TRY(Options options, Options::load(settings, flavor, config::Machine::here()));
  if (kind == Kind::smtps) {
    options.default_port = kSmtpsPort;
    options.tls.wrapper = true;
    if (options.tls.level == TlsLevel::none || options.tls.level == TlsLevel::may)
      options.tls.level = TlsLevel::encrypt;
  }
  options.cache_on_demand = true;
  options.cache_time_limit = settings.time("smtpd_forward_idle_time");
  options.capacity = rules.connections;
  set_logins(options.sasl, rules.auth, settings.flag("smtpd_forward_auth_in_clear"));
  return options;
}

} // namespace

bool is_wanted(const config::Settings& settings) {
  return !settings.text("smtpd_forward").empty() || !settings.text("smtpd_forward_maps").empty();
}

Result<Setup> Setup::load(const config::Settings& settings, const std::string& service_name) {
  Setup setup;
  if (!is_wanted(settings)) return setup;
  maps::MapOptions where;
  where.base_directory = settings.config_directory();
  where.substitution = false; // a stranger's address must not choose the server
  auto tables = maps::open_maps(settings.text("smtpd_forward_maps"), where);
  if (!tables) return tables.error().in("smtpd_forward_maps");
  setup.maps = std::move(*tables);
  const std::string& targets = settings.text("smtpd_forward");
  Rules& rules = setup.rules;
  rules.by_sender = settings.text("smtpd_forward_selector") == "mail_from";
  rules.after_content = settings.text("smtpd_forward_check") == "data";
  rules.queues_rest = settings.text("smtpd_forward_split") == "queue";
  rules.one_recipient = settings.flag("smtpd_forward_one_recipient");
  rules.check_sender = settings.flag("smtpd_forward_check_sender");
  rules.auth = auth_of(settings.text("smtpd_forward_auth"));
  rules.connections = static_cast<std::size_t>(settings.number("smtpd_forward_connection_limit"));
  rules.dead_time = settings.time("smtpd_forward_dead_time");
  rules.address_delimiters = settings.text("recipient_delimiter");
  for (const Kind kind : {Kind::smtp, Kind::smtps, Kind::lmtp}) {
    POSTRIDER_TRY(setup.options[index_of(kind)], options_for(kind, settings, rules));
    setup.options[index_of(kind)].service_name = service_name;
  }
  if (!targets.empty()) {
    auto parsed = parse_targets(targets, setup.options);
    if (!parsed) return parsed.error().in("smtpd_forward");
    rules.targets = std::move(*parsed);
  }
  for (const Kind kind : {Kind::smtp, Kind::smtps, Kind::lmtp}) {
    const bool named = std::any_of(rules.targets.begin(), rules.targets.end(),
                                   [kind](const Target& t) { return t.kind == kind; });
    if (!named && setup.maps.empty()) continue;
    POSTRIDER_TRY(setup.clients[index_of(kind)],
                  smtpclient::ClientSetup::load(settings, setup.options[index_of(kind)]));
  }
  return setup;
}

} // namespace postrider::forward
