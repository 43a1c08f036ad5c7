// SPDX-License-Identifier: MIT
#include "smtpclient/nexthop.hpp"

#include <algorithm>
#include <netdb.h>
#include <netinet/in.h>
#include <set>

#include "base/ascii.hpp"
#include "mail/domain.hpp"
#include "net/address.hpp"
#include "smtpclient/options.hpp"

namespace postrider::smtpclient {
namespace {

Error config_error(std::string text) { return Error(ErrorKind::config, std::move(text)); }

Error wrong(std::string_view what, std::string_view text) {
  return config_error(std::string(what) + " in server description: " + std::string(text));
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

struct Parts {
  std::string_view host;
  std::string_view port; // empty: the default
  bool bracketed = false;
  bool ipv6 = false; // "[ipv6:...]": nothing but an address will do
};

Result<Parts> split_host_and_port(std::string_view text) {
  Parts parts;
  if (text.front() != '[') {
    const std::size_t colon = text.rfind(':');
    parts.host = text.substr(0, colon);
    if (colon != std::string_view::npos) parts.port = text.substr(colon + 1);
    return parts;
  }
  const std::size_t close = text.find(']');
  if (close == std::string_view::npos) return wrong("missing \"]\"", text);
  parts.bracketed = true;
  parts.host = text.substr(1, close - 1);
  if (istarts_with(parts.host, "ipv6:")) {
    parts.host.remove_prefix(5);
    parts.ipv6 = true;
  }
  const std::string_view rest = text.substr(close + 1);
  if (!rest.empty() && rest.front() != ':') return wrong("garbage after \"]\"", text);
  if (!rest.empty()) parts.port = rest.substr(1);
  return parts;
}

Result<Nexthop> parse_inet(std::string_view text, const Options& options) {
  if (text.empty()) return wrong("missing host information", text);
  POSTRIDER_TRY(const Parts parts, split_host_and_port(text));
  if (parts.host.empty()) return wrong("missing host information", text);
  Nexthop hop;
  const auto address = net::Address::parse_ip(parts.host, 0);
  if (parts.ipv6 && (!address || address->family() != AF_INET6))
    return wrong("malformed IPv6 address", text);
  // LMTP has no MX; an address has none either, with or without brackets.
  const bool is_host = parts.bracketed || address || options.flavor == Flavor::lmtp;
  hop.kind = is_host ? Nexthop::Kind::host : Nexthop::Kind::domain;
  if (address) {
    hop.name = address->text();
  } else {
    auto ascii = mail::to_ascii(parts.host);
    if (!ascii) return wrong("valid hostname or network address required", text);
    hop.name = std::move(*ascii);
  }
  hop.port = options.default_port;
  if (parts.port.empty()) return hop;
  if (is_digit(parts.port.front()) && !all_digits(parts.port))
    return wrong("garbage after numerical service", text);
  POSTRIDER_TRY(hop.port, parse_port(parts.port, options.known_ports));
  return hop;
}

} // namespace

Result<std::vector<Nexthop>> parse_nexthops(std::string_view text, const Options& options) {
  std::vector<Nexthop> hops;
  for (std::string_view word : split(text, ", \t\r\n")) {
    // Hosts may be called "unix" or "inet": the prefixes are for LMTP alone.
    const bool lmtp = options.flavor == Flavor::lmtp;
    if (lmtp && word.starts_with("unix:")) {
      if (word.size() == 5) return wrong("missing path", word);
      if (word.find('\0') != std::string_view::npos) return wrong("NUL", word);
      const std::string path(word.substr(5));
      hops.push_back({Nexthop::Kind::unix_socket, path, 0, path});
      continue;
    }
    if (lmtp && word.starts_with("inet:")) word.remove_prefix(5);
    POSTRIDER_TRY(Nexthop hop, parse_inet(word, options));
    hop.written = word;
    hops.push_back(std::move(hop));
  }
  if (hops.empty()) return wrong("no destination", text);
  return hops;
}

Result<std::uint16_t> parse_port(std::string_view text,
                                 const std::vector<std::string>& known_ports) {
  if (all_digits(text)) {
    const auto number = parse_decimal(text);
    if (!number || *number == 0 || *number > 65535)
      return config_error("bad network port: " + std::string(text));
    return static_cast<std::uint16_t>(*number);
  }
  for (const std::string& entry : known_ports) {
    const auto names = split(entry, "=");
    if (names.size() < 2 || std::find(names.begin(), names.end() - 1, text) == names.end() - 1)
      continue;
    if (!all_digits(names.back())) return config_error("non-numerical service port: " + entry);
    return parse_port(names.back());
  }
  servent found{};
  servent* result = nullptr;
  char buffer[1024];
  const std::string name(text);
  if (getservbyname_r(name.c_str(), "tcp", &found, buffer, sizeof buffer, &result) == 0 && result)
    return ntohs(static_cast<std::uint16_t>(result->s_port));
  return config_error("unknown service: " + name + "/tcp");
}

Result<void> check_known_ports(const std::vector<std::string>& known_ports) {
  std::set<std::string_view> seen;
  for (const std::string& entry : known_ports) {
    const auto names = split(entry, "=");
    const auto bad = [&](std::string_view why) {
      return config_error("known_tcp_ports: " + std::string(why) + " in \"" + entry + "\"");
    };
    if (names.size() < 2) return bad("not in the form name = port");
    if (!all_digits(names.back())) return bad("non-numerical service port");
    if (!parse_port(names.back())) return bad("port number out of range");
    for (auto name = names.begin(); name != names.end() - 1; ++name) {
      if (all_digits(*name)) return bad("numerical service name");
      if (!seen.insert(*name).second) return bad("duplicate service name");
    }
  }
  return {};
}

} // namespace postrider::smtpclient
