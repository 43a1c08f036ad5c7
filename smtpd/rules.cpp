// SPDX-License-Identifier: MIT
// From main.cf to Rules.
#include <algorithm>

#include "addresses.hpp"
#include "base/ascii.hpp"
#include "base/words.hpp"
#include "config.hpp"
#include "config/settings.hpp"
#include "policy_service.hpp"
#include "restrict.hpp"

namespace postrider::smtpd {

namespace {

std::vector<std::string> addresses_of(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const std::string& word : words) {
    const config::Machine here = config::Machine::here();
    if (iequals(word, "all"))
      out.insert(out.end(), here.addresses.begin(), here.addresses.end());
    else if (iequals(word, "loopback-only"))
      out.insert(out.end(), {"127.0.0.1", "::1"});
    else if (const auto address = net::Address::parse_ip(word, 0))
      out.push_back(address->text());
  }
  return out;
}

// Opens what lists name; the same table or service is opened once.
class Opener {
 public:
  Opener(const config::Settings& settings, const ClassLists& classes) : settings_(settings) {
    options_.base_directory = settings.config_directory();
    context_.is_class = [&classes](const std::string& name) { return classes.count(name) != 0; };
    context_.open_table = [this](const std::string& spec) { return table(spec); };
    context_.open_service = [this](const std::string& spec) { return service(spec); };
    defaults_.timeout = settings.time("smtpd_policy_service_timeout");
    defaults_.max_idle = settings.time("smtpd_policy_service_max_idle");
    defaults_.max_ttl = settings.time("smtpd_policy_service_max_ttl");
    defaults_.retry_delay = settings.time("smtpd_policy_service_retry_delay");
    defaults_.request_limit = settings.number("smtpd_policy_service_request_limit");
    defaults_.try_limit = settings.number("smtpd_policy_service_try_limit");
    defaults_.default_action = settings.text("smtpd_policy_service_default_action");
    defaults_.context = settings.text("smtpd_policy_service_policy_context");
  }

  Result<Restrictions> list(std::string_view name, const std::vector<std::string>& words,
                            Subject bare) {
    context_.bare = bare;
    auto parsed = parse_restrictions(words, context_);
    if (!parsed) return in_parameter(settings_, name, parsed.error());
    return parsed;
  }

  Result<std::shared_ptr<maps::MapList>> table(const std::string& spec) {
    std::shared_ptr<maps::MapList>& known = tables_[spec];
    if (known) return known;
    POSTRIDER_TRY(maps::MapList opened, maps::open_maps(spec, options_));
    known = std::make_shared<maps::MapList>(std::move(opened));
    return known;
  }

  // Null: the parameter is empty.
  Result<std::shared_ptr<maps::MapList>> tables(std::string_view name, const std::string& specs) {
    if (trim(specs).empty()) return std::shared_ptr<maps::MapList>();
    auto opened = table(specs);
    if (!opened) return in_parameter(settings_, name, opened.error());
    return opened;
  }
  Result<std::shared_ptr<maps::MatchList>> matches(std::string_view name, const std::string& text) {
    if (trim(text).empty()) return std::shared_ptr<maps::MatchList>();
    auto opened = maps::MatchList::open(text, {.parents_match = has_parents(name)}, options_);
    if (!opened) return in_parameter(settings_, name, opened.error());
    return std::make_shared<maps::MatchList>(std::move(*opened));
  }
  bool has_parents(std::string_view name) const {
    const auto& parents = settings_.words("parent_domain_matches_subdomains");
    return std::find(parents.begin(), parents.end(), name) != parents.end();
  }

 private:
  Result<std::shared_ptr<PolicyService>> service(const std::string& spec) {
    std::shared_ptr<PolicyService>& known = services_[spec];
    if (known) return known;
    POSTRIDER_TRY(PolicyOptions options, PolicyOptions::parse(spec, defaults_));
    POSTRIDER_TRY(known, PolicyService::open(std::move(options)));
    return known;
  }

  const config::Settings& settings_;
  maps::MapOptions options_;
  WordContext context_;
  PolicyOptions defaults_;
  std::map<std::string, std::shared_ptr<maps::MapList>> tables_;
  std::map<std::string, std::shared_ptr<PolicyService>> services_;
};

Codes load_codes(const config::Settings& settings) {
  Codes codes;
  const auto code = [](std::int64_t number) { return static_cast<int>(number); };
  codes.relay_denied = code(settings.number("relay_domains_reject_code"));
  codes.access_reject = code(settings.number("access_map_reject_code"));
  codes.access_defer = code(settings.number("access_map_defer_code"));
  codes.reject = code(settings.number("reject_code"));
  codes.defer = code(settings.number("defer_code"));
  codes.dns_list = code(settings.number("maps_rbl_reject_code"));
  codes.invalid_hostname = code(settings.number("invalid_hostname_reject_code"));
  codes.non_fqdn = code(settings.number("non_fqdn_reject_code"));
  codes.unknown_client = code(settings.number("unknown_client_reject_code"));
  codes.unknown_hostname = code(settings.number("unknown_hostname_reject_code"));
  codes.unknown_address = code(settings.number("unknown_address_reject_code"));
  codes.plaintext = code(settings.number("plaintext_reject_code"));
  codes.multi_recipient_bounce = code(settings.number("multi_recipient_bounce_reject_code"));
  return codes;
}

// All classes by name first: they may name each other.
Result<void> load_classes(const config::Settings& settings, Opener& opener, ClassLists& classes) {
  for (const std::string& name : settings.words("smtpd_restriction_classes")) {
    const auto wrong = [&](const std::string& what) {
      return in_parameter(settings, "smtpd_restriction_classes",
                          Error(ErrorKind::config, "restriction class " + name + ": " + what));
    };
    if (find_word(name) != nullptr) return wrong("the name is a restriction already");
    if (settings.find(name) == nullptr) return wrong("set " + name + " = restrictions");
    classes[name];
  }
  for (auto& [name, list] : classes) {
    auto words = split_words(settings.find(name)->text);
    if (!words) return in_parameter(settings, name, words.error());
    POSTRIDER_TRY(list, opener.list(name, *words, Subject::none));
  }
  return {};
}

} // namespace

