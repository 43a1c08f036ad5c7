// SPDX-License-Identifier: MIT
#include "smtpclient/targets.hpp"

#include <algorithm>
#include <netinet/in.h>

#include "base/ascii.hpp"
#include "dns/host.hpp"
#include "dns/mx.hpp"
#include "mail/domain.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::size_t kMaxHosts = 32;   // of one MX list that are looked up in one delivery
constexpr std::size_t kMaxPerHost = 16; // addresses of one host

Error bad_nexthop(std::string_view text, std::string_view why) {
  return Error(ErrorKind::config,
               "bad next hop \"" + std::string(text) + "\": " + std::string(why));
}

Result<Nexthop> parse_inet(std::string_view text, std::string_view whole, const Options& options) {
  Nexthop hop;
  hop.port = options.default_port;
  std::string_view name = text;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return bad_nexthop(whole, "missing ]");
    name = text.substr(1, close - 1);
    hop.kind = Nexthop::Kind::host;
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return bad_nexthop(whole, "text behind ]");
    if (!rest.empty()) port = rest.substr(1);
    if (!rest.empty() && port.empty()) return bad_nexthop(whole, "port missing");
    if (istarts_with(name, "ipv6:")) name.remove_prefix(5);
    if (const auto address = net::Address::parse_ip(name, 0)) {
      hop.name = address->text();
    }
  } else if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    name = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (port.empty()) return bad_nexthop(whole, "port missing");
  }
  if (hop.name.empty()) {
    auto ascii = mail::to_ascii(name);
    if (!ascii) return bad_nexthop(whole, "no host or domain name");
    hop.name = std::move(*ascii);
    // LMTP has no MX: inet:host is a host.
    if (options.flavor == Flavor::lmtp) hop.kind = Nexthop::Kind::host;
  }
  if (!port.empty()) {
    auto number = parse_port(port);
    if (!number) return bad_nexthop(whole, number.error().text());
    hop.port = *number;
  }
  return hop;
}

} // namespace

Result<std::vector<Nexthop>> parse_nexthops(std::string_view text, const Options& options) {
  std::vector<Nexthop> hops;
  for (const std::string_view word : split(text, ", \t")) {
    if (word.starts_with("unix:")) {
      if (word.size() == 5) return bad_nexthop(word, "path missing");
      if (word.find('\0') != std::string_view::npos) return bad_nexthop(word, "NUL in the path");
      hops.push_back({Nexthop::Kind::unix_socket, std::string(word.substr(5)), 0});
      continue;
    }
    POSTRIDER_TRY(Nexthop hop,
                  parse_inet(word.starts_with("inet:") ? word.substr(5) : word, word, options));
    hops.push_back(std::move(hop));
  }
  if (hops.empty()) return bad_nexthop(text, "empty");
  return hops;
}

Peer Endpoint::peer() const { return {host, address.text(), address.port()}; }

