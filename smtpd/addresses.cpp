// SPDX-License-Identifier: MIT
#include "addresses.hpp"

#include "base/ascii.hpp"
#include "mail/address.hpp"
#include "maps/keys.hpp"

namespace postrider::smtpd {

namespace {

std::string shown(const std::string& address) { return "<" + mail::to_external(address) + ">"; }

} // namespace

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
  rewriter_.complete(address);
  if (address.empty()) return Verdict();
  const std::string domain(mail::domain_part(address));
  POSTRIDER_TRY(const bool local, rewriter_.is_local(domain));
  // What a table rewrites goes somewhere else.
  POSTRIDER_TRY(const bool rewritten, rewriter_.has_entry(address, role, local));
  if (rewritten) return Verdict();
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
      if (iequals(mail::local_part(address), name) && iequals(domain, rewriter_.origin()))
        return Verdict();
    POSTRIDER_TRY(const bool found, has(local_recipients_, address, true));
    return found ? Verdict() : unknown(local_code_, "local recipient", dsn);
  }
  POSTRIDER_TRY(const bool alias, alias_domains_.matches_domain(domain));
  if (alias) return unknown(alias_code_, "virtual alias", role == Role::sender ? "5.1.7" : dsn);
  if (relay_recipients_.empty()) return Verdict();
  POSTRIDER_TRY(const bool relay, relay_domains_.matches_domain(domain));
  if (!relay) return Verdict();
  POSTRIDER_TRY(const bool found, has(relay_recipients_, address, false));
  return found ? Verdict() : unknown(relay_code_, "relay recipient", dsn);
}

// --- for whom headers are rewritten ------------------------------------------------------------

Result<bool> Addresses::rewrites_headers(const Peer& client) {
  for (HeaderClient& one : header_clients_) {
    switch (one.kind) {
    case HeaderClient::Kind::interfaces:
      if (client.local || rewriter_.is_own(client.address)) return true;
      break;
    case HeaderClient::Kind::networks:
      if (client.trusted) return true;
      break;
    case HeaderClient::Kind::authenticated:
      if (!client.login.method.empty()) return true;
      break;
    case HeaderClient::Kind::certificate:
      if (client.tls.has_certificate && client.tls.trusted) return true;
      break;
    case HeaderClient::Kind::listed_certificate:
      for (const std::string& print : {client.tls.fingerprint, client.tls.key_fingerprint}) {
        if (!client.tls.has_certificate || print.empty()) continue;
        POSTRIDER_TRY(const std::optional<std::string> found,
                      client_certificates_.lookup(print, maps::Key::whole));
        if (found) return true;
      }
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
