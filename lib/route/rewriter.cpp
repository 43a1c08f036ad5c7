// SPDX-License-Identifier: MIT
#include "route/rewriter.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "config/settings.hpp"
#include "mail/address.hpp"
#include "mail/domain.hpp"
#include "maps/keys.hpp"
#include "net/address.hpp"
#include "route/transport.hpp"

namespace postrider::route {

namespace {

// Bits of canonical_classes and its relatives, in the order of classes_of().
enum Class : unsigned {
  envelope_sender = 1,
  envelope_recipient = 2,
  header_sender = 4,
  header_recipient = 8
};

// How often canonical tables are asked again about their own answer, as Postfix does.
constexpr int kCanonicalDepth = 20;

Error alias_error(const std::string& what, const std::string& address) {
  return Error(ErrorKind::limit, "unreasonable virtual_alias_maps " + what + " for " + address);
}

// A copy asks for no reports.
mail::Recipient copy_to(std::string address) {
  mail::Recipient out;
  out.address = std::move(address);
  out.notify = mail::notify_never;
  return out;
}

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

// --- which tables there are --------------------------------------------------------------------

Result<Rewriter> Rewriter::open(const config::Settings& settings, Scope scope) {
  Rewriter a;
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
    Scope scope;
  } tables[] = {
      {"virtual_alias_maps", settings.text("virtual_alias_maps"), a.alias_.maps,
       Scope::readdressing},
      {"canonical_maps", settings.text("canonical_maps"), a.canonical_.maps, Scope::readdressing},
      {"recipient_canonical_maps", settings.text("recipient_canonical_maps"),
       a.recipient_canonical_.maps, Scope::readdressing},
      {"sender_canonical_maps", settings.text("sender_canonical_maps"), a.sender_canonical_.maps,
       Scope::all},
      {"sender_bcc_maps", settings.text("sender_bcc_maps"), a.sender_copies_, Scope::all},
      {"recipient_bcc_maps", settings.text("recipient_bcc_maps"), a.recipient_copies_, Scope::all},
  };
  for (const auto& table : tables) {
    if (scope == Scope::readdressing && table.scope == Scope::all) continue;
    auto opened = maps::open_maps(table.text, options);
    if (!opened) return wrong(table.name, opened.error().text());
    table.maps = std::move(*opened);
  }
  auto local =
      maps::MatchList::open(settings.list("mydestination"),
                            {.parents_match = parents_match(settings, "mydestination")}, options);
  if (!local) return wrong("mydestination", local.error().text());
  a.local_domains_ = std::move(*local);

  const std::vector<std::string>& propagate = settings.words("propagate_unmatched_extensions");
  const auto rules = [&](Table& table, std::string_view name, std::string_view extensions) {
    table.rules.title = name;
    table.rules.delimiters = a.delimiters_;
    table.rules.propagate = has_word(propagate, extensions);
    table.rules.origin = a.origin_;
    table.rules.mydomain = a.mydomain_;
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
  return a;
}

// --- what addresses are ------------------------------------------------------------------------

void Rewriter::complete(std::string& address) const {
  complete_address(address, origin_, mydomain_);
}

bool Rewriter::is_own(const std::string& address) const {
  return std::find(own_addresses_.begin(), own_addresses_.end(), address) != own_addresses_.end();
}

Result<bool> Rewriter::is_local(std::string_view domain) {
  if (domain.empty() || iequals(domain, origin_)) return true;
  const std::string literal = mail::literal_address(domain);
  if (!literal.empty()) return is_own(literal);
  return local_domains_.matches_domain(domain);
}

Result<bool> Rewriter::has_entry(const std::string& address, Role role, bool is_local) {
  const auto keys = maps::generic_keys(address, {.delimiters = delimiters_}, is_local);
  std::vector<Table*> tables{&recipient_canonical_, &canonical_, &alias_};
  if (role == Role::sender) tables.push_back(&sender_canonical_);
  for (Table* table : tables) {
    if (table->maps.empty()) continue;
    POSTRIDER_TRY(const std::optional<std::string> found, maps::search(table->maps, keys));
    if (found) return true;
  }
  return false;
}

// --- canonical addresses, aliases, copies ------------------------------------------------------

Result<std::string> Rewriter::canonical(Table& with, std::string address) {
  for (int i = 0; i < kCanonicalDepth; ++i) {
    POSTRIDER_TRY(const bool local, is_local(mail::domain_part(address)));
    POSTRIDER_TRY(std::vector<std::string> found,
                  map_address(with.maps, address, with.rules, local));
    if (found.empty()) return address;
    if (found.size() > 1)
      log::warning("multi-valued " + with.rules.title + " entry for " + address);
    const bool same = iequals(found.front(), address);
    address = std::move(found.front());
    if (same) return address;
  }
  return Error(ErrorKind::limit, "unreasonable " + with.rules.title + " nesting for " + address);
}

// The table for senders or recipients first, then the one for both.
Result<std::string> Rewriter::rewritten(std::string address, Role role, bool header) {
  if (address.empty()) return address;
  const bool sender = role == Role::sender;
  const unsigned bit = header ? (sender ? header_sender : header_recipient)
                              : (sender ? envelope_sender : envelope_recipient);
  for (Table* table : {sender ? &sender_canonical_ : &recipient_canonical_, &canonical_}) {
    if ((table->classes & bit) == 0 || table->maps.empty()) continue;
    POSTRIDER_TRY(address, canonical(*table, std::move(address)));
  }
  return address;
}

Result<std::string> Rewriter::in_header(const std::string& address, Role role) {
  std::string complete_one = address;
  complete(complete_one);
  return rewritten(std::move(complete_one), role, true);
}

bool Rewriter::rewrites_envelopes() const {
  const auto any = [](const auto&... lists) { return (!lists.empty() || ...); };
  return any(canonical_.maps, sender_canonical_.maps, recipient_canonical_.maps, alias_.maps,
             sender_copies_, recipient_copies_, always_copy_);
}

Result<Rewriter::Sender> Rewriter::sender(const std::string& address) {
  Sender out;
  POSTRIDER_TRY(out.address, rewritten(address, Role::sender, false));
  if (out.address.empty()) return out;
  POSTRIDER_TRY(out.copy, copy_of(sender_copies_, out.address));
  return out;
}

// An address that becomes itself is not looked up again, so that "a: a, b" works.
Result<std::vector<std::string>> Rewriter::aliases(const std::string& address) {
  std::vector<std::string> out{address};
  if (alias_.maps.empty()) return out;
  std::vector<std::string> settled; // in lower case
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::size_t depth = 0;; ++depth) {
      if (std::find(settled.begin(), settled.end(), lowercase(out[i])) != settled.end()) break;
      if (depth >= recursion_limit_) return alias_error("nesting", address);
      POSTRIDER_TRY(const bool local, is_local(mail::domain_part(out[i])));
      POSTRIDER_TRY(std::vector<std::string> found,
                    map_address(alias_.maps, out[i], alias_.rules, local));
      if (found.empty()) break;
      const std::string before = lowercase(out[i]);
      for (std::size_t k = 0; k < found.size(); ++k) {
        if (found[k].size() > length_limit_) return alias_error("result length", address);
        if (lowercase(found[k]) == before) settled.push_back(before);
        if (k == 0)
          out[i] = std::move(found[k]);
        else
          out.push_back(std::move(found[k]));
      }
      if (out.size() > expansion_limit_) return alias_error("expansion size", address);
    }
  }
  return out;
}

