// SPDX-License-Identifier: MIT
// Which tables there are, by main.cf.
#include <algorithm>

#include "addresses.hpp"
#include "base/ascii.hpp"
#include "config/settings.hpp"

namespace postrider::smtpd {

namespace {

Error wrong(std::string_view parameter, const std::string& what) {
  return Error(ErrorKind::config, std::string(parameter) + ": " + what);
}

bool has_word(const std::vector<std::string>& words, std::string_view word) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& one) { return iequals(one, word); });
}

Result<unsigned> classes_of(std::string_view parameter, const std::vector<std::string>& words) {
  constexpr std::string_view kNames[] = {"envelope_sender", "envelope_recipient", "header_sender",
                                         "header_recipient"};
  unsigned out = 0;
  for (const std::string& word : words) {
    const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                     [&](std::string_view name) { return iequals(name, word); });
    if (found == std::end(kNames)) return wrong(parameter, "\"" + word + "\" is no such class");
    out |= 1U << (found - std::begin(kNames));
  }
  return out;
}

// Addresses alone: a name in inet_interfaces stands for one of the machine's.
std::vector<std::string> own_addresses(const config::Settings& settings) {
  std::vector<std::string> out;
  std::vector<std::string> words = settings.words("inet_interfaces");
  const std::vector<std::string>& outside = settings.words("proxy_interfaces");
  words.insert(words.end(), outside.begin(), outside.end());
  for (const std::string& word : words) {
    if (const auto address = net::Address::parse_ip(word, 0)) {
      out.push_back(address->text());
    } else if (iequals(word, "loopback-only")) {
      out.insert(out.end(), {"127.0.0.1", "::1"});
    } else {
      const std::vector<std::string> all = config::Machine::here().addresses;
      out.insert(out.end(), all.begin(), all.end());
    }
  }
  return out;
}

} // namespace

Result<std::shared_ptr<Addresses>> Addresses::open(const config::Settings& settings) {
  auto out = std::make_shared<Addresses>();
  Addresses& a = *out;
  maps::MapOptions options;
  options.base_directory = settings.config_directory();
  if (settings.flag("append_at_myorigin")) a.origin_ = settings.text("myorigin");
  if (settings.flag("append_dot_mydomain")) a.mydomain_ = settings.text("mydomain");
  a.delimiters_ = settings.text("recipient_delimiter");
  a.always_copy_ = trim(settings.text("always_bcc"));
  a.own_addresses_ = own_addresses(settings);

  const struct {
    std::string_view name;
    const std::string& text;
    maps::MapList& maps;
  } tables[] = {
      {"virtual_alias_maps", settings.text("virtual_alias_maps"), a.alias_.maps},
      {"canonical_maps", settings.text("canonical_maps"), a.canonical_.maps},
      {"sender_canonical_maps", settings.text("sender_canonical_maps"), a.sender_canonical_.maps},
      {"recipient_canonical_maps", settings.text("recipient_canonical_maps"),
       a.recipient_canonical_.maps},
      {"relocated_maps", settings.text("relocated_maps"), a.relocated_},
      {"sender_bcc_maps", settings.text("sender_bcc_maps"), a.sender_copies_},
      {"recipient_bcc_maps", settings.text("recipient_bcc_maps"), a.recipient_copies_},
      {"local_recipient_maps", settings.text("local_recipient_maps"), a.local_recipients_},
      {"relay_recipient_maps", settings.text("relay_recipient_maps"), a.relay_recipients_},
  };
  for (const auto& table : tables) {
    auto opened = maps::open_maps(table.text, options);
    if (!opened) return wrong(table.name, opened.error().text());
    table.maps = std::move(*opened);
  }

  const std::vector<std::string>& parents = settings.words("parent_domain_matches_subdomains");
  const struct {
    std::string_view name;
    const std::string& text;
    std::optional<maps::MatchList>& list;
  } lists[] = {
      {"virtual_alias_domains", settings.list("virtual_alias_domains"), a.alias_domains_},
      {"mydestination", settings.list("mydestination"), a.local_domains_},
      {"relay_domains", settings.list("relay_domains"), a.relay_domains_},
  };
  for (const auto& one : lists) {
    auto opened =
        maps::MatchList::open(one.text, {.parents_match = has_word(parents, one.name)}, options);
    if (!opened) return wrong(one.name, opened.error().text());
    one.list.emplace(std::move(*opened));
  }

  const std::vector<std::string>& propagate = settings.words("propagate_unmatched_extensions");
  const auto rules = [&](Rewriter& rewriter, std::string_view name, std::string_view extensions) {
    rewriter.rules.title = name;
    rewriter.rules.delimiters = a.delimiters_;
    rewriter.rules.propagate = has_word(propagate, extensions);
    rewriter.rules.origin = a.origin_;
    rewriter.rules.mydomain = a.mydomain_;
  };
  rules(a.alias_, "virtual_alias_maps", "virtual");
  rules(a.canonical_, "canonical_maps", "canonical");
  rules(a.sender_canonical_, "sender_canonical_maps", "canonical");
  rules(a.recipient_canonical_, "recipient_canonical_maps", "canonical");
  POSTRIDER_TRY(a.canonical_.classes,
                classes_of("canonical_classes", settings.words("canonical_classes")));
  POSTRIDER_TRY(a.sender_canonical_.classes,
                classes_of("sender_canonical_classes", settings.words("sender_canonical_classes")));
  POSTRIDER_TRY(
      a.recipient_canonical_.classes,
      classes_of("recipient_canonical_classes", settings.words("recipient_canonical_classes")));

  a.expansion_limit_ = static_cast<std::size_t>(settings.number("virtual_alias_expansion_limit"));
  a.recursion_limit_ = static_cast<std::size_t>(settings.number("virtual_alias_recursion_limit"));
  a.length_limit_ = static_cast<std::size_t>(settings.number("virtual_alias_address_length_limit"));
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
    } else if (iequals(word, "permit_tls_clientcerts") ||
               iequals(word, "permit_tls_all_clientcerts")) {
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
