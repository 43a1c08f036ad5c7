// SPDX-License-Identifier: MIT
#include "config.hpp"

#include <algorithm>
#include <pwd.h>

#include "addresses.hpp"
#include "base/ascii.hpp"
#include "config/settings.hpp"
#include "maps/keys.hpp"
#include "maps/match_list.hpp"
#include "peer.hpp"

namespace postrider::smtpd {

// "main.cf:12: smtpd_relay_restrictions = ...: what is wrong".
Error in_parameter(const config::Settings& settings, std::string_view name, const Error& error) {
  const config::Value* value = settings.find(name);
  std::string where(name);
  if (value != nullptr) {
    where += " = " + value->raw;
    if (value->origin.kind == config::Origin::Kind::main_cf)
      where = settings.config_directory() + "/main.cf:" + std::to_string(value->origin.line) +
              ": " + where;
    else if (value->origin.kind == config::Origin::Kind::override_)
      where = "-o " + where;
  }
  return Error(ErrorKind::config, where + ": " + error.text());
}

Error must_not_wait() {
  return Error(ErrorKind::config, "a socketmap: table would have to be waited for here; copy it "
                                  "into a table of this host (postrider-tables(5))");
}

namespace {

class TableLists final : public Lists {
 public:
  static Result<std::shared_ptr<Lists>> open(const config::Settings& settings) {
    auto lists = std::make_shared<TableLists>();
    const std::vector<std::string>& parents = settings.words("parent_domain_matches_subdomains");
    maps::MapOptions options;
    options.base_directory = settings.config_directory();
    const auto fill = [&](std::optional<maps::MatchList>& into, std::string_view name,
                          const std::string& text) -> Result<void> {
      maps::MatchList::Rules rules;
      rules.parents_match = std::find(parents.begin(), parents.end(), name) != parents.end();
      auto opened = maps::MatchList::open(text, rules, options);
      if (!opened) return in_parameter(settings, name, opened.error());
      into.emplace(std::move(*opened));
      return {};
    };
    POSTRIDER_TRY_VOID(fill(lists->networks_, "mynetworks", settings.list("mynetworks")));
    POSTRIDER_TRY_VOID(fill(lists->local_, "mydestination", settings.list("mydestination")));
    POSTRIDER_TRY_VOID(fill(lists->relay_, "relay_domains", settings.list("relay_domains")));
    POSTRIDER_TRY_VOID(
        fill(lists->aliases_, "virtual_alias_domains", settings.list("virtual_alias_domains")));
    POSTRIDER_TRY_VOID(fill(lists->limits_, "smtpd_client_event_limit_exceptions",
                            settings.list("smtpd_client_event_limit_exceptions")));
    POSTRIDER_TRY_VOID(fill(lists->newlines_, "smtpd_forbid_bare_newline_exclusions",
                            settings.list("smtpd_forbid_bare_newline_exclusions")));
    POSTRIDER_TRY_VOID(
        fill(lists->users_, "authorized_submit_users", settings.list("authorized_submit_users")));
    POSTRIDER_TRY_VOID(fill(lists->xclient_, "smtpd_authorized_xclient_hosts",
                            settings.list("smtpd_authorized_xclient_hosts")));
    POSTRIDER_TRY_VOID(fill(lists->xforward_, "smtpd_authorized_xforward_hosts",
                            settings.list("smtpd_authorized_xforward_hosts")));
    POSTRIDER_TRY_VOID(fill(lists->proxies_, "smtpd_upstream_proxy_hosts",
                            settings.list("smtpd_upstream_proxy_hosts")));
    if (settings.flag("smtpd_forward_check_recipient")) {
      auto opened = maps::open_maps(settings.text("smtpd_forward_maps"), options);
      if (!opened) return in_parameter(settings, "smtpd_forward_maps", opened.error());
      lists->forward_ = std::move(*opened);
    }
    return std::shared_ptr<Lists>(std::move(lists));
  }

  bool may_wait() const override {
    for (const auto* list : {&networks_, &local_, &relay_, &limits_, &newlines_, &users_, &xclient_,
                             &xforward_, &proxies_, &aliases_})
      if ((*list)->may_wait()) return true;
    return forward_.may_wait();
  }
  Result<bool> is_trusted(const Peer& client) override {
    return networks_->matches_host(client.name, client.address);
  }
  Result<bool> is_free_of_limits(const Peer& client) override {
    return limits_->matches_host(client.name, client.address);
  }
  Result<bool> may_send_bare_newlines(const Peer& client) override {
    return newlines_->matches_host(client.name, client.address);
  }
  Result<bool> is_ours(const std::string& domain) override {
    POSTRIDER_TRY(const bool local, local_->matches_domain(domain));
    if (local) return true;
    POSTRIDER_TRY(const bool alias, aliases_->matches_domain(domain));
    if (alias) return true;
    POSTRIDER_TRY(const bool relayed, relay_->matches_domain(domain));
    if (relayed || forward_.empty()) return relayed;
    POSTRIDER_TRY(const std::optional<std::string> found,
                  maps::search(forward_, maps::domain_keys(domain, {})));
    return found.has_value();
  }
  Result<bool> is_final(const std::string& domain) override {
    POSTRIDER_TRY(const bool local, local_->matches_domain(domain));
    return local ? Result<bool>(true) : aliases_->matches_domain(domain);
  }
  Result<bool> may_submit(const std::string& user) override { return users_->matches_domain(user); }
  Result<bool> may_xclient(const Peer& client) override {
    return xclient_->matches_host(client.name, client.address);
  }
  Result<bool> may_xforward(const Peer& client) override {
    return xforward_->matches_host(client.name, client.address);
  }
  Result<bool> is_proxy(const std::string& address) override {
    return proxies_->empty() ? Result<bool>(true) : proxies_->matches_address(address);
  }

