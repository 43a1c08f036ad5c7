// SPDX-License-Identifier: MIT
// Which tables there are, by main.cf.
#include "addresses.hpp"
#include "base/ascii.hpp"
#include "config/settings.hpp"
#include "route/transport.hpp"

namespace postrider::smtpd {

namespace {

Error wrong(std::string_view parameter, const std::string& what) {
  return Error(ErrorKind::config, std::string(parameter) + ": " + what);
}

} // namespace

Result<std::shared_ptr<Addresses>> Addresses::open(const config::Settings& settings) {
  POSTRIDER_TRY(route::Rewriter rewriter, route::Rewriter::open(settings));
  std::shared_ptr<Addresses> out(new Addresses(std::move(rewriter)));
  Addresses& a = *out;
  maps::MapOptions options;
  options.base_directory = settings.config_directory();
  a.delimiters_ = settings.text("recipient_delimiter");
  const struct {
    std::string_view name;
    const std::string& text;
    maps::MapList& maps;
  } tables[] = {
      {"relocated_maps", settings.text("relocated_maps"), a.relocated_},
      {"local_recipient_maps", settings.text("local_recipient_maps"), a.local_recipients_},
      {"relay_recipient_maps", settings.text("relay_recipient_maps"), a.relay_recipients_},
      {"relay_clientcerts", settings.text("relay_clientcerts"), a.client_certificates_},
  };
  for (const auto& table : tables) {
    auto opened = maps::open_maps(table.text, options);
    if (!opened) return wrong(table.name, opened.error().text());
    table.maps = std::move(*opened);
  }
  const struct {
    std::string_view name;
    const std::string& text;
    maps::MatchList& list;
  } lists[] = {
      {"virtual_alias_domains", settings.list("virtual_alias_domains"), a.alias_domains_},
      {"relay_domains", settings.list("relay_domains"), a.relay_domains_},
  };
  for (const auto& one : lists) {
    const maps::MatchList::Rules rules{.parents_match = route::parents_match(settings, one.name)};
    auto opened = maps::MatchList::open(one.text, rules, options);
    if (!opened) return wrong(one.name, opened.error().text());
    one.list = std::move(*opened);
  }
  a.local_code_ = static_cast<int>(settings.number("unknown_local_recipient_reject_code"));
  a.relay_code_ = static_cast<int>(settings.number("unknown_relay_recipient_reject_code"));
  a.alias_code_ = static_cast<int>(settings.number("unknown_virtual_alias_reject_code"));

  using Kind = HeaderClient::Kind;
  bool table_follows = false;
  for (const std::string& word : settings.words("local_header_rewrite_clients")) {
    if (table_follows || word.find(':') != std::string::npos) {
      auto list = maps::MatchList::open(word, {}, options);
      if (!list) return wrong("local_header_rewrite_clients", list.error().text());
      a.header_clients_.push_back(
          {Kind::table, std::make_unique<maps::MatchList>(std::move(*list))});
      table_follows = false;
    } else if (iequals(word, "permit_inet_interfaces")) {
      a.header_clients_.push_back({Kind::interfaces, nullptr});
    } else if (iequals(word, "permit_mynetworks")) {
      a.header_clients_.push_back({Kind::networks, nullptr});
    } else if (iequals(word, "permit_sasl_authenticated")) {
      a.header_clients_.push_back({Kind::authenticated, nullptr});
    } else if (iequals(word, "permit_tls_clientcerts")) {
      a.header_clients_.push_back({Kind::listed_certificate, nullptr});
    } else if (iequals(word, "permit_tls_all_clientcerts")) {
      a.header_clients_.push_back({Kind::certificate, nullptr});
    } else if (iequals(word, "check_address_map")) {
      table_follows = true;
    } else {
      return wrong("local_header_rewrite_clients", "unknown word \"" + word + "\"");
    }
  }
  if (table_follows) return wrong("local_header_rewrite_clients", "check_address_map: no table");
  return out;
}

} // namespace postrider::smtpd
