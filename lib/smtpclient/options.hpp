// SPDX-License-Identifier: MIT
// The parameters of the client, read once from the settings. SMTP and LMTP are one engine with two
// sets of names; Flavor says which.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "mail/log_line.hpp"
#include "net/address.hpp"
#include "smtp/steps.hpp"
#include "smtpclient/nexthop.hpp"
#include "smtpclient/sasl_options.hpp"
#include "smtpclient/tls_options.hpp"

namespace postrider::smtpclient {

enum class Flavor : std::uint8_t { smtp, lmtp };

enum class Family : std::uint8_t { any, ipv4, ipv6 };

struct Options {
  Flavor flavor = Flavor::smtp;
  std::string hello_name = "localhost";
  std::string my_name = "localhost"; // for loop detection and the log of UNIX sockets
  bool always_send_ehlo = true;
  bool never_send_ehlo = false;
  bool skip_5xx_greeting = true;
  bool skip_quit_response = true;
  std::vector<std::string> discard_keywords;
  bool assume_final = false; // LMTP: a server without DSN puts mail into mailboxes
  bool quote_addresses = true;
  bool send_xforward = false;
  bool chunking = true; // BDAT to servers that offer it
  std::vector<std::string> pix_workarounds;
  std::chrono::milliseconds pix_delay{10000};
  std::chrono::milliseconds pix_threshold{500000};

  std::size_t line_length_limit = 998;
  bool convert_to_7bit = true; // for servers without 8BITMIME
  std::size_t mime_nesting_limit = 100;
  std::size_t mime_boundary_limit = 2048;
  std::size_t header_size_limit = 102400;
  std::string address_delimiters; // recipient_delimiter, for generic maps
  bool propagate_generic = false; // an extension goes over to the new address
  std::string origin;             // myorigin
  // flags= in master.cf: headers in front of the content
  bool add_return_path = false;
  bool add_original_to = false;
  bool add_delivered_to = false;

  bool defer_if_no_address = false;
  bool ignore_mx_lookup_error = false;
  std::size_t address_limit = 5; // 0: none
  std::size_t session_limit = 2; // 0: none
  bool randomize = true;
  Family preference = Family::any;
  bool balance_families = true;
  bool use_ipv4 = true;
  bool use_ipv6 = true;
  bool use_dns = true;
  bool dnssec = false;    // smtp_dns_support_level: signatures are wanted
  bool lookup_dns = true; // smtp_host_lookup
  bool lookup_native = false;
  std::uint16_t default_port = 25;
  net::Address bind4, bind6; // family 0: none
  bool bind_enforce = false;
  net::Address own4, own6; // of a virtual host: mail comes in on it alone, and goes out from it
  std::vector<Nexthop> fallback_relays;
  std::string relayhost;                   // trouble with it is the administrator's, not the mail's
  std::vector<net::Address> own_addresses; // loop detection
  std::chrono::milliseconds attempt_limit{18000000}; // after it no further host is tried
  std::chrono::milliseconds dns_time_limit{30000};
  bool complete_names = false; // dns_resolver_options: res_defnames
  bool search_parents = false; // and res_dnsrch
  std::string my_domain;       // with which they are completed
  std::vector<std::string> known_ports;
  int tcp_window = 0;            // 0: the system's
  std::string best_mx_transport; // "transport" or "transport:nexthop"

  std::array<std::chrono::milliseconds, smtp::kSteps> timeouts{}; // by Step; 0: none
  bool per_request_deadline = false;
  std::size_t min_data_rate = 500; // bytes in a second
  bool cache_on_demand = true;
  std::chrono::milliseconds cache_time_limit{2000};
  std::chrono::milliseconds reuse_time_limit{300000};
  std::size_t reuse_count_limit = 0; // 0: none
  std::size_t capacity = 5000;
  mail::LogStyle log_style;
  int debug_level = 2; // debug_peer_level
  std::vector<std::string> notify_classes;
  TlsOptions tls;
  SaslOptions sasl;
  // scache
  std::string service_name; // our own, as in master.cf
  std::string cache_service = "scache";
  std::chrono::milliseconds cache_ttl_limit{2000};
  std::chrono::milliseconds cache_protocol_timeout{5000};

  Options();
  // Error config names the parameter.
  static Result<Options> load(const config::Settings& settings, Flavor flavor,
                              const config::Machine& machine);
  // The words behind the options in master.cf: flags=DORX. `service` is the first column. Error
  // config: another word or flag, or D or O for a transport that may deliver to several at once.
  Result<void> set_flags(const std::vector<std::string>& words, std::string_view service,
                         const config::Settings& settings);
  std::chrono::milliseconds timeout(smtp::Step step) const {
    return timeouts[static_cast<std::size_t>(step)];
  }
  bool is_own(const net::Address& address) const;
  bool wants_notice(std::string_view of_class) const; // notify_classes
};

} // namespace postrider::smtpclient
