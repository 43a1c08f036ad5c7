// SPDX-License-Identifier: MIT
#include "smtpclient/options.hpp"

#include <algorithm>
#include <netinet/in.h>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "dns/host.hpp"

namespace postrider::smtpclient {
namespace {

Error config_error(std::string text) { return Error(ErrorKind::config, std::move(text)); }

Result<net::Address> bind_address(const std::string& text, int family, std::string_view name) {
  if (text.empty()) return net::Address();
  const auto address = net::Address::parse_ip(text, 0);
  if (!address || address->family() != family)
    return config_error(std::string(name) + ": bad address: " + text);
  return *address;
}

// Names are looked up, as master does for its sockets: whoever lists $myhostname means its address.
Result<void> add_addresses(std::vector<net::Address>& out, const std::vector<std::string>& words,
                           std::string_view parameter, const config::Machine& machine) {
  const auto add = [&out](const net::Address& address) {
    if (std::find(out.begin(), out.end(), address) == out.end()) out.push_back(address);
  };
  for (const std::string& word : words) {
    if (iequals(word, "all")) {
      POSTRIDER_TRY_VOID(add_addresses(out, machine.addresses, parameter, machine));
    } else if (iequals(word, "loopback-only")) {
      for (const char* text : {"127.0.0.1", "::1"})
        add(*net::Address::parse_ip(text, 0));
    } else if (const auto address = net::Address::parse_ip(word, 0)) {
      add(*address);
    } else {
      const dns::HostAnswer found = dns::look_up_host_now(word);
      if (found.addresses.empty())
        return config_error(std::string(parameter) + ": host not found: " + word);
      for (const net::Address& each : found.addresses)
        add(each);
    }
  }
  return {};
}

// The address of a virtual host: the only one of the family, and no loopback.
net::Address only_address(const std::vector<net::Address>& addresses, int family) {
  net::Address only;
  for (const net::Address& address : addresses) {
    if (address.family() != family) continue;
    if (only.family() != 0) return {};
    only = address;
  }
  return only.is_loopback() ? net::Address() : only;
}

} // namespace

Options::Options() {
  using namespace std::chrono_literals;
  timeouts.fill(300s);
  const auto set = [this](smtp::Step step, std::chrono::milliseconds limit) {
    timeouts[static_cast<std::size_t>(step)] = limit;
  };
  set(smtp::Step::connect, 30s);
  set(smtp::Step::data, 120s);
  set(smtp::Step::body, 180s);
  set(smtp::Step::end_of_data, 600s);
  set(smtp::Step::bdat, 180s);
  set(smtp::Step::bdat_last, 600s);
  set(smtp::Step::rset, 20s);
}

bool Options::wants_notice(std::string_view of_class) const {
  return std::find(notify_classes.begin(), notify_classes.end(), of_class) != notify_classes.end();
}

bool Options::is_own(const net::Address& address) const {
  if (address.is_unspecified()) return true;
  for (const net::Address& own : own_addresses)
    if (own.text() == address.text()) return true; // IPv4 in IPv6 is IPv4
  return false;
}

Result<Options> Options::load(const config::Settings& settings, Flavor flavor,
                              const config::Machine& machine) {
  const bool lmtp = flavor == Flavor::lmtp;
  const auto client = settings.client(lmtp ? "lmtp" : "smtp");
  Options o;
  o.flavor = flavor;
  o.my_name = settings.text("myhostname");
  o.hello_name = client.text("helo_name");
  if (!lmtp) {
    o.always_send_ehlo = settings.flag("smtp_always_send_ehlo");
    o.never_send_ehlo = settings.flag("smtp_never_send_ehlo");
    o.defer_if_no_address = settings.flag("smtp_defer_if_no_mx_address_found");
    o.ignore_mx_lookup_error = settings.flag("ignore_mx_lookup_error");
  }
  if (lmtp) o.assume_final = settings.flag("lmtp_assume_final");
  o.skip_5xx_greeting = client.flag("skip_5xx_greeting");
  o.skip_quit_response = client.flag("skip_quit_response");
  o.discard_keywords = client.words("discard_ehlo_keywords");
  o.quote_addresses = client.flag("quote_rfc821_envelope");
  o.send_xforward = client.flag("send_xforward_command");
  o.chunking = client.flag("chunking");
  o.pix_workarounds = client.words("pix_workarounds");
  o.pix_delay = client.time("pix_workaround_delay_time");
  o.pix_threshold = client.time("pix_workaround_threshold_time");
  o.line_length_limit = static_cast<std::size_t>(client.number("line_length_limit"));

  o.convert_to_7bit = !settings.flag("disable_mime_output_conversion");
  o.mime_nesting_limit = static_cast<std::size_t>(settings.number("mime_nesting_limit"));
  o.mime_boundary_limit = static_cast<std::size_t>(settings.number("mime_boundary_length_limit"));
  o.header_size_limit = static_cast<std::size_t>(settings.size("header_size_limit"));
  o.address_delimiters = settings.text("recipient_delimiter");
  const auto& extensions = settings.words("propagate_unmatched_extensions");
  o.propagate_generic =
      std::find(extensions.begin(), extensions.end(), "generic") != extensions.end();
  o.origin = settings.text("myorigin");

  o.address_limit = static_cast<std::size_t>(client.number("mx_address_limit"));
  o.session_limit = static_cast<std::size_t>(client.number("mx_session_limit"));
  o.randomize = client.flag("randomize_addresses");
  const std::string& preference = client.text("address_preference");
  o.preference = preference == "ipv4"   ? Family::ipv4
                 : preference == "ipv6" ? Family::ipv6
                                        : Family::any;
  o.balance_families = client.flag("balance_inet_protocols");
  const std::string& protocols = settings.text("inet_protocols");
  o.use_ipv4 = protocols != "ipv6";
  o.use_ipv6 = protocols == "ipv6" || (protocols != "ipv4" && machine.has_ipv6);
  const std::string& support = client.text("dns_support_level");
  o.use_dns = support.empty() ? !settings.flag("disable_dns_lookups") : support != "disabled";
  o.dnssec = support == "dnssec";
  o.lookup_dns = o.lookup_native = false;
  for (const std::string& word : client.words("host_lookup")) {
    if (word == "dns")
      o.lookup_dns = true;
    else if (word == "native")
      o.lookup_native = true;
    else
      return config_error("host_lookup: neither dns nor native: " + word);
  }
  if (!o.use_dns) {
    o.lookup_dns = false;
    o.lookup_native = true;
  }
  for (const std::string& word : client.words("dns_resolver_options")) {
    if (word == "res_defnames")
      o.complete_names = true;
    else if (word == "res_dnsrch")
      o.search_parents = true;
    else
      return config_error("dns_resolver_options: neither res_defnames nor res_dnsrch: " + word);
  }
  o.my_domain = settings.text("mydomain");
  o.known_ports = settings.words("known_tcp_ports");
  POSTRIDER_TRY_VOID(check_known_ports(o.known_ports));
  POSTRIDER_TRY(o.default_port, parse_port(client.text("tcp_port"), o.known_ports));
  for (const std::string& relay : client.words("fallback_relay")) {
    auto hops = parse_nexthops(relay, o);
    if (!hops) return hops.error().in(lmtp ? "lmtp_fallback_relay" : "smtp_fallback_relay");
    o.fallback_relays.insert(o.fallback_relays.end(), hops->begin(), hops->end());
  }
  o.tcp_window = static_cast<int>(settings.number("tcp_windowsize"));
  if (!lmtp) o.best_mx_transport = settings.text("best_mx_transport");
  POSTRIDER_TRY(o.bind4, bind_address(client.text("bind_address"), AF_INET, "bind_address"));
  POSTRIDER_TRY(o.bind6, bind_address(client.text("bind_address6"), AF_INET6, "bind_address6"));
  o.bind_enforce = client.flag("bind_address_enforce");
  POSTRIDER_TRY_VOID(add_addresses(o.own_addresses, settings.words("inet_interfaces"),
                                   "inet_interfaces", machine));
  o.own4 = only_address(o.own_addresses, AF_INET);
  o.own6 = only_address(o.own_addresses, AF_INET6);
  POSTRIDER_TRY_VOID(add_addresses(o.own_addresses, settings.words("proxy_interfaces"),
                                   "proxy_interfaces", machine));
  o.relayhost = settings.text("relayhost");
  o.attempt_limit = settings.time("daemon_timeout");
  o.dns_time_limit = settings.time("dns_time_limit");

  for (const smtp::StepInfo& step : smtp::kStepTable) {
    if (step.timeout.empty()) continue;
    o.timeouts[static_cast<std::size_t>(step.step)] = client.time(step.timeout);
  }
  o.per_request_deadline = client.flag("per_request_deadline");
  o.min_data_rate = static_cast<std::size_t>(client.size("min_data_rate"));
  o.cache_on_demand = client.flag("connection_cache_on_demand");
  o.cache_time_limit = client.time("connection_cache_time_limit");
  o.reuse_time_limit = client.time("connection_reuse_time_limit");
  o.reuse_count_limit = static_cast<std::size_t>(client.number("connection_reuse_count_limit"));
  o.capacity = static_cast<std::size_t>(client.number("session_limit"));
  o.log_style.decimals = static_cast<int>(settings.number("delay_logging_resolution_limit"));
  o.log_style.internal_addresses = settings.text("info_log_address_format") == "internal";
  o.log_style.soft_bounce = settings.flag("soft_bounce");
  o.debug_level = static_cast<int>(settings.number("debug_peer_level"));
  o.notify_classes = settings.words("notify_classes");
  POSTRIDER_TRY(o.tls, TlsOptions::load(settings, lmtp));
  POSTRIDER_TRY(o.sasl, SaslOptions::load(settings, lmtp));
  o.cache_service = settings.text("connection_cache_service_name");
  o.cache_ttl_limit = settings.time("connection_cache_ttl_limit");
  o.cache_protocol_timeout = settings.time("connection_cache_protocol_timeout");
  return o;
}

Result<void> Options::set_flags(const std::vector<std::string>& words, std::string_view service,
                                const config::Settings& settings) {
  std::string flags = "flags=";
  for (const std::string& word : words) {
    if (!istarts_with(word, "flags="))
      return config_error("unknown attribute name: " + word + "; flags=DORX is all there is");
    flags = word;
    add_delivered_to = add_original_to = add_return_path = false;
    for (const char c : std::string_view(word).substr(6)) {
      switch (c) {
      case 'D': add_delivered_to = true; break;
      case 'O': add_original_to = true; break;
      case 'R': add_return_path = true; break;
      case 'X': assume_final = true; break;
      default:
        return config_error("unknown flag " + std::string(1, c) + " in " + word +
                            "; there are D, O, R and X");
      }
    }
  }
  if (assume_final && flags.find('X') == std::string::npos)
    log::warning("lmtp_assume_final is obsolete; instead, specify \"" + flags + "X\" in master.cf");
  if ((add_delivered_to || add_original_to) &&
      settings.per_transport(service, "destination_recipient_limit") != 1)
    return config_error("flag " + std::string(add_delivered_to ? "D" : "O") + " requires " +
                        std::string(service) + "_destination_recipient_limit = 1");
  return {};
}

} // namespace postrider::smtpclient
