// SPDX-License-Identifier: MIT
// Each parameter that smtp and lmtp share reaches its client under its own name, and only there.
// shows: lmtp_line_length_limit lmtp_pix_workarounds lmtp_pix_workaround_delay_time
// shows: lmtp_pix_workaround_threshold_time lmtp_quote_rfc821_envelope lmtp_skip_5xx_greeting
// shows: lmtp_skip_quit_response lmtp_discard_lhlo_keywords lmtp_dns_resolver_options
// shows: lmtp_send_xforward_command lmtp_connect_timeout lmtp_lhlo_timeout
// shows: lmtp_mail_timeout lmtp_rcpt_timeout lmtp_data_init_timeout lmtp_data_xfer_timeout
// shows: lmtp_data_done_timeout lmtp_quit_timeout lmtp_rset_timeout lmtp_mx_address_limit
// shows: lmtp_xforward_timeout
// shows: lmtp_mx_session_limit lmtp_connection_cache_on_demand lmtp_connection_reuse_time_limit
// shows: lmtp_connection_cache_time_limit lmtp_connection_reuse_count_limit
// shows: lmtp_address_preference lmtp_bind_address lmtp_bind_address6 lmtp_lhlo_name
// shows: lmtp_host_lookup lmtp_randomize_addresses lmtp_fallback_relay lmtp_chunking
// shows: lmtp_balance_inet_protocols lmtp_dns_support_level lmtp_bind_address_enforce
// shows: lmtp_per_request_deadline lmtp_min_data_rate lmtp_session_limit lmtp_tcp_port
// shows: lmtp_tlsrpt_enable lmtp_tlsrpt_skip_reused_handshakes
// shows: smtp_tcp_port smtp_session_limit smtp_connection_reuse_count_limit
#include "smtpclient/options.hpp"

#include <gtest/gtest.h>

#include "smtpclient/tables.hpp"
#include "smtpclient/tls_policy.hpp"

