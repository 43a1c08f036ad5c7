// SPDX-License-Identifier: MIT
#include "route/transport.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/check.hpp"

namespace postrider::route {

namespace {

constexpr std::size_t kLongestAddress = 4096;

bool has_text_nexthop(std::string_view transport) {
  return transport == kErrorTransport || transport == kRetryTransport;
}

bool is_transport_name(std::string_view name) {
  return !name.empty() && name.size() <= 100 && std::all_of(name.begin(), name.end(), [](char c) {
    return is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '+';
  });
}

// "transport:nexthop"; without a colon all of it is the transport.
std::pair<std::string_view, std::string_view> split_target(std::string_view text) {
  text = trim(text);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return {text, {}};
  return {trim(text.substr(0, colon)), trim(text.substr(colon + 1))};
}

bool is_domain(std::string_view domain) {
  if (domain.empty() || domain.size() > 255) return false;
  if (domain.front() == '[')
    return domain.size() > 2 && domain.back() == ']' &&
           domain.substr(1, domain.size() - 2).find_first_of("[]<>@ \t\\\"") ==
               std::string_view::npos;
  if (domain.front() == '.' || domain.back() == '.' || domain.find("..") != std::string_view::npos)
    return false;
  return std::all_of(domain.begin(), domain.end(), [](char c) {
    return is_alnum(c) || c == '-' || c == '_' || c == '.' || static_cast<unsigned char>(c) >= 0x80;
  });
}

std::string fold_nexthop(std::string_view transport, std::string_view nexthop) {
  if (has_text_nexthop(transport) || transport == kDiscardTransport ||
      nexthop.find('/') != std::string_view::npos)
    return std::string(nexthop);
  return lowercase(nexthop);
}

Result<void> check_target(std::string_view transport, std::string_view nexthop,
                          std::string_view from) {
  if (!is_transport_name(transport))
    return Error(ErrorKind::config, std::string(from) + ": \"" +
                                        std::string(transport.substr(0, 60)) +
                                        "\" is no transport; write transport:nexthop");
  const bool clean = std::none_of(nexthop.begin(), nexthop.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (!clean || nexthop.size() > 2000)
    return Error(ErrorKind::config,
                 std::string(from) + ": the next hop is too long or holds control characters");
  return {};
}

bool is_dunno(std::string_view text) { return iequals(trim(text), "DUNNO"); }

} // namespace

std::string_view to_string(AddressClass address_class) {
  switch (address_class) {
  case AddressClass::local: return "local";
  case AddressClass::alias: return "virtual alias";
  case AddressClass::relay: return "relay";
  case AddressClass::other: return "default";
  }
  POSTRIDER_UNREACHABLE();
}

bool parents_match(const config::Settings& settings, std::string_view list) {
  const auto& words = settings.words("parent_domain_matches_subdomains");
  return std::find(words.begin(), words.end(), list) != words.end();
}

Result<Router> Router::create(const config::Settings& settings,
                              std::vector<std::string> own_addresses, Clock& clock) {
  Router router;
  RouterOptions& o = router.options_;
  o.myorigin = settings.text("myorigin");
  o.myhostname = settings.text("myhostname");
  o.append_at_myorigin = settings.flag("append_at_myorigin");
  o.local_transport = settings.text("local_transport");
  o.relay_transport = settings.text("relay_transport");
  o.default_transport = settings.text("default_transport");
  o.relayhost = settings.text("relayhost");
  o.recipient_delimiter = settings.text("recipient_delimiter");
  o.null_sender_relayhost_key = settings.text("empty_address_relayhost_maps_lookup_key");
  o.null_sender_transport_key = settings.text("empty_address_default_transport_maps_lookup_key");
  o.transport_parents_match = parents_match(settings, "transport_maps");
  o.own_addresses = std::move(own_addresses);
  for (const std::string& address : settings.words("proxy_interfaces"))
    o.own_addresses.push_back(address);
  for (const std::string& text : o.own_addresses)
    if (auto address = maps::parse_address(text)) router.own_.push_back(*address);

  const maps::MapOptions where{
      .base_directory = settings.config_directory(), .clock = &clock, .substitution = false};
  const auto open_list = [&](const char* name, const std::string& spec, maps::MatchList& list) {
    auto opened =
        maps::MatchList::open(spec, {.parents_match = parents_match(settings, name)}, where);
    if (!opened) return Result<void>(opened.error().in(name));
    list = *std::move(opened);
    return Result<void>();
  };
  const auto open_tables = [&](const char* name, const std::string& spec, maps::MapList& tables) {
    auto opened = maps::open_maps(spec, where);
    if (!opened) return Result<void>(opened.error().in(name));
    tables = *std::move(opened);
    return Result<void>();
  };
  POSTRIDER_TRY_VOID(
      open_list("mydestination", settings.list("mydestination"), router.mydestination_));
  POSTRIDER_TRY_VOID(open_list("virtual_alias_domains", settings.list("virtual_alias_domains"),
                               router.alias_domains_));
  POSTRIDER_TRY_VOID(
      open_list("relay_domains", settings.list("relay_domains"), router.relay_domains_));
  POSTRIDER_TRY_VOID(
      open_tables("transport_maps", settings.list("transport_maps"), router.transport_maps_));
  POSTRIDER_TRY_VOID(open_tables("sender_dependent_relayhost_maps",
                                 settings.list("sender_dependent_relayhost_maps"),
                                 router.sender_relayhosts_));
  POSTRIDER_TRY_VOID(open_tables("sender_dependent_default_transport_maps",
                                 settings.list("sender_dependent_default_transport_maps"),
                                 router.sender_transports_));
  for (const auto& [name, text] : {std::pair("local_transport", &o.local_transport),
                                   std::pair("relay_transport", &o.relay_transport),
                                   std::pair("default_transport", &o.default_transport)}) {
    const auto [transport, nexthop] = split_target(*text);
    POSTRIDER_TRY_VOID(check_target(transport, nexthop, name));
  }
  return router;
}

bool Router::may_wait() const {
  return mydestination_.may_wait() || alias_domains_.may_wait() || relay_domains_.may_wait() ||
         transport_maps_.may_wait() || sender_relayhosts_.may_wait() ||
         sender_transports_.may_wait();
}

Result<AddressClass> Router::classify(std::string_view domain) {
  POSTRIDER_TRY(const bool local, mydestination_.matches_domain(domain));
  if (local) return AddressClass::local;
  if (!domain.empty() && domain.front() == '[')
    if (const auto literal = maps::parse_address(domain))
      if (std::find(own_.begin(), own_.end(), *literal) != own_.end()) return AddressClass::local;
  POSTRIDER_TRY(const bool alias, alias_domains_.matches_domain(domain));
  if (alias) return AddressClass::alias;
  POSTRIDER_TRY(const bool relay, relay_domains_.matches_domain(domain));
  return relay ? AddressClass::relay : AddressClass::other;
}

Result<Route> Router::resolve(std::string_view recipient, std::string_view sender) {
  Route route;
  route.recipient = recipient.substr(0, kLongestAddress + 1);
  const std::size_t at = route.recipient.rfind('@');
  if (at == std::string::npos && !recipient.empty() && options_.append_at_myorigin)
    route.recipient += "@" + options_.myorigin;
  else if (!route.recipient.empty() && route.recipient.back() == '.')
    route.recipient.pop_back(); // the dot of the DNS root
  const maps::AddressParts parts = maps::split_address(route.recipient, {});
  const std::string domain = lowercase(parts.domain);
  if (recipient.size() > kLongestAddress || parts.local.empty() || !is_domain(domain)) {
    route.transport = kErrorTransport;
    route.nexthop = "5.1.3 Bad recipient address syntax";
    return route;
  }
  POSTRIDER_TRY(route.address_class, classify(domain));
  if (route.address_class == AddressClass::alias) {
    route.transport = kErrorTransport;
    route.nexthop = "5.1.1 User unknown in virtual alias table";
    return route;
  }
  POSTRIDER_TRY_VOID(apply_class(route, domain, sender));
  POSTRIDER_TRY_VOID(apply_map(route, domain));
  return route;
}

Result<Route> Router::resolve_filter(std::string_view filter, std::string_view recipient) const {
  const auto [transport, nexthop] = split_target(filter);
  const maps::AddressParts parts = maps::split_address(recipient, {});
  const std::string_view hop = !nexthop.empty()        ? nexthop
                               : !parts.domain.empty() ? std::string_view(parts.domain)
                                                       : std::string_view(options_.myhostname);
  POSTRIDER_TRY_VOID(check_target(transport, hop, "FILTER"));
  Route route;
  route.transport = transport;
  route.nexthop = fold_nexthop(transport, hop);
  route.recipient = recipient;
  return route;
}

Result<void> Router::apply_class(Route& route, std::string_view domain, std::string_view sender) {
  std::string target;
  route.nexthop = domain;
  switch (route.address_class) {
  case AddressClass::local: target = options_.local_transport; break;
  case AddressClass::relay: target = options_.relay_transport; break;
  case AddressClass::alias: break; // resolve() is done with it
  case AddressClass::other: {
    target = options_.default_transport;
    const std::string key(sender.empty() ? options_.null_sender_transport_key
                                         : std::string(sender));
    POSTRIDER_TRY(
        const auto own,
        maps::search(sender_transports_, maps::address_keys(key, {options_.recipient_delimiter})));
    if (own && !is_dunno(*own)) target = *own;
    break;
  }
  }
  if (route.address_class != AddressClass::local) {
    POSTRIDER_TRY(const std::string relayhost, relayhost_of(sender));
    if (!relayhost.empty()) route.nexthop = relayhost;
  }
  const auto [transport, nexthop] = split_target(target);
  if (!nexthop.empty())
    route.nexthop = nexthop;
  else if (has_text_nexthop(transport))
    route.nexthop = "Address is undeliverable";
  POSTRIDER_TRY_VOID(check_target(transport, route.nexthop, "the transport of this address"));
  route.transport = transport;
  route.nexthop = fold_nexthop(route.transport, route.nexthop);
  return {};
}

Result<std::string> Router::relayhost_of(std::string_view sender) {
  const std::string key(sender.empty() ? options_.null_sender_relayhost_key : std::string(sender));
  POSTRIDER_TRY(
      const auto own,
      maps::search(sender_relayhosts_, maps::address_keys(key, {options_.recipient_delimiter})));
  return own && !is_dunno(*own) ? *own : options_.relayhost;
}

Result<void> Router::apply_map(Route& route, std::string_view domain) {
  POSTRIDER_TRY(
      const auto answer,
      maps::search(transport_maps_,
                   maps::transport_keys(route.recipient, {options_.recipient_delimiter,
                                                          options_.transport_parents_match})));
  if (!answer) return {};
  const auto [transport, nexthop] = split_target(*answer);
  const std::string chosen(transport.empty() ? std::string_view(route.transport) : transport);
  std::string hop(nexthop);
  if (hop.empty()) {
    if (transport.empty()) return {};
    hop = has_text_nexthop(chosen) ? std::string("Address is undeliverable") : std::string(domain);
  }
  POSTRIDER_TRY_VOID(check_target(chosen, hop, "transport_maps"));
  route.transport = chosen;
  route.nexthop = fold_nexthop(chosen, hop);
  return {};
}

} // namespace postrider::route
