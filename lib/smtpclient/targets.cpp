// SPDX-License-Identifier: MIT
#include "smtpclient/targets.hpp"

#include <algorithm>
#include <functional>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "dns/host.hpp"
#include "mail/domain.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::uint16_t kSmtpPort = 25;
// Whoever publishes more than this cannot make us work more.
constexpr std::size_t kMaxHosts = 32;      // of one MX list that are looked up in one delivery
constexpr std::size_t kMaxPerHost = 16;    // addresses of one host
constexpr std::size_t kMaxEndpoints = 100; // of one next hop; also without smtp_mx_address_limit
constexpr int kAnswersInTotal = 4; // all look-ups of a next hop may take so many dns_time_limits

std::string name_error(std::string_view name, dns::Type type, std::string_view why) {
  return "Name service error for name=" + std::string(name) +
         " type=" + std::string(dns::to_string(type)) + ": " + std::string(why);
}

std::string not_found(std::string_view name, dns::Type type, std::string_view why) {
  return "Host or domain name not found. " + name_error(name, type, why);
}

std::string try_again(std::string_view name, dns::Type type, std::string_view reason) {
  return not_found(name, type, "Host not found, try again (" + std::string(reason) + ")");
}

std::string drops_all(std::string_view name, dns::Type type) {
  return "Error looking up name=" + std::string(name) +
         " type=" + std::string(dns::to_string(type)) + ": DNS reply filter drops all results";
}

Targets failed(Cause cause, std::string detail) {
  Targets targets;
  targets.trouble = Trouble{cause, smtp::Step::lookup, {}, std::move(detail)};
  return targets;
}

Targets unix_target(const Nexthop& hop, const Options& options) {
  auto address = net::Address::unix_path(hop.name);
  if (!address) return failed(Cause::bad_nexthop, address.error().text());
  Endpoint endpoint;
  endpoint.host = options.my_name;
  endpoint.address = *address;
  Targets targets;
  targets.endpoints.push_back(std::move(endpoint));
  return targets;
}

} // namespace

// Where the next hop leads before addresses are known.
struct TargetFinder::Hosts {
  std::vector<dns::MxHost> list;
  std::string mx_domain; // at the end of aliases
  bool mx_secure = false;
  bool by_mx = false;      // strangers decide where the domain's mail goes
  bool exchangers = false; // the list is that of MX records
  std::optional<Trouble> trouble;
  Hosts() {}
};

struct TargetFinder::Found {
  enum class Lack : std::uint8_t { none, missing, filtered, temporary };
  struct Place {
    net::Address address;
    bool secure;
    std::string canonical;
  };
  std::vector<Place> places;
  Lack lack = Lack::none; // the worst that was heard; matters when no address is found at all
  std::string text;
  bool cancelled = false;
  Found() {}
  void note(Lack what, std::string why) {
    if (what < lack) return;
    lack = what;
    text = std::move(why);
  }
  void add(const net::Address& address, bool secure = false, std::string_view canonical = {}) {
    if (places.size() < kMaxPerHost) places.push_back({address, secure, std::string(canonical)});
  }
};

Peer Endpoint::peer() const { return {host, address.text(), address.port()}; }

bool detects_loops(const Nexthop& hop, const Options& options) {
  return options.flavor == Flavor::smtp && hop.port == kSmtpPort;
}

void balance_families(std::vector<Endpoint>& endpoints, std::size_t limit) {
  if (endpoints.size() <= limit) return;
  const auto is_four = [](const Endpoint& e) { return e.address.family() == AF_INET; };
  const auto four =
      static_cast<std::size_t>(std::count_if(endpoints.begin(), endpoints.end(), is_four));
  const std::size_t six = endpoints.size() - four;
  std::size_t keep_four = limit;
  std::size_t keep_six = limit;
  if (four > 0 && six > 0) {
    if (six <= limit / 2)
      keep_four = limit - six;
    else if (four <= limit / 2)
      keep_six = limit - four;
    else {
      keep_four = (limit + (is_four(endpoints.front()) ? 1 : 0)) / 2;
      keep_six = limit - keep_four;
    }
  }
  std::vector<Endpoint> kept;
  for (Endpoint& endpoint : endpoints) {
    std::size_t& room = is_four(endpoint) ? keep_four : keep_six;
    if (room == 0) continue;
    --room;
    kept.push_back(std::move(endpoint));
  }
  endpoints = std::move(kept);
}

