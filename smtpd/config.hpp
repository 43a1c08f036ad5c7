// SPDX-License-Identifier: MIT
// What a session needs to know of main.cf, read once per (re)load. Sessions keep the one they began
// with. Immutable but for the tables, which look after their files themselves.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "auth_config.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "client_limits.hpp"
#include "command_rules.hpp"
#include "filter_choice.hpp"
#include "restrict.hpp"
#include "smtp/dot.hpp"
#include "tls_config.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

class Addresses;
struct Peer;

// The lists of addresses and domains. An Error is temporary trouble with a table: 451. Where a
// table has to be waited for, these are questions for maps::ask().
class Lists {
 public:
  virtual ~Lists() = default;
  virtual bool may_wait() const { return false; }
  // Clients, by verified name or by address.
  virtual Result<bool> is_trusted(const Peer& client) = 0; // mynetworks
  virtual Result<bool> is_free_of_limits(const Peer& client) = 0;
  virtual Result<bool> may_send_bare_newlines(const Peer& client) = 0;
  virtual Result<bool> is_ours(const std::string& domain) = 0;  // mydestination, relay_domains
  virtual Result<bool> is_final(const std::string& domain) = 0; // those without relay_domains
  virtual Result<bool> may_submit(const std::string& user) = 0;
  virtual Result<bool> may_xclient(const Peer&) { return false; }
  virtual Result<bool> may_xforward(const Peer&) { return false; }
  virtual Result<bool> is_proxy(const std::string&) { return false; } // smtpd_upstream_proxy_hosts
};

struct Config {
  std::string hostname;
  std::string mail_name;
  std::string banner;
  std::string origin;                       // myorigin; empty: addresses stay as they are
  std::vector<std::string> hidden_keywords; // upper case
  Duration timeout{};
  Duration error_sleep{};
  Duration name_limit{};    // for the look-up of a client's name as a whole
  Duration session_limit{}; // 0: none
  Duration queue_patience = std::chrono::seconds(10); // for qmgr to come back, at MAIL
  // After an error that ends the session: how long is read on, so that the client sees the last
  // reply instead of a reset connection.
  Duration linger = std::chrono::seconds(2);
  std::int64_t data_rate = 0; // bytes per second that content must come with; 0: no limit
  bool whole_deadlines = true;
  std::int64_t soft_errors = 10;
  std::int64_t hard_errors = 20;
  std::int64_t junk_limit = 100;
  std::uint64_t recipients = 1000;
  std::uint64_t recipients_overshoot = 1000;
  std::uint64_t message_size = 0; // 0: none
  std::int64_t hops = 50;
  std::size_t line_length = 2048;
  std::uint64_t sessions = 20000;
  ClientLimits limits;
  std::uint64_t file_threshold = 256U << 10;
  Duration sync_limit{};
  smtp::BareNewline bare_newline = smtp::BareNewline::normalize;
  int bare_newline_code = 550;
  bool looks_up_names = true;
  bool forbid_pipelining = true;
  bool disable_vrfy = false;
  bool strict_envelopes = false;
  bool helo_required = false;
  bool smtputf8 = true;
  bool soft_bounce = false;
  bool local = false; // smtpd_local_submission
  bool any_user_may_submit = true;
  bool behind_proxy = false;              // smtpd_upstream_proxy_protocol
  Duration proxy_limit{};                 // smtpd_upstream_proxy_timeout
  bool shows_ports = false;               // smtpd_client_port_logging
  std::string dot_domain;                 // append_dot_mydomain; empty: domains stay as they are
  std::shared_ptr<const Rules> rules;     // never null
  std::shared_ptr<CommandRules> commands; // null: none
  TlsConfig tls;
  std::shared_ptr<Lists> lists;
  std::shared_ptr<Addresses> addresses; // null: nothing is rewritten, everybody exists
  AuthConfig auth;
  std::shared_ptr<FilterChoice> filters; // null: none
};

// "main.cf:12: smtpd_relay_restrictions = ...: what is wrong".
Error in_parameter(const config::Settings& settings, std::string_view name, const Error& error);

// Of a table that another process answers, where there is no time for that.
Error must_not_wait();

// smtpd_*_restrictions, with the tables and services that they name opened.
Result<std::shared_ptr<const Rules>> load_rules(const config::Settings& settings,
                                                std::shared_ptr<Lists> lists,
                                                std::shared_ptr<Addresses> addresses);

// What the lists say of a client whose name and address are known. A question for maps::ask().
Result<Peer> judge(const Config& config, Peer peer);

// Error config: says file, line and parameter.
// `tls` was loaded before the jail closed.
Result<std::shared_ptr<const Config>> load_config(const config::Settings& settings, TlsConfig tls);

} // namespace postrider::smtpd
