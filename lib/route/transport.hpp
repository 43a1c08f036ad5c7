// SPDX-License-Identifier: MIT
// Where mail goes: recipient and sender -> transport and next hop. Decided anew at each attempt, so
// that a corrected table applies to mail that already waits. Owned by qmgr; blocks on tables in
// local files at most. Where may_wait() is true, resolve() and classify() are questions for
// maps::ask().
//
// 1. The class of the recipient's domain names a transport: mydestination and our own address
//    literals: local_transport; relay_domains: relay_transport; all others: default_transport, or
//    what sender_dependent_default_transport_maps says. What is still in one of
//    virtual_alias_domains has no alias, so it exists nowhere: error, whatever 2 and 3 say.
// 2. The next hop is the recipient's domain; for relay and default, relayhost or what
//    sender_dependent_relayhost_maps says replaces it; "transport:nexthop" in 1 replaces that.
// 3. transport_maps overrides both: "transport:nexthop"; ":nexthop" keeps the transport;
//    "transport:" goes to the recipient's domain; ":" changes nothing.
// The names error, retry and discard are for qmgr itself: bounce or defer with the next hop as
// text, or throw away.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/settings.hpp"
#include "maps/keys.hpp"
#include "maps/match_list.hpp"

namespace postrider::route {

inline constexpr std::string_view kErrorTransport = "error";
inline constexpr std::string_view kRetryTransport = "retry";
inline constexpr std::string_view kDiscardTransport = "discard";

enum class AddressClass { local, alias, relay, other };
std::string_view
to_string(AddressClass address_class); // "local", "virtual alias", "relay", "default"

struct Route {
  std::string transport;
  std::string nexthop;   // lower-case, but for error, retry and discard, and UNIX socket paths
  std::string recipient; // with its domain
  AddressClass address_class = AddressClass::other;
  bool operator==(const Route&) const = default;
};

struct RouterOptions {
  std::string myorigin, myhostname;
  bool append_at_myorigin = true;
  std::string local_transport, relay_transport, default_transport;
  std::string relayhost;
  std::string recipient_delimiter;
  std::string null_sender_relayhost_key = "<>";
  std::string null_sender_transport_key = "<>";
  bool transport_parents_match = false;
  std::vector<std::string> own_addresses; // "192.0.2.1"
};

class Router {
 public:
  // Error config: a list or table that cannot be understood. `own_addresses` are those of
  // inet_interfaces; proxy_interfaces are added here.
  static Result<Router> create(const config::Settings& settings,
                               std::vector<std::string> own_addresses,
                               Clock& clock = system_clock());

  // Error: a table could not be asked, or holds nonsense: defer. A recipient that no transport can
  // carry gets the transport error.
  Result<Route> resolve(std::string_view recipient, std::string_view sender);

  // FILTER of an access table: "transport:nexthop" for everybody; without a next hop the
  // recipient's domain. Error: it is none.
  Result<Route> resolve_filter(std::string_view filter, std::string_view recipient) const;

  Result<AddressClass> classify(std::string_view domain);
  bool may_wait() const;

 private:
  Router() = default;
  Result<void> apply_class(Route& route, std::string_view domain, std::string_view sender);
  Result<std::string> relayhost_of(std::string_view sender);
  Result<void> apply_map(Route& route, std::string_view domain);

  RouterOptions options_;
  maps::MatchList mydestination_, alias_domains_, relay_domains_;
  maps::MapList transport_maps_, sender_relayhosts_, sender_transports_;
  std::vector<maps::Address> own_;
};

// Whether parent_domain_matches_subdomains names `list`.
bool parents_match(const config::Settings& settings, std::string_view list);

} // namespace postrider::route