ev::Deadline TargetFinder::one_answer(ev::Deadline all) const {
  return loop_.after(options_.dns_time_limit).earlier(all);
}

ev::Task<void> TargetFinder::add_dns_addresses(std::string_view name, ev::Lent<Found> found,
                                               ev::Deadline deadline) {
  using Lack = Found::Lack;
  for (const dns::Type type : {dns::Type::a, dns::Type::aaaa}) {
    if (!(type == dns::Type::a ? options_.use_ipv4 : options_.use_ipv6)) continue;
    Result<dns::Answer> answer = co_await resolver_.query(name, type, one_answer(deadline));
    if (!answer) {
      found->cancelled = true;
      co_return;
    }
    switch (answer->status) {
    case dns::Status::ok:
      for (const dns::Record& record : answer->records)
        found->add(dns::address_of(record, type), answer->security == dns::Security::secure,
                   answer->canonical);
      break;
    case dns::Status::no_data:
      found->note(Lack::missing,
                  not_found(name, type, "Host found but no data record of requested type"));
      break;
    case dns::Status::no_domain:
      if (answer->reason.empty())
        found->note(Lack::missing, not_found(name, type, "Host not found"));
      else
        found->note(Lack::missing,
                    "Name service error for " + std::string(name) + ": " + answer->reason);
      break;
    case dns::Status::filtered: found->note(Lack::filtered, drops_all(name, type)); break;
    case dns::Status::unusable:
    case dns::Status::temporary:
      found->note(Lack::temporary, try_again(name, type, answer->reason));
      break;
    }
  }
}

ev::Task<void> TargetFinder::add_native_addresses(std::string_view name, ev::Lent<Found> found,
                                                  ev::Deadline deadline) {
  using Lack = Found::Lack;
  Result<dns::HostAnswer> answer =
      co_await dns::look_up_host(*offload_, name, one_answer(deadline));
  if (!answer) {
    found->cancelled = true;
    co_return;
  }
  for (const net::Address& address : answer->addresses)
    if (address.family() == AF_INET ? options_.use_ipv4 : options_.use_ipv6) found->add(address);
  const bool temporary = answer->kind == dns::HostAnswer::Kind::temporary;
  if (!answer->reason.empty())
    found->note(temporary ? Lack::temporary : Lack::missing,
                "unable to look up host " + std::string(name) + ": " + answer->reason);
  else
    found->note(Lack::missing, std::string(name) + ": host not found");
}

// The system's own look-up is asked when the DNS knows no such host; not when it has trouble, for
// then nobody knows.
ev::Task<TargetFinder::Found> TargetFinder::addresses_of(std::string_view name,
                                                         ev::Deadline deadline) {
  Found found;
  if (const auto literal = net::Address::parse_ip(name, 0)) {
    if (literal->family() == AF_INET ? options_.use_ipv4 : options_.use_ipv6) {
      found.add(*literal);
      co_return found;
    }
    found.note(Found::Lack::missing, "the address " + literal->text() +
                                         " is of an IP version that inet_protocols leaves out");
    co_return found;
  }
  if (options_.lookup_dns) co_await add_dns_addresses(name, found, deadline);
  const bool go_on = found.places.empty() && !found.cancelled &&
                     found.lack <= Found::Lack::missing && options_.lookup_native;
  if (go_on && offload_ != nullptr) co_await add_native_addresses(name, found, deadline);
  co_return found;
}

