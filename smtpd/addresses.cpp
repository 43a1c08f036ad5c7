// SPDX-License-Identifier: MIT
#include "addresses.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "mail/address.hpp"
#include "mail/domain.hpp"
#include "maps/keys.hpp"

namespace postrider::smtpd {

namespace {

// Bits of canonical_classes and its relatives, in the order of addresses_config.cpp.
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

std::string shown(const std::string& address) { return "<" + mail::to_external(address) + ">"; }

// A copy asks for no reports.
mail::Recipient copy_to(std::string address) {
  mail::Recipient out;
  out.address = std::move(address);
  out.notify = mail::notify_never;
  return out;
}

} // namespace

void Addresses::complete(std::string& address) const {
  route::complete_address(address, origin_, mydomain_);
}

bool Addresses::is_own(const std::string& address) const {
  return std::find(own_addresses_.begin(), own_addresses_.end(), address) != own_addresses_.end();
}

// Whether users of the domain are known by their name alone.
Result<bool> Addresses::is_local(std::string_view domain) {
  if (domain.empty() || iequals(domain, origin_)) return true;
  const std::string literal = mail::literal_address(domain);
  if (!literal.empty()) return is_own(literal);
  return local_domains_->matches_domain(domain);
}

Result<bool> Addresses::is_alias_domain(const std::string& domain) {
  return alias_domains_->matches_domain(domain);
}

// --- who exists --------------------------------------------------------------------------------

Result<bool> Addresses::has(maps::MapList& maps, const std::string& address, bool is_local) {
  if (maps.empty()) return false;
  POSTRIDER_TRY(
      const std::optional<std::string> found,
      maps::search(maps, maps::generic_keys(address, {.delimiters = delimiters_}, is_local)));
  return found.has_value();
}

Result<std::optional<smtp::Refusal>> Addresses::validity(const std::string& given, Role role) {
  using Verdict = std::optional<smtp::Refusal>;
  std::string address = given;
  complete(address);
  if (address.empty()) return Verdict();
  const std::string domain(mail::domain_part(address));
  POSTRIDER_TRY(const bool local, is_local(domain));
  // What a table rewrites goes somewhere else.
  for (Rewriter* table : {&recipient_canonical_, &canonical_, &alias_}) {
    POSTRIDER_TRY(const bool found, has(table->maps, address, local));
    if (found) return Verdict();
  }
  if (role == Role::sender) {
    POSTRIDER_TRY(const bool found, has(sender_canonical_.maps, address, local));
    if (found) return Verdict();
  }
  const std::string what =
      shown(given) + (role == Role::sender ? ": Sender" : ": Recipient") + " address rejected: ";
  const std::string dsn = role == Role::sender ? "5.1.0" : "5.1.1";
  const auto unknown = [&](int code, std::string_view table, std::string detail) {
    if (code < 500) detail.front() = '4';
    return Verdict(smtp::Refusal{code, std::move(detail),
                                 what + "User unknown in " + std::string(table) + " table"});
  };
  if (!relocated_.empty()) {
    POSTRIDER_TRY(
        const std::optional<std::string> moved,
        maps::search(relocated_, maps::generic_keys(address, {.delimiters = delimiters_}, local)));
    if (moved)
      return Verdict(
          {550, role == Role::sender ? "5.1.7" : "5.1.6", what + "User has moved to " + *moved});
  }
  if (local) {
    if (local_recipients_.empty() || domain.empty()) return Verdict();
    // Ours, whatever the table says: reports are from and for them (RFC 5321 section 4.5.1).
    for (const std::string_view name : {"postmaster", "mailer-daemon", "double-bounce"})
      if (iequals(mail::local_part(address), name) && iequals(domain, origin_)) return Verdict();
    POSTRIDER_TRY(const bool found, has(local_recipients_, address, true));
    return found ? Verdict() : unknown(local_code_, "local recipient", dsn);
  }
  POSTRIDER_TRY(const bool alias, is_alias_domain(domain));
  if (alias) return unknown(alias_code_, "virtual alias", role == Role::sender ? "5.1.7" : dsn);
  if (relay_recipients_.empty()) return Verdict();
  POSTRIDER_TRY(const bool relay, relay_domains_->matches_domain(domain));
  if (!relay) return Verdict();
  POSTRIDER_TRY(const bool found, has(relay_recipients_, address, false));
  return found ? Verdict() : unknown(relay_code_, "relay recipient", dsn);
}

// --- rewriting ---------------------------------------------------------------------------------

Result<std::string> Addresses::canonical(Rewriter& with, std::string address) {
  for (int i = 0; i < kCanonicalDepth; ++i) {
    POSTRIDER_TRY(const bool local, is_local(mail::domain_part(address)));
    POSTRIDER_TRY(std::vector<std::string> found,
                  route::map_address(with.maps, address, with.rules, local));
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
Result<std::string> Addresses::rewritten(std::string address, Role role, bool header) {
  if (address.empty()) return address;
  const bool sender = role == Role::sender;
  const unsigned bit = header ? (sender ? header_sender : header_recipient)
                              : (sender ? envelope_sender : envelope_recipient);
  for (Rewriter* table : {sender ? &sender_canonical_ : &recipient_canonical_, &canonical_}) {
    if ((table->classes & bit) == 0 || table->maps.empty()) continue;
    POSTRIDER_TRY(address, canonical(*table, std::move(address)));
  }
  return address;
}

Result<std::string> Addresses::in_header(const std::string& address, Role role) {
  std::string complete_one = address;
  complete(complete_one);
  return rewritten(std::move(complete_one), role, true);
}

bool Addresses::rewrites_envelopes() const {
  const auto any = [](const auto&... lists) { return (!lists.empty() || ...); };
  return any(canonical_.maps, sender_canonical_.maps, recipient_canonical_.maps, alias_.maps,
             sender_copies_, recipient_copies_, always_copy_);
}

Result<Addresses::Sender> Addresses::sender(const std::string& address) {
  Sender out;
  POSTRIDER_TRY(out.address, rewritten(address, Role::sender, false));
  if (out.address.empty()) return out;
  POSTRIDER_TRY(const bool local, is_local(mail::domain_part(out.address)));
  POSTRIDER_TRY(out.copy,
                maps::search(sender_copies_,
                             maps::generic_keys(out.address, {.delimiters = delimiters_}, local)));
  return out;
}

// An address that becomes itself is not looked up again, so that "a: a, b" works.
Result<std::vector<std::string>> Addresses::aliases(const std::string& address) {
  std::vector<std::string> out{address};
  if (alias_.maps.empty()) return out;
  std::vector<std::string> settled; // in lower case
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::size_t depth = 0;; ++depth) {
      if (std::find(settled.begin(), settled.end(), lowercase(out[i])) != settled.end()) break;
      if (depth >= recursion_limit_) return alias_error("nesting", address);
      POSTRIDER_TRY(const bool local, is_local(mail::domain_part(out[i])));
      POSTRIDER_TRY(std::vector<std::string> found,
                    route::map_address(alias_.maps, out[i], alias_.rules, local));
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

Result<void> Addresses::add_aliases(const mail::Recipient& of, std::vector<mail::Recipient>& out) {
  POSTRIDER_TRY(std::vector<std::string> all, aliases(of.address));
  for (std::string& address : all) {
    mail::Recipient one = of;
    if (one.original.empty() && address != of.address) one.original = of.address;
    one.address = std::move(address);
    out.push_back(std::move(one));
  }
  return {};
}

Result<std::vector<mail::Recipient>> Addresses::recipients(const mail::Recipient& recipient) {
  mail::Recipient one = recipient;
  POSTRIDER_TRY(one.address, rewritten(recipient.address, Role::recipient, false));
  if (one.original.empty() && one.address != recipient.address) one.original = recipient.address;
  std::vector<mail::Recipient> out;
  POSTRIDER_TRY_VOID(add_aliases(one, out));
  if (recipient_copies_.empty()) return out;
  POSTRIDER_TRY(const bool local, is_local(mail::domain_part(one.address)));
  POSTRIDER_TRY(const std::optional<std::string> copy,
                maps::search(recipient_copies_,
                             maps::generic_keys(one.address, {.delimiters = delimiters_}, local)));
  if (!copy) return out;
  POSTRIDER_TRY(std::vector<mail::Recipient> more, copies(*copy));
  std::move(more.begin(), more.end(), std::back_inserter(out));
  return out;
}

Result<std::vector<mail::Recipient>> Addresses::copies(const std::string& to) {
  std::string address(trim(to));
  complete(address);
  POSTRIDER_TRY(address, rewritten(std::move(address), Role::recipient, false));
  if (!mail::parse_mailbox(mail::to_external(address), mail::Utf8::yes))
    return Error(ErrorKind::config, "\"" + to + "\" is no address for a copy");
  std::vector<mail::Recipient> out;
  POSTRIDER_TRY_VOID(add_aliases(copy_to(std::move(address)), out));
  return out;
}

// --- headers -----------------------------------------------------------------------------------

Result<bool> Addresses::rewrites_headers(const Peer& client) {
  for (HeaderClient& one : header_clients_) {
    switch (one.kind) {
    case HeaderClient::Kind::interfaces:
      if (client.local || is_own(client.address)) return true;
      break;
    case HeaderClient::Kind::networks:
      if (client.trusted) return true;
      break;
    case HeaderClient::Kind::authenticated:
      if (!client.login.method.empty()) return true;
      break;
    case HeaderClient::Kind::certificate:
      if (client.tls.trusted) return true;
      break;
    case HeaderClient::Kind::table: {
      if (client.local) break;
      POSTRIDER_TRY(const bool found, one.list->matches_host(client.name, client.address));
      if (found) return true;
      break;
    }
    }
  }
  return false;
}

} // namespace postrider::smtpd