namespace postrider::smtpclient {
namespace {

config::Machine machine() {
  return {.hostname = "mail.example.org", .addresses = {"192.0.2.1"}, .has_ipv6 = true};
}

config::Settings settings(const std::string& main_cf) {
  config::Findings findings;
  auto parsed = config::Settings::parse(main_cf, {.config_directory = "/nowhere"}, {"smtp", "lmtp"},
                                        machine(), findings);
  EXPECT_TRUE(findings.errors.empty()) << main_cf << findings.errors.front();
  return std::move(*parsed);
}

Options options(Flavor flavor, const std::string& main_cf = "") {
  auto loaded = Options::load(settings(main_cf), flavor, machine());
  EXPECT_TRUE(loaded) << loaded.error().text();
  return std::move(*loaded);
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words)
    out += (out.empty() ? "" : " ") + word;
  return out;
}
template <smtp::Step step>
std::string limit(const Options& o) {
  return std::to_string(o.timeout(step).count()) + "ms";
}
template <auto member>
std::string shown(const Options& o) {
  using Member = std::remove_cvref_t<decltype(o.*member)>;
  if constexpr (std::is_same_v<Member, std::string>)
    return o.*member;
  else if constexpr (std::is_same_v<Member, std::vector<std::string>>)
    return joined(o.*member);
  else if constexpr (std::is_same_v<Member, std::vector<Nexthop>>) {
    std::vector<std::string> names;
    for (const Nexthop& hop : o.*member)
      names.push_back(hop.name);
    return joined(names);
  } else if constexpr (std::is_same_v<Member, net::Address>)
    return (o.*member).family() == 0 ? "" : (o.*member).text();
  else if constexpr (std::is_same_v<Member, std::chrono::milliseconds>)
    return std::to_string((o.*member).count()) + "ms";
  else
    return std::to_string(static_cast<long long>(o.*member));
}

struct Row {
  std::string_view suffix; // of smtp; lmtp says lhlo for helo and ehlo
  std::string_view value;
  std::string (*look)(const Options&);
  std::string_view expected;
  std::string_view smtp_default, lmtp_default;
};

constexpr Row kRows[] = {
    {"helo_name", "me.example", shown<&Options::hello_name>, "me.example", "mail.example.org",
     "mail.example.org"},
    {"skip_5xx_greeting", "no", shown<&Options::skip_5xx_greeting>, "0", "1", "1"},
    {"discard_ehlo_keywords", "size, DSN", shown<&Options::discard_keywords>, "size DSN", "", ""},
    {"quote_rfc821_envelope", "no", shown<&Options::quote_addresses>, "0", "1", "1"},
    {"send_xforward_command", "yes", shown<&Options::send_xforward>, "1", "0", "0"},
    {"chunking", "no", shown<&Options::chunking>, "0", "1", "1"},
    {"pix_workarounds", "disable_esmtp", shown<&Options::pix_workarounds>, "disable_esmtp",
     "disable_esmtp delay_dotcrlf", "disable_esmtp delay_dotcrlf"},
    {"pix_workaround_delay_time", "3s", shown<&Options::pix_delay>, "3000ms", "10000ms", "10000ms"},
    {"pix_workaround_threshold_time", "1m", shown<&Options::pix_threshold>, "60000ms", "500000ms",
     "500000ms"},
    {"line_length_limit", "2000", shown<&Options::line_length_limit>, "2000", "998", "998"},
    {"mx_address_limit", "7", shown<&Options::address_limit>, "7", "5", "5"},
    {"mx_session_limit", "3", shown<&Options::session_limit>, "3", "2", "2"},
    {"randomize_addresses", "no", shown<&Options::randomize>, "0", "1", "1"},
    {"address_preference", "ipv6", shown<&Options::preference>, "2", "0", "0"},
    {"balance_inet_protocols", "no", shown<&Options::balance_families>, "0", "1", "1"},
    {"dns_support_level", "disabled", shown<&Options::use_dns>, "0", "1", "1"},
    {"host_lookup", "native", shown<&Options::lookup_native>, "1", "0", "0"},
    {"dns_resolver_options", "res_dnsrch", shown<&Options::search_parents>, "1", "0", "0"},
    {"tcp_port", "2525", shown<&Options::default_port>, "2525", "25", "24"},
    {"bind_address", "192.0.2.7", shown<&Options::bind4>, "192.0.2.7", "", ""},
    {"bind_address6", "2001:db8::7", shown<&Options::bind6>, "2001:db8::7", "", ""},
    {"bind_address_enforce", "yes", shown<&Options::bind_enforce>, "1", "0", "0"},
    {"fallback_relay", "[a.example], b.example", shown<&Options::fallback_relays>,
     "a.example b.example", "", ""},
    {"connect_timeout", "4s", limit<smtp::Step::connect>, "4000ms", "30000ms", "0ms"},
    {"helo_timeout", "4s", limit<smtp::Step::greeting>, "4000ms", "300000ms", "300000ms"},
    {"mail_timeout", "4s", limit<smtp::Step::mail>, "4000ms", "300000ms", "300000ms"},
    {"rcpt_timeout", "4s", limit<smtp::Step::rcpt>, "4000ms", "300000ms", "300000ms"},
    {"data_init_timeout", "4s", limit<smtp::Step::data>, "4000ms", "120000ms", "120000ms"},
    {"data_xfer_timeout", "4s", limit<smtp::Step::body>, "4000ms", "180000ms", "180000ms"},
    {"data_done_timeout", "4s", limit<smtp::Step::end_of_data>, "4000ms", "600000ms", "600000ms"},
    {"xforward_timeout", "9s", limit<smtp::Step::xforward>, "9000ms", "300000ms", "300000ms"},
    {"rset_timeout", "4s", limit<smtp::Step::rset>, "4000ms", "20000ms", "20000ms"},
    {"quit_timeout", "4s", limit<smtp::Step::quit>, "4000ms", "300000ms", "300000ms"},
    {"per_request_deadline", "yes", shown<&Options::per_request_deadline>, "1", "0", "0"},
    {"min_data_rate", "99", shown<&Options::min_data_rate>, "99", "500", "500"},
    {"connection_cache_on_demand", "no", shown<&Options::cache_on_demand>, "0", "1", "1"},
    {"connection_cache_time_limit", "9s", shown<&Options::cache_time_limit>, "9000ms", "2000ms",
     "2000ms"},
    {"connection_reuse_time_limit", "9s", shown<&Options::reuse_time_limit>, "9000ms", "300000ms",
     "300000ms"},
    {"connection_reuse_count_limit", "9", shown<&Options::reuse_count_limit>, "9", "0", "0"},
};

std::string name_for(Flavor flavor, std::string_view suffix) {
  if (flavor == Flavor::smtp) return "smtp_" + std::string(suffix);
  std::string name = "lmtp_" + std::string(suffix);
  for (std::string_view greeting : {"helo", "ehlo"})
    if (const std::size_t at = name.find(greeting); at != std::string::npos)
      name.replace(at, 4, "lhlo");
  return name;
}

TEST(ClientOptions, EachClientReadsItsOwnNames) {
  const Options smtp = options(Flavor::smtp);
  const Options lmtp = options(Flavor::lmtp);
  for (const Row& row : kRows) {
    EXPECT_EQ(row.look(smtp), row.smtp_default) << row.suffix;
    EXPECT_EQ(row.look(lmtp), row.lmtp_default) << row.suffix;
    for (const Flavor flavor : {Flavor::smtp, Flavor::lmtp}) {
      const bool is_lmtp = flavor == Flavor::lmtp;
      const std::string name = name_for(flavor, row.suffix);
      const std::string line = name + " = " + std::string(row.value) + "\n";
      EXPECT_EQ(row.look(options(flavor, line)), row.expected) << name;
      const Flavor other = is_lmtp ? Flavor::smtp : Flavor::lmtp;
      EXPECT_EQ(row.look(options(other, line)), is_lmtp ? row.smtp_default : row.lmtp_default)
          << name << " for the other client";
    }
  }
}

TEST(ClientOptions, ThoseWhoseDefaultsOrMeaningsDiffer) {
  EXPECT_TRUE(options(Flavor::smtp).skip_quit_response);
  EXPECT_FALSE(options(Flavor::lmtp).skip_quit_response);
  EXPECT_TRUE(options(Flavor::lmtp, "lmtp_skip_quit_response = yes").skip_quit_response);
  EXPECT_FALSE(options(Flavor::smtp, "smtp_skip_quit_response = no").skip_quit_response);
  // lmtp follows smtp here, unless told.
  EXPECT_EQ(options(Flavor::lmtp, "smtp_session_limit = 77").capacity, 77U);
  EXPECT_EQ(options(Flavor::lmtp, "lmtp_session_limit = 78").capacity, 78U);
  EXPECT_EQ(options(Flavor::smtp, "lmtp_session_limit = 78").capacity, 5000U);
}

// shows: lmtp_generic_maps lmtp_header_checks lmtp_mime_header_checks lmtp_nested_header_checks
// shows: lmtp_body_checks lmtp_discard_lhlo_keyword_address_maps lmtp_pix_workaround_maps
// shows: lmtp_reply_filter lmtp_dns_reply_filter
struct TableRow {
  std::string_view suffix;
  maps::MapList Tables::*list;
};
constexpr TableRow kTables[] = {
    {"generic_maps", &Tables::generic},
    {"header_checks", &Tables::header_checks},
    {"mime_header_checks", &Tables::mime_header_checks},
    {"nested_header_checks", &Tables::nested_header_checks},
    {"body_checks", &Tables::body_checks},
    {"discard_ehlo_keyword_address_maps", &Tables::discard_keywords},
    {"pix_workaround_maps", &Tables::pix_workarounds},
    {"reply_filter", &Tables::reply_filter},
    {"dns_reply_filter", &Tables::dns_reply_filter},
    {"delivery_status_filter", &Tables::status_filter},
};

TEST(ClientTables, EachClientOpensItsOwn) {
  for (const TableRow& row : kTables)
    for (const Flavor flavor : {Flavor::smtp, Flavor::lmtp}) {
      const std::string name = name_for(flavor, row.suffix);
      const config::Settings told = settings(name + " = static:x\n");
      for (const Flavor who : {Flavor::smtp, Flavor::lmtp}) {
        auto tables = Tables::open(told, who);
        ASSERT_TRUE(tables) << tables.error().text();
        EXPECT_EQ(((*tables).*row.list).empty(), who != flavor) << name;
      }
    }
}

// shows: lmtp_connection_cache_destinations
TEST(ClientTables, EachClientKeepsSessionsOfItsOwnDestinations) {
  const config::Settings told = settings("smtp_connection_cache_destinations = a.example\n"
                                         "lmtp_connection_cache_destinations = b.example\n");
  for (const Flavor flavor : {Flavor::smtp, Flavor::lmtp}) {
    auto tables = Tables::open(told, flavor);
    ASSERT_TRUE(tables) << tables.error().text();
    const bool is_lmtp = flavor == Flavor::lmtp;
    EXPECT_EQ(tables->cache_destinations.matches_domain("a.example").value(), !is_lmtp);
    EXPECT_EQ(tables->cache_destinations.matches_domain("b.example").value(), is_lmtp);
  }
}

TEST(ClientTables, BothFollowTheDefaultStatusFilter) {
  const config::Settings told = settings("default_delivery_status_filter = static:x\n");
  for (const Flavor flavor : {Flavor::smtp, Flavor::lmtp}) {
    auto tables = Tables::open(told, flavor);
    ASSERT_TRUE(tables) << tables.error().text();
    EXPECT_FALSE(tables->status_filter.empty());
  }
}

TEST(ClientTables, SayWhichParameterIsWrong) {
  auto tables = Tables::open(settings("smtp_generic_maps = nonsense:x\n"), Flavor::smtp);
  ASSERT_FALSE(tables);
  EXPECT_NE(tables.error().text().find("generic_maps"), std::string::npos);
}

// shows: lmtp_sasl_tls_security_options lmtp_sasl_tls_verified_security_options
TEST(SaslOptions, OneFollowsTheOtherWhereNotSet) {
  using Words = std::vector<std::string>;
  const auto load = [](const std::string& main_cf, bool lmtp) {
    return SaslOptions::load(settings(main_cf), lmtp);
  };
  const Words none = {"noplaintext", "noanonymous"};
  Result<SaslOptions> o = load("", true);
  ASSERT_TRUE(o);
  EXPECT_EQ(o->security, none);
  EXPECT_EQ(o->tls_security, none);
  EXPECT_EQ(o->verified_security, none);
  o = load("lmtp_sasl_tls_security_options = noanonymous, nodictionary\n", true);
  ASSERT_TRUE(o);
  EXPECT_EQ(o->security, none);
  EXPECT_EQ(o->verified_security, Words({"noanonymous", "nodictionary"}));
  o = load("lmtp_sasl_tls_verified_security_options =\nsmtp_sasl_security_options = mutual_auth\n",
           true);
  ASSERT_TRUE(o);
  EXPECT_EQ(o->tls_security, none);
  EXPECT_EQ(o->verified_security, Words());
  o = load("smtp_sasl_security_options = mutual_auth\n", false);
  ASSERT_TRUE(o);
  EXPECT_EQ(o->verified_security, Words({"mutual_auth"}));
}

TEST(SaslOptions, SaysWhatIsWrong) {
  for (const char* main_cf :
       {"smtp_sasl_security_options = noplaintex\n", "smtp_sasl_tls_security_options = x\n",
        "smtp_sasl_tls_verified_security_options = x\n", "smtp_sasl_auth_enable = yes\n",
        "smtp_sasl_auth_cache_name = proxy:hash:/x\n", "smtp_sasl_auth_cache_name = lmdb:x\n"})
    EXPECT_FALSE(SaslOptions::load(settings(main_cf), false)) << main_cf;
}

TEST(Options, ReportsOnTlsAreOfSmtpOnly) {
  EXPECT_FALSE(options(Flavor::smtp).tls.reports);
  EXPECT_TRUE(options(Flavor::smtp, "smtp_tlsrpt_enable = yes\n").tls.reports);
  EXPECT_TRUE(options(Flavor::smtp).tls.skip_resumed);
  EXPECT_TRUE(tls_warnings(settings(""), true).empty());
  for (const char* line :
       {"lmtp_tlsrpt_enable = yes\n", "lmtp_tlsrpt_skip_reused_handshakes = no\n"}) {
    const auto warnings = tls_warnings(settings(line), true);
    ASSERT_EQ(warnings.size(), 1u) << line;
    EXPECT_NE(warnings[0].find("lmtp_tlsrpt_enable"), std::string::npos);
  }
}

} // namespace
} // namespace postrider::smtpclient