ev::Task<TargetFinder::Hosts> TargetFinder::hosts_of(ev::Lent<const Nexthop> hop,
                                                     ev::Deadline deadline) {
  using Kind = dns::MxList::Kind;
  const std::string& name = hop->name;
  Hosts hosts;
  hosts.by_mx =
      hop->kind == Nexthop::Kind::domain && options_.use_dns && options_.flavor == Flavor::smtp;
  const auto fail = [&hosts](Cause cause, std::string detail) {
    hosts.trouble = Trouble{cause, smtp::Step::lookup, {}, std::move(detail)};
  };
  if (hosts.by_mx) {
    Jitter* shuffle = options_.randomize ? &jitter_ : nullptr;
    Result<dns::MxList> answer =
        co_await dns::look_up_mx(resolver_, name, shuffle, one_answer(deadline));
    if (!answer) {
      fail(Cause::cancelled, answer.error().text());
      co_return hosts;
    }
    // Never after a bogus answer: somebody may be lying to us.
    const bool ignores =
        options_.ignore_mx_lookup_error && answer->security != dns::Security::bogus;
    switch (answer->kind) {
    case Kind::hosts:
      hosts.exchangers = !answer->implicit;
      hosts.mx_domain = answer->canonical;
      hosts.mx_secure = answer->security == dns::Security::secure;
      hosts.list = std::move(answer->hosts);
      break;
    case Kind::no_domain: break; // some name servers say so when only the MX record is missing
    case Kind::null_mx:
      fail(Cause::null_mx, "Domain " + name + " does not accept mail (nullMX)");
      break;
    case Kind::filtered: fail(Cause::dns_filtered, drops_all(name, dns::Type::mx)); break;
    case Kind::unusable:
      if (!ignores)
        fail(Cause::no_address,
             name_error(name, dns::Type::mx, "Malformed or unexpected name server reply"));
      break;
    case Kind::temporary:
      if (!ignores) fail(Cause::dns_temporary, try_again(name, dns::Type::mx, answer->reason));
      break;
    }
  }
  if (hosts.list.empty()) hosts.list.push_back({name, 0});
  co_return hosts;
}

// All hosts are looked up, as in Postfix, unless what is known cannot change any more.
bool TargetFinder::enough(const std::vector<Endpoint>& endpoints) const {
  const std::size_t limit = options_.address_limit;
  if (endpoints.size() >= kMaxEndpoints) return true;
  // Whether this host is an MX decides about fallback relays.
  if (limit == 0 || !options_.fallback_relays.empty()) return false;
  std::size_t four = 0;
  std::size_t six = 0;
  for (const Endpoint& endpoint : endpoints)
    if (endpoint.routed) ++(endpoint.address.family() == AF_INET ? four : six);
  if (four + six < limit) return false;
  const bool balances = options_.balance_families && options_.use_ipv4 && options_.use_ipv6;
  return !balances || (four > limit / 2 && six > limit / 2);
}

// Equal preferences: shuffled, then by the preferred family.
void TargetFinder::arrange(std::vector<Endpoint>& endpoints) {
  const int first = options_.preference == Family::ipv4 ? AF_INET : AF_INET6;
  for (auto from = endpoints.begin(); from != endpoints.end();) {
    const auto to = std::find_if(from, endpoints.end(), [from](const Endpoint& e) {
      return e.preference != from->preference;
    });
    if (options_.randomize) std::shuffle(from, to, jitter_.engine());
    if (options_.preference != Family::any)
      std::stable_partition(from, to,
                            [first](const Endpoint& e) { return e.address.family() == first; });
    from = to;
  }
}