ev::Task<TargetFinder::Found> TargetFinder::addresses_of(std::string_view name,
                                                         ev::Deadline deadline) {
  Found found;
  if (const auto literal = net::Address::parse_ip(name, 0)) {
    found.addresses.push_back(*literal);
    co_return found;
  }
  for (const dns::Type type : {dns::Type::a, dns::Type::aaaa}) {
    if (!options_.lookup_dns || !(type == dns::Type::a ? options_.use_ipv4 : options_.use_ipv6))
      continue;
    Result<dns::Answer> answer = co_await resolver_.query(name, type, deadline);
    if (!answer) {
      found.cancelled = true;
      co_return found;
    }
    if (answer->status == dns::Status::temporary) {
      found.temporary = true;
      found.reason = answer->reason;
    }
    for (const dns::Record& record : answer->records) {
      if (found.addresses.size() >= kMaxPerHost) break;
      sockaddr_storage raw{};
      socklen_t length = 0;
      if (type == dns::Type::a) {
        auto* in = reinterpret_cast<sockaddr_in*>(&raw);
        in->sin_family = AF_INET;
        record.data.copy(reinterpret_cast<char*>(&in->sin_addr), 4);
        length = sizeof *in;
      } else {
        auto* in = reinterpret_cast<sockaddr_in6*>(&raw);
        in->sin6_family = AF_INET6;
        record.data.copy(reinterpret_cast<char*>(&in->sin6_addr), 16);
        length = sizeof *in;
      }
      found.addresses.push_back(
          net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw), length));
    }
  }
  if (!found.addresses.empty() || !options_.lookup_native || !offload_) co_return found;
  Result<dns::HostAnswer> native = co_await dns::look_up_host(*offload_, name, deadline);
  if (!native) {
    found.cancelled = true;
    co_return found;
  }
  if (native->kind == dns::HostAnswer::Kind::temporary) {
    found.temporary = true;
    found.reason = native->reason;
  }
  for (const net::Address& address : native->addresses) {
    const bool wanted = address.family() == AF_INET ? options_.use_ipv4 : options_.use_ipv6;
    if (wanted && found.addresses.size() < kMaxPerHost) found.addresses.push_back(address);
  }
  co_return found;
}

// Endpoints of one preference: shuffled, then by the preferred family.
void TargetFinder::arrange(std::vector<Endpoint>& endpoints) {
  if (options_.randomize) std::shuffle(endpoints.begin(), endpoints.end(), jitter_.engine());
  if (options_.preference == Family::any) return;
  const int first = options_.preference == Family::ipv4 ? AF_INET : AF_INET6;
  std::stable_partition(endpoints.begin(), endpoints.end(),
                        [first](const Endpoint& e) { return e.address.family() == first; });
}