Result<std::shared_ptr<const Rules>> load_rules(const config::Settings& settings,
                                                std::shared_ptr<Lists> lists,
                                                std::shared_ptr<Addresses> addresses) {
  auto rules = std::make_shared<Rules>();
  rules->unlisted = [addresses](const std::string& address, bool is_sender) {
    return addresses->validity(address,
                               is_sender ? Addresses::Role::sender : Addresses::Role::recipient);
  };
  rules->lists = std::move(lists);
  rules->codes = load_codes(settings);
  rules->delay_reject = settings.flag("smtpd_delay_reject");
  rules->reject_unlisted_recipient = settings.flag("smtpd_reject_unlisted_recipient");
  rules->reject_unlisted_sender = settings.flag("smtpd_reject_unlisted_sender");
  rules->soft_bounce = settings.flag("soft_bounce");
  rules->defer_unknown_helo = settings.text("unknown_helo_hostname_tempfail_action") == "defer";
  rules->defer_unknown_address = settings.text("unknown_address_tempfail_action") == "defer";
  rules->null_key = settings.text("smtpd_null_access_lookup_key");
  rules->delimiters = settings.text("recipient_delimiter");
  rules->dns_limit = settings.time("dns_time_limit");
  rules->dns_list_reply = settings.text("default_rbl_reply");
  rules->own_addresses = addresses_of(settings.words("inet_interfaces"));
  rules->proxy_addresses = addresses_of(settings.words("proxy_interfaces"));
  Opener opener(settings, rules->classes);
  rules->parents_match = opener.has_parents("smtpd_access_maps");
  POSTRIDER_TRY(rules->dns_list_replies,
                opener.tables("rbl_reply_maps", settings.text("rbl_reply_maps")));
  POSTRIDER_TRY(rules->client_certificates,
                opener.tables("relay_clientcerts", settings.text("relay_clientcerts")));
  POSTRIDER_TRY(rules->sender_logins,
                opener.tables("smtpd_sender_login_maps", settings.text("smtpd_sender_login_maps")));
  POSTRIDER_TRY(
      rules->mx_backup_networks,
      opener.matches("permit_mx_backup_networks", settings.text("permit_mx_backup_networks")));
  POSTRIDER_TRY(rules->logged_permits,
                opener.matches("smtpd_log_access_permit_actions",
                               settings.list("smtpd_log_access_permit_actions")));
  if (rules->logged_permits && rules->logged_permits->may_wait())
    return in_parameter(settings, "smtpd_log_access_permit_actions", must_not_wait());
  POSTRIDER_TRY_VOID(load_classes(settings, opener, rules->classes));
  const auto load = [&](Restrictions& into, std::string_view name,
                        const std::vector<std::string>& words, Subject bare) -> Result<void> {
    POSTRIDER_TRY(into, opener.list(name, words, bare));
    return {};
  };
  POSTRIDER_TRY_VOID(load(rules->client, "smtpd_client_restrictions",
                          settings.words("smtpd_client_restrictions"), Subject::client));
  POSTRIDER_TRY_VOID(load(rules->helo, "smtpd_helo_restrictions",
                          settings.words("smtpd_helo_restrictions"), Subject::helo));
  POSTRIDER_TRY_VOID(load(rules->sender, "smtpd_sender_restrictions",
                          settings.words("smtpd_sender_restrictions"), Subject::sender));
  POSTRIDER_TRY_VOID(load(rules->relay, "smtpd_relay_restrictions",
                          settings.words("smtpd_relay_restrictions"), Subject::recipient));
  POSTRIDER_TRY_VOID(load(rules->recipient, "smtpd_recipient_restrictions",
                          settings.words("smtpd_recipient_restrictions"), Subject::recipient));
  POSTRIDER_TRY_VOID(load(rules->data, "smtpd_data_restrictions",
                          settings.words("smtpd_data_restrictions"), Subject::none));
  POSTRIDER_TRY_VOID(load(rules->end_of_data, "smtpd_end_of_data_restrictions",
                          settings.words("smtpd_end_of_data_restrictions"), Subject::none));
  if (!guard_relay(rules->relay, rules->classes) && !guard_relay(rules->recipient, rules->classes))
    return in_parameter(settings, "smtpd_relay_restrictions",
                        Error(ErrorKind::config,
                              "anybody could relay to anywhere: put reject_unauth_destination or "
                              "defer_unauth_destination at its end"));
  return std::shared_ptr<const Rules>(std::move(rules));
}

} // namespace postrider::smtpd