ev::Task<Targets> TargetFinder::find(ev::Lent<const Nexthop> hop) {
  if (hop->kind == Nexthop::Kind::unix_socket) co_return unix_target(*hop, options_);
  const ev::Deadline deadline = loop_.after(options_.dns_time_limit * kAnswersInTotal);
  Hosts hosts = co_await hosts_of(hop, deadline);
  Targets targets;
  if (hosts.trouble) {
    targets.trouble = std::move(hosts.trouble);
    co_return targets;
  }

  const bool detects = detects_loops(*hop, options_);
  std::vector<Endpoint>& all = targets.endpoints;
  Found worst;
  std::optional<std::uint16_t> own_preference;
  for (std::size_t i = 0; i < hosts.list.size() && i < kMaxHosts && !own_preference; ++i) {
    const dns::MxHost& host = hosts.list[i];
    if (i > 0 && host.preference != hosts.list[i - 1].preference && enough(all)) break;
    Found found = co_await addresses_of(host.name, deadline);
    if (found.cancelled) co_return failed(Cause::cancelled, "interrupted");
    if (found.places.empty()) worst.note(found.lack, std::move(found.text));
    bool is_me = detects && hosts.exchangers && iequals(host.name, options_.my_name);
    for (const Found::Place& place : found.places) {
      net::Address address = place.address;
      // A stranger's MX record must not lead us to services of this host.
      is_me = is_me ||
              (detects && (options_.is_own(address) || (hosts.by_mx && address.is_loopback())));
      if (hosts.by_mx && address.is_link_local_or_group()) {
        log::warning("address " + address.text() + " of host " + host.name + " for " + hop->name +
                     " cannot be a mail server: left out");
        worst.note(Found::Lack::missing, not_found(host.name, dns::Type::a, "no usable address"));
        continue;
      }
      address.set_port(hop->port);
      Endpoint endpoint;
      endpoint.address = address;
      endpoint.host = host.name;
      endpoint.preference = host.preference;
      endpoint.by_mx = hosts.exchangers;
      endpoint.mx_secure = hosts.mx_secure;
      endpoint.mx_domain = hosts.mx_domain;
      endpoint.secure = place.secure;
      endpoint.canonical = place.canonical;
      endpoint.routed = !(options_.use_ipv4 && options_.use_ipv6) || has_route_(address);
      all.push_back(std::move(endpoint));
    }
    if (is_me) own_preference = host.preference;
  }

  if (own_preference) {
    // What is no better than this host would send the mail back (RFC 5321 section 5.1).
    const std::uint16_t best_found = all.empty() ? *own_preference : all.front().preference;
    std::erase_if(all, [&](const Endpoint& e) { return e.preference >= *own_preference; });
    const bool primary_is_lost = best_found != hosts.list.front().preference;
    if (all.empty() && primary_is_lost)
      targets = failed(Cause::no_address_yet, "unable to find primary relay for " + hop->name);
    else if (all.empty())
      targets = failed(Cause::loop, "mail for " + hop->name + " loops back to myself");
    targets.we_are_mx = true;
    if (targets.trouble) co_return targets;
  }
  if (all.empty()) {
    if (hosts.exchangers)
      log::warning("no MX host for " + hop->name + " has a valid address record");
    const bool defers = hosts.exchangers && options_.defer_if_no_address;
    const Cause cause = worst.lack == Found::Lack::temporary  ? Cause::dns_temporary
                        : worst.lack == Found::Lack::filtered ? Cause::dns_filtered
                        : defers                              ? Cause::no_address_yet
                        : hosts.by_mx && !hosts.exchangers    ? Cause::no_domain
                                                              : Cause::no_address;
    co_return failed(cause, worst.text);
  }

  // A family that has no way out of this host takes no part, unless there is nothing else to
  // report.
  const auto routed = [](const Endpoint& e) { return e.routed; };
  if (std::any_of(all.begin(), all.end(), routed)) std::erase_if(all, std::not_fn(routed));
  arrange(all);
  const std::size_t limit =
      options_.address_limit > 0 ? std::min(options_.address_limit, kMaxEndpoints) : kMaxEndpoints;
  if (options_.address_limit > 0 && options_.balance_families) balance_families(all, limit);
  if (all.size() > limit) all.resize(limit);
  co_return targets;
}

} // namespace postrider::smtpclient