ev::Task<Targets> TargetFinder::find(ev::Lent<const Nexthop> hop) {
  const Nexthop& nexthop = *hop;
  Targets targets;
  if (nexthop.kind == Nexthop::Kind::unix_socket) {
    auto address = net::Address::unix_path(nexthop.name);
    Endpoint endpoint;
    endpoint.host = options_.my_name;
    if (address) {
      endpoint.address = *address;
      targets.endpoints.push_back(std::move(endpoint));
    } else {
      targets.trouble = Trouble{Cause::bad_nexthop, smtp::Step::lookup, {}, address.error().text()};
    }
    co_return targets;
  }

  const ev::Deadline deadline = loop_.after(options_.dns_time_limit);
  const auto fail = [&](Cause cause, std::string detail) {
    targets.endpoints.clear();
    targets.trouble = Trouble{cause, smtp::Step::lookup, {}, std::move(detail)};
  };
  const auto name_service = [](std::string_view name, std::string_view type, std::string_view why) {
    return "Host or domain name not found. Name service error for name=" + std::string(name) +
           " type=" + std::string(type) + ": " + std::string(why);
  };
  const bool by_mx =
      nexthop.kind == Nexthop::Kind::domain && options_.use_dns && options_.flavor == Flavor::smtp;
  dns::MxList list;
  if (by_mx) {
    Jitter* shuffle = options_.randomize ? &jitter_ : nullptr;
    Result<dns::MxList> looked_up =
        co_await dns::look_up_mx(resolver_, nexthop.name, shuffle, deadline);
    if (!looked_up) {
      fail(Cause::cancelled, looked_up.error().text());
      co_return targets;
    }
    list = std::move(*looked_up);
    // Never after a bogus answer: somebody may be lying to us.
    if (list.kind == dns::MxList::Kind::temporary && options_.ignore_mx_lookup_error &&
        list.security != dns::Security::bogus) {
      list.kind = dns::MxList::Kind::hosts;
      list.implicit = true;
      list.hosts.push_back({nexthop.name, 0});
    }
  } else {
    list.kind = dns::MxList::Kind::hosts;
    list.implicit = true;
    list.hosts.push_back({nexthop.name, 0});
  }
  switch (list.kind) {
  case dns::MxList::Kind::hosts: break;
  case dns::MxList::Kind::null_mx:
    fail(Cause::null_mx, "Domain " + nexthop.name + " does not accept mail (nullMX)");
    co_return targets;
  case dns::MxList::Kind::no_domain:
    fail(Cause::no_domain, name_service(nexthop.name, "MX", "Host not found"));
    co_return targets;
  case dns::MxList::Kind::unusable:
    fail(options_.defer_if_no_address ? Cause::no_address_yet : Cause::no_address,
         name_service(nexthop.name, "MX", "Malformed or unexpected name server reply"));
    co_return targets;
  case dns::MxList::Kind::temporary:
    fail(Cause::dns_temporary, name_service(nexthop.name, "MX", list.reason));
    co_return targets;
  }

  // Hosts in groups of equal preference. A group that this host is in, and all behind it, are left
  // out: they would send the mail back (RFC 5321 section 5.1).
  const bool detect_loop = options_.flavor == Flavor::smtp && nexthop.port == options_.default_port;
  bool temporary = false;
  std::string reason = "Host not found";
  std::string missing = list.hosts.front().name;
  std::vector<Endpoint> group;
  for (std::size_t i = 0; i < list.hosts.size() && i < kMaxHosts; ++i) {
    const dns::MxHost& host = list.hosts[i];
    Found found = co_await addresses_of(host.name, deadline);
    if (found.cancelled) {
      fail(Cause::cancelled, "interrupted");
      co_return targets;
    }
    if (found.temporary) {
      temporary = true;
      reason = found.reason;
      missing = host.name;
    }
    bool is_me = detect_loop && by_mx && iequals(host.name, options_.my_name);
    for (net::Address address : found.addresses) {
      is_me = is_me || (detect_loop && options_.is_own(address));
      address.set_port(nexthop.port);
      Endpoint endpoint;
      endpoint.address = address;
      endpoint.host = host.name;
      endpoint.preference = host.preference;
      group.push_back(std::move(endpoint));
    }
    if (is_me) {
      targets.we_are_mx = true;
      group.clear();
      break;
    }
    const bool group_ends =
        i + 1 == list.hosts.size() || list.hosts[i + 1].preference != host.preference;
    if (!group_ends) continue;
    arrange(group);
    std::move(group.begin(), group.end(), std::back_inserter(targets.endpoints));
    group.clear();
    if (options_.address_limit > 0 && targets.endpoints.size() >= options_.address_limit) break;
  }
  arrange(group); // kMaxHosts cut a group
  std::move(group.begin(), group.end(), std::back_inserter(targets.endpoints));

  if (targets.endpoints.empty()) {
    if (targets.we_are_mx)
      fail(Cause::loop, "mail for " + nexthop.name + " loops back to myself");
    else if (temporary)
      fail(Cause::dns_temporary, name_service(missing, "A", reason));
    else
      fail(options_.defer_if_no_address ? Cause::no_address_yet : Cause::no_address,
           name_service(missing, by_mx && !list.implicit ? "A" : "AAAA", "Host not found"));
    co_return targets;
  }
  if (options_.address_limit > 0 && targets.endpoints.size() > options_.address_limit) {
    auto& all = targets.endpoints;
    const auto limit = static_cast<std::ptrdiff_t>(options_.address_limit);
    // Keep one address of the other family rather than five of the one that may not work here.
    if (options_.balance_families && limit > 1) {
      const int family = all.front().address.family();
      const auto is_other = [family](const Endpoint& e) { return e.address.family() != family; };
      if (std::none_of(all.begin(), all.begin() + limit, is_other)) {
        const auto other = std::find_if(all.begin() + limit, all.end(), is_other);
        if (other != all.end()) std::iter_swap(all.begin() + limit - 1, other);
      }
    }
    all.resize(static_cast<std::size_t>(limit));
  }
  co_return targets;
}

} // namespace postrider::smtpclient
