// SPDX-License-Identifier: MIT
// One entry per program. What each is for, and what it must never do, is in ARCHITECTURE.md.
#include "sandbox/profile.hpp"

#include <algorithm>
#include <array>

namespace postrider::sandbox {

namespace {

using config::Settings;

// ---- smtpd: strangers talk to it
void around_smtpd(const Settings& settings, Reach& reach) {
  reach_configuration(reach, settings, "smtpd");
  reach_names(reach, settings);
  reach_roots(reach); // tls_append_default_CA; next servers
  if (settings.flag("smtpd_local_submission")) reach_users(reach); // authorized_submit_users
  if (!settings.words("smtpd_milters").empty() || !settings.words("non_smtpd_milters").empty() ||
      !settings.text("smtpd_milter_maps").empty())
    reach.directory("/var/tmp", Access::own); // content that filters may change
  if (!settings.text("smtpd_forward").empty() || !settings.text("smtpd_forward_maps").empty()) {
    reach_configuration(reach, settings, "smtp");
    reach.directory("/var/tmp", Access::own); // content that is kept until its end has come
    reach.connect_anywhere();                 // next servers, by tables and DNS
  } else if (!settings.text("smtpd_milter_maps").empty()) {
    reach.connect_anywhere(); // a table may name any filter
  } else {
    reach_servers(reach, settings);
  }
}
Profile smtpd(const Settings&) {
  return {.program = "smtpd",
          .domain = Domain::network_in,
          .sockets = Sockets::internet,
          .calls = {kBasic, kReadFiles, kSync},
          .open = "TCP ports where smtpd_forward or smtpd_milter_maps is set: tables name them",
          .look_around = around_smtpd};
}

// ---- anvil: numbers only
Profile anvil(const Settings&) {
  return {.program = "anvil",
          .domain = Domain::network_in,
          .clients = {Domain::network_in},
          .calls = {kBasic, kReadFiles},
          .look_around = [](const Settings& settings, Reach& reach) {
            reach_configuration(reach, settings, "anvil");
          }};
}

// ---- smtp, lmtp: they talk to strangers
void around_agent(const Settings& settings, Reach& reach, std::string_view program) {
  reach_configuration(reach, settings, program);
  reach_names(reach, settings);
  reach_roots(reach);
  reach.connect_anywhere();
}
Profile smtp(const Settings&) {
  return {.program = "smtp",
          .domain = Domain::network_out,
          .clients = {Domain::queue},
          .sockets = Sockets::internet,
          .calls = {kBasic, kReadFiles},
          .open = "TCP ports to connect to: transport tables and relayhost name any",
          .look_around = [](const Settings& settings, Reach& reach) {
            around_agent(settings, reach, "smtp");
          }};
}
Profile lmtp(const Settings& settings) {
  Profile out = smtp(settings);
  out.program = "lmtp";
  out.look_around = [](const Settings& now, Reach& reach) { around_agent(now, reach, "lmtp"); };
  return out;
}

// ---- qmgr: the queue
bool asks_network(const Settings& settings) {
  const auto rows = settings.all();
  return std::any_of(rows.begin(), rows.end(), [](const Settings::Row& row) {
    return row.value->text.find("socketmap:inet:") != std::string::npos;
  });
}
Profile qmgr(const Settings& now) {
  return {.program = "qmgr",
          .domain = Domain::queue,
          .clients = {Domain::network_in, Domain::network_out, Domain::bounce},
          .sockets = asks_network(now) ? Sockets::internet : Sockets::local,
          .calls = {kBasic, kReadFiles, kWriteFiles, kSync},
          .open = "sockets of the internet where a table is socketmap:inet:, to its port",
          .look_around = [](const Settings& settings, Reach& reach) {
            reach.directory(settings.text("queue_directory"), Access::own); // first: it is its own
            reach_configuration(reach, settings, "qmgr");
            reach_users(reach); // authorized_mailq_users
            reach_servers(reach, settings);
            reach_log(reach, settings, true); // it does not end for a rotation
          }};
}

// ---- bounce: mail that it was handed; tables of addresses
Profile bounce(const Settings& now) {
  return {.program = "bounce",
          .domain = Domain::bounce,
          .clients = {Domain::queue},
          .sockets = asks_network(now) ? Sockets::internet : Sockets::local,
          .calls = {kBasic, kReadFiles, kSync},
          .open = "sockets of the internet where a table is socketmap:inet:, to its port",
          .look_around = [](const Settings& settings, Reach& reach) {
            reach_configuration(reach, settings, "bounce");
            reach_servers(reach, settings);
          }};
}

// ---- scache: connections that it never reads
Profile scache(const Settings&) {
  return {.program = "scache",
          .domain = Domain::cache,
          .clients = {Domain::network_in, Domain::network_out},
          .calls = {kBasic, kReadFiles},
          .look_around = [](const Settings& settings, Reach& reach) {
            reach_configuration(reach, settings, "scache");
          }};
}

// The files of "lmdb:/path" where it is set.
std::vector<std::string> databases_of(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  for (const std::string& text : texts)
    if (const std::size_t colon = text.find(':'); colon != std::string::npos)
      out.push_back(text.substr(colon + 1) + ".lmdb");
  return out;
}

// ---- tlsmgr: its caches, and policy hosts
Profile tlsmgr(const Settings& settings) {
  Profile out{.program = "tlsmgr",
              .domain = Domain::keys,
              .clients = {Domain::network_in, Domain::network_out, Domain::queue}, // postrider
              .sockets = Sockets::internet,
              .forks = true, // a damaged cache is read by a child (salvage)
              .calls = {kBasic, kReadFiles, kWriteFiles, kSync, kFork},
              .look_around = [](const Settings& now, Reach& reach) {
                reach_configuration(reach, now, "tlsmgr");
                reach_names(reach, now);
                reach_roots(reach);
                reach.connect(static_cast<std::uint16_t>(now.number("mta_sts_port")));
              }};
  out.databases = databases_of({settings.text("smtp_tls_session_cache_database"),
                                settings.text("lmtp_tls_session_cache_database"),
                                settings.text("mta_sts_cache_database")});
  for (const char* name : {"/tls_memory.lmdb", "/tls_ticket_keys.lmdb"})
    out.databases.push_back(settings.text("data_directory") + name);
  return out;
}

// ---- tokenmgr: token endpoints, and what the administrator has it run
// The tables name commands and files; what is in them is not known here.
bool has_sources(const Settings& settings) { return !settings.list("oauth_token_sources").empty(); }
Profile tokenmgr(const Settings& settings) {
  const bool sources = has_sources(settings);
  Profile out{.program = "tokenmgr",
              .domain = Domain::authentication,
              .clients = {Domain::network_in, Domain::network_out},
              .sockets = Sockets::internet,
              .forks = true,
              .executes = sources,
              .open = "files and calls where oauth_token_sources is set: it names commands, which "
                      "have these rights, and files; TCP ports: a token endpoint may be anywhere",
              .look_around = [](const Settings& now, Reach& reach) {
                reach.connect_anywhere();
                if (has_sources(now)) return reach.leave_files_open();
                reach_configuration(reach, now, "tokenmgr");
                reach_names(reach, now);
                reach_roots(reach);
              }};
  out.databases = databases_of(
      {settings.text("smtp_sasl_auth_cache_name"), settings.text("lmtp_sasl_auth_cache_name")});
  if (!sources) out.calls = {kBasic, kReadFiles, kWriteFiles, kSync, kFork};
  return out;
}

// ---- saslmgr: password databases
Profile saslmgr(const Settings&) {
  return {.program = "saslmgr",
          .domain = Domain::authentication,
          .clients = {Domain::network_in},
          .sockets = Sockets::internet,
          .forks = true,
          .calls = {kBasic, kReadFiles, kWriteFiles, kSync, kFork, kPlugIns},
          .open = "files and TCP ports: a plug-in of Cyrus SASL may keep its accounts anywhere; "
                  "its own uid is what keeps it from other files",
          .look_around = [](const Settings&, Reach& reach) {
            reach.leave_files_open();
            reach.connect_anywhere();
          }};
}

// ---- tlsrpt: counts, and reports by mail and HTTPS
Profile tlsrpt(const Settings& settings) {
  return {.program = "tlsrpt",
          .domain = Domain::network_out,
          .clients = {Domain::network_in, Domain::network_out, Domain::queue},
          .sockets = Sockets::internet,
          .calls = {kBasic, kReadFiles, kWriteFiles, kSync},
          .databases = {settings.text("data_directory") + "/tlsrpt.lmdb"},
          .open = "TCP ports: a domain's record names the URL of its reports",
          .look_around = [](const Settings& now, Reach& reach) {
            reach_configuration(reach, now, "tlsrpt");
            reach_names(reach, now);
            reach_roots(reach);
            reach.connect_anywhere();
          }};
}

struct Entry {
  std::string_view program;
  Profile (*make)(const Settings&);
};
constexpr std::array<Entry, 11> kProfiles = {{{"smtpd", smtpd},
                                              {"anvil", anvil},
                                              {"smtp", smtp},
                                              {"lmtp", lmtp},
                                              {"qmgr", qmgr},
                                              {"bounce", bounce},
                                              {"scache", scache},
                                              {"tlsmgr", tlsmgr},
                                              {"tokenmgr", tokenmgr},
                                              {"saslmgr", saslmgr},
                                              {"tlsrpt", tlsrpt}}};

} // namespace

std::optional<Profile> find_profile(std::string_view program, const Settings& settings) {
  for (const Entry& entry : kProfiles)
    if (entry.program == program) return entry.make(settings);
  return std::nullopt;
}

Profile plain_profile(std::string_view program) {
  return {.program = program,
          .sockets = Sockets::internet,
          .forks = true,
          .open = "files, ports and calls: the program is not of the suite"};
}

std::vector<std::string_view> profiled_programs() {
  std::vector<std::string_view> out;
  for (const Entry& entry : kProfiles)
    out.push_back(entry.program);
  return out;
}

} // namespace postrider::sandbox