 private:
  std::optional<maps::MatchList> networks_, local_, relay_, limits_, newlines_, users_, xclient_,
      xforward_, proxies_, aliases_;
  maps::MapList forward_; // smtpd_forward_check_recipient: mail for its domains is passed on
};

} // namespace

Result<Peer> judge(const Config& config, Peer peer) {
  peer.shows_port = config.shows_ports;
  if (peer.local) {
    if (config.any_user_may_submit) return peer;
    const passwd* user = ::getpwuid(peer.uid);
    const Result<bool> may =
        user == nullptr ? Result<bool>(false) : config.lists->may_submit(user->pw_name);
    peer.may_submit = may && *may;
    return peer;
  }
  POSTRIDER_TRY(peer.trusted, config.lists->is_trusted(peer));
  POSTRIDER_TRY(peer.free_of_limits, config.lists->is_free_of_limits(peer));
  POSTRIDER_TRY(peer.bare_newlines_pass, config.lists->may_send_bare_newlines(peer));
  POSTRIDER_TRY(peer.may_xclient, config.lists->may_xclient(peer));
  POSTRIDER_TRY(peer.may_xforward, config.lists->may_xforward(peer));
  return peer;
}

Result<std::shared_ptr<const Config>> load_config(const config::Settings& settings, TlsConfig tls) {
  auto config = std::make_shared<Config>();
  config->tls = std::move(tls);
  config->hostname = settings.text("myhostname");
  config->mail_name = settings.text("mail_name");
  config->banner = settings.text("smtpd_banner");
  if (settings.flag("append_at_myorigin")) config->origin = settings.text("myorigin");
  for (const std::string& word : settings.words("smtpd_discard_ehlo_keywords"))
    config->hidden_keywords.push_back(uppercase(word));
  config->timeout = settings.time("smtpd_timeout");
  config->error_sleep = settings.time("smtpd_error_sleep_time");
  config->looks_up_names = settings.flag("smtpd_peername_lookup");
  config->name_limit = settings.time("dns_time_limit");
  config->session_limit = settings.time("smtpd_session_time_limit");
  config->data_rate = settings.number("smtpd_min_data_rate");
  config->whole_deadlines = settings.flag("smtpd_per_request_deadline");
  config->soft_errors = settings.number("smtpd_soft_error_limit");
  config->hard_errors = settings.number("smtpd_hard_error_limit");
  config->junk_limit = settings.number("smtpd_junk_command_limit");
  config->recipients = static_cast<std::uint64_t>(settings.number("smtpd_recipient_limit"));
  config->recipients_overshoot =
      static_cast<std::uint64_t>(settings.number("smtpd_recipient_overshoot_limit"));
  config->message_size = settings.size("message_size_limit");
  config->hops = settings.number("hopcount_limit");
  config->line_length = static_cast<std::size_t>(settings.number("line_length_limit"));
  config->sessions = static_cast<std::uint64_t>(settings.number("smtpd_session_limit"));
  config->limits = ClientLimits::load(settings);
  config->file_threshold = settings.size("large_message_threshold");
  config->sync_limit = settings.time("journal_sync_time_limit");
  if (settings.text("smtpd_forbid_bare_newline") == "reject")
    config->bare_newline = smtp::BareNewline::reject;
  config->bare_newline_code =
      static_cast<int>(settings.number("smtpd_forbid_bare_newline_reject_code"));
  // A program that writes its whole dialogue into `sendmail -bs` is known, and no web browser.
  config->forbid_pipelining =
      settings.flag("smtpd_forbid_unauth_pipelining") && !settings.flag("smtpd_local_submission");
  config->disable_vrfy = settings.flag("disable_vrfy_command");
  config->strict_envelopes = settings.flag("strict_rfc821_envelopes");
  config->helo_required = settings.flag("smtpd_helo_required");
  config->smtputf8 = settings.flag("smtputf8_enable");
  config->soft_bounce = settings.flag("soft_bounce");
  config->local = settings.flag("smtpd_local_submission");
  config->any_user_may_submit = trim(settings.list("authorized_submit_users")) == "static:anyone";
  config->behind_proxy = !settings.text("smtpd_upstream_proxy_protocol").empty();
  config->proxy_limit = settings.time("smtpd_upstream_proxy_timeout");
  config->shows_ports = settings.flag("smtpd_client_port_logging");
  POSTRIDER_TRY(config->lists, TableLists::open(settings));
  if (settings.flag("append_dot_mydomain")) config->dot_domain = settings.text("mydomain");
  POSTRIDER_TRY(config->addresses, Addresses::open(settings));
  POSTRIDER_TRY(config->auth, AuthConfig::load(settings));
  if (config->tls.level == TlsLevel::encrypt) config->auth.only_tls = true;
  POSTRIDER_TRY(config->filters, FilterChoice::open(settings));
  POSTRIDER_TRY(config->rules, load_rules(settings, config->lists, config->addresses));
  POSTRIDER_TRY(config->commands, CommandRules::load(settings));
  return std::shared_ptr<const Config>(std::move(config));
}

} // namespace postrider::smtpd
