// SPDX-License-Identifier: MIT
// The look-up tables of the client, opened before its jail closes. An empty list has no effect.
#pragma once

#include "config/settings.hpp"
#include "maps/map.hpp"
#include "maps/match_list.hpp"
#include "smtpclient/options.hpp"

namespace postrider::smtpclient {

struct Tables {
  // the content, and the addresses of the envelope
  maps::MapList generic;
  maps::MatchList local_domains; // mydestination: generic(5) knows their users by name alone
  maps::MapList header_checks;
  maps::MapList mime_header_checks;
  maps::MapList nested_header_checks;
  maps::MapList body_checks;
  // the conversation; keys are addresses of servers, or lines of replies
  maps::MapList discard_keywords;
  maps::MapList pix_workarounds;
  maps::MapList reply_filter;
  // where to: "name ttl class type preference value"
  maps::MapList dns_reply_filter;
  // the outcome: "5.1.1 text"
  maps::MapList status_filter;
  maps::MatchList debug_peers;
  // Destinations whose sessions are kept without being asked: names without brackets and port.
  maps::MatchList cache_destinations;
  // TLS: next hops to levels and attributes; the old form, next hops and hosts to words
  maps::MapList tls_policy;
  maps::MapList tls_per_site;
  // SASL: sender, host or next hop to user:password; names of mechanisms
  maps::MapList sasl_passwords;
  maps::MatchList sasl_mechanisms;

  // Error config names the parameter.
  static Result<Tables> open(const config::Settings& settings, Flavor flavor);
};

} // namespace postrider::smtpclient