Result<void> Rewriter::add_aliases(const mail::Recipient& of, std::vector<mail::Recipient>& out) {
  POSTRIDER_TRY(std::vector<std::string> all, aliases(of.address));
  mail::Recipient form = of;
  const bool is_other = all.size() > 1 || all.front() != of.address;
  if (is_other && (of.notify & mail::notify_success) != 0) {
    out.push_back(of);
    out.back().expanded = true;
    form.notify &= static_cast<std::uint8_t>(~mail::notify_success);
    if (form.notify == 0) form.notify = mail::notify_never; // nothing was asked for but success
  }
  for (std::string& address : all) {
    mail::Recipient one = form;
    if (one.original.empty() && address != of.address) one.original = of.address;
    one.address = std::move(address);
    out.push_back(std::move(one));
  }
  return {};
}

Result<std::optional<std::string>> Rewriter::copy_of(maps::MapList& maps,
                                                     const std::string& address) {
  if (maps.empty()) return std::optional<std::string>();
  POSTRIDER_TRY(const bool local, is_local(mail::domain_part(address)));
  return maps::search(maps, maps::generic_keys(address, {.delimiters = delimiters_}, local));
}

Result<std::vector<mail::Recipient>> Rewriter::readdressed(const mail::Recipient& recipient) {
  mail::Recipient one = recipient;
  POSTRIDER_TRY(one.address, rewritten(recipient.address, Role::recipient, false));
  if (one.original.empty() && one.address != recipient.address) one.original = recipient.address;
  std::vector<mail::Recipient> out;
  POSTRIDER_TRY_VOID(add_aliases(one, out));
  return out;
}

Result<std::vector<mail::Recipient>> Rewriter::recipients(const mail::Recipient& recipient) {
  POSTRIDER_TRY(std::vector<mail::Recipient> out, readdressed(recipient));
  if (recipient_copies_.empty()) return out;
  POSTRIDER_TRY(const std::string address, rewritten(recipient.address, Role::recipient, false));
  POSTRIDER_TRY(const std::optional<std::string> copy, copy_of(recipient_copies_, address));
  if (!copy) return out;
  POSTRIDER_TRY(std::vector<mail::Recipient> more, copies(*copy));
  std::move(more.begin(), more.end(), std::back_inserter(out));
  return out;
}

Result<std::vector<mail::Recipient>> Rewriter::copies(const std::string& to) {
  std::string address(trim(to));
  complete(address);
  POSTRIDER_TRY(address, rewritten(std::move(address), Role::recipient, false));
  if (!mail::parse_mailbox(mail::to_external(address), mail::Utf8::yes))
    return Error(ErrorKind::config, "\"" + to + "\" is no address for a copy");
  std::vector<mail::Recipient> out;
  POSTRIDER_TRY_VOID(add_aliases(copy_to(std::move(address)), out));
  return out;
}

} // namespace postrider::route
