// SPDX-License-Identifier: MIT
#include "smtpclient/tables.hpp"

#include <algorithm>

namespace postrider::smtpclient {

Result<Tables> Tables::open(const config::Settings& settings, Flavor flavor) {
  const auto client = settings.client(flavor == Flavor::lmtp ? "lmtp" : "smtp");
  maps::MapOptions where;
  where.base_directory = settings.config_directory();
  Tables t;
  const struct {
    std::string_view parameter;
    maps::MapList& list;
  } lists[] = {
      {"generic_maps", t.generic},
      {"header_checks", t.header_checks},
      {"mime_header_checks", t.mime_header_checks},
      {"nested_header_checks", t.nested_header_checks},
      {"body_checks", t.body_checks},
      {"discard_ehlo_keyword_address_maps", t.discard_keywords},
      {"pix_workaround_maps", t.pix_workarounds},
      {"reply_filter", t.reply_filter},
      {"dns_reply_filter", t.dns_reply_filter},
      {"delivery_status_filter", t.status_filter},
      {"tls_policy_maps", t.tls_policy},
      {"tls_per_site", t.tls_per_site},
      {"sasl_password_maps", t.sasl_passwords},
  };
  for (const auto& row : lists) {
    auto opened = maps::open_maps(client.list(row.parameter), where);
    if (!opened)
      return Error(ErrorKind::config, std::string(row.parameter) + ": " + opened.error().text());
    row.list = std::move(*opened);
  }
  t.reply_filter.take_empty_answers();
  auto local = maps::MatchList::open(settings.list("mydestination"), {}, where);
  if (!local) return Error(ErrorKind::config, "mydestination: " + local.error().text());
  t.local_domains = std::move(*local);
  const auto& parents = settings.words("parent_domain_matches_subdomains");
  maps::MatchList::Rules rules;
  rules.parents_match =
      std::find(parents.begin(), parents.end(), "debug_peer_list") != parents.end();
  auto peers = maps::MatchList::open(settings.list("debug_peer_list"), rules, where);
  if (!peers) return Error(ErrorKind::config, "debug_peer_list: " + peers.error().text());
  t.debug_peers = std::move(*peers);
  auto kept = maps::MatchList::open(client.list("connection_cache_destinations"), {}, where);
  if (!kept)
    return Error(ErrorKind::config, "connection_cache_destinations: " + kept.error().text());
  t.cache_destinations = std::move(*kept);
  auto mechanisms = maps::MatchList::open(client.list("sasl_mechanism_filter"), {}, where);
  if (!mechanisms)
    return Error(ErrorKind::config, "sasl_mechanism_filter: " + mechanisms.error().text());
  t.sasl_mechanisms = std::move(*mechanisms);
  return t;
}

} // namespace postrider::smtpclient
