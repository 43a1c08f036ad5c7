// SPDX-License-Identifier: MIT
// Restrictions on names and addresses: whose domain it is, what form it has, whether it exists.
#include "base/ascii.hpp"
#include "base/log.hpp"
#include "config.hpp"
#include "mail/address.hpp"
#include "mail/domain.hpp"
#include "maps/ask.hpp"
#include "restrict.hpp"

namespace postrider::smtpd {

namespace {

// Without one dot at its end; a second one stays, and is wrong.
std::string_view without_dot(std::string_view name) {
  if (name.size() > 1 && name.back() == '.' && name[name.size() - 2] != '.') name.remove_suffix(1);
  return name;
}

bool is_fqdn(std::string_view name) {
  return mail::is_domain(name) && name.find('.') != std::string_view::npos;
}

bool is_literal(std::string_view domain) { return domain.starts_with('['); }

std::string bracketed(std::string_view address) { return "<" + mail::to_external(address) + ">"; }

} // namespace

// Whether it is for us: a domain of ours in the last instance, or one that we relay for as well.
ev::Task<Result<bool>> Walk::is_final(const std::string& address, bool relay_too) {
  const std::string domain(mail::domain_part(address));
  if (domain.empty()) co_return true;
  const std::function<Result<bool>()> question = [&] {
    return relay_too ? rules_.lists->is_ours(domain) : rules_.lists->is_final(domain);
  };
  co_return co_await maps::ask<bool>(loop_, question, loop_.after(rules_.dns_limit));
}

ev::Task<Walk::Verdict> Walk::authorise(Word word, const View& view) {
  if (!at_.recipient) co_return Verdict::dunno;
  const std::string& recipient = *at_.recipient;
  Result<bool> ours = co_await is_final(recipient, true);
  if (!ours) {
    log::warning(ours.error().text());
    co_return trouble(451, "4.3.0", bracketed(recipient) + ": Temporary lookup failure");
  }
  const bool authorised = *ours && !has_routing(recipient);
  if (word == Word::permit_auth_destination)
    co_return authorised ? permit("permit_auth_destination", view) : Verdict::dunno;
  if (authorised) co_return Verdict::dunno;
  const int code = rules_.codes.relay_denied;
  const bool defers = word == Word::defer_unauth_destination;
  co_return reject(defers && code >= 500 ? code - 100 : code, "5.7.1",
                   bracketed(recipient) + ": Relay access denied");
}

// Permit mail for domains of which this host is an MX, but not the best one.
ev::Task<Walk::Verdict> Walk::mx_backup(const View& view) {
  if (!at_.recipient) co_return Verdict::dunno;
  const std::string& recipient = *at_.recipient;
  Result<bool> ours = co_await is_final(recipient, true);
  if (!ours) co_return trouble(451, "4.3.0", bracketed(recipient) + ": Temporary lookup failure");
  if (has_routing(recipient)) co_return Verdict::dunno;
  if (*ours) co_return permit("permit_mx_backup", view);
  const std::string domain(mail::domain_part(recipient));
  if (is_literal(domain)) co_return Verdict::dunno;
  const auto unsure = [&](const std::string& what) {
    return doubt_refusal(450, "4.4.4", said(view, " rejected: " + what));
  };
  const dns::Answer answer = co_await query(domain, dns::Type::mx);
  if (answer.status == dns::Status::temporary)
    co_return unsure("Unable to look up mail exchanger information: " + answer.reason);
  if (answer.status != dns::Status::ok) co_return Verdict::dunno;
  std::uint16_t best = 0xffff;
  for (const dns::Record& record : answer.records)
    best = std::min(best, record.preference);
  bool is_mx = false;
  bool primaries_allowed = true;
  for (const dns::Record& record : answer.records) {
    const Hosts hosts = co_await addresses_of(record.data);
    if (hosts.status == dns::Status::temporary)
      co_return unsure("Unable to look up host " + record.data + " as mail exchanger");
    for (const std::string& address : hosts.addresses) {
      for (const auto* own : {&rules_.own_addresses, &rules_.proxy_addresses})
        for (const std::string& mine : *own)
          is_mx = is_mx || mine == address;
      if (record.preference != best || !rules_.mx_backup_networks) continue;
      const std::function<Result<bool>()> question = [&] {
        return rules_.mx_backup_networks->matches_address(address);
      };
      Result<bool> inside =
          co_await maps::ask<bool>(loop_, question, loop_.after(rules_.dns_limit));
      primaries_allowed = primaries_allowed && inside && *inside;
    }
  }
  co_return is_mx&& primaries_allowed ? permit("permit_mx_backup", view) : Verdict::dunno;
}

// --- HELO --------------------------------------------------------------------------------------

Walk::Verdict Walk::helo_form(Word word) {
  if (at_.helo.empty()) return Verdict::dunno;
  const View view = view_of(Subject::helo);
  const Codes& codes = rules_.codes;
  if (is_literal(at_.helo)) {
    if (mail::is_address_literal(at_.helo) || !mail::literal_address(at_.helo).empty())
      return Verdict::dunno;
    return reject(codes.invalid_hostname, "5.5.2", said(view, " rejected: invalid ip address"));
  }
  const std::string_view name = without_dot(at_.helo);
  if (word == Word::reject_invalid_helo_hostname) {
    if (mail::is_domain(name) || maps::parse_address(name)) return Verdict::dunno;
    return reject(codes.invalid_hostname, "5.5.2", said(view, " rejected: Invalid name"));
  }
  if (mail::is_hostname(name) && is_fqdn(name)) return Verdict::dunno;
  return reject(codes.non_fqdn, "5.5.2", said(view, " rejected: need fully-qualified hostname"));
}

ev::Task<Walk::Verdict> Walk::unknown_helo() {
  if (at_.helo.empty()) co_return Verdict::dunno;
  if (is_literal(at_.helo)) co_return helo_form(Word::reject_invalid_helo_hostname);
  const std::string name(without_dot(at_.helo));
  const View view = view_of(Subject::helo);
  bool temporary = false;
  for (const dns::Type type : {dns::Type::a, dns::Type::aaaa, dns::Type::mx}) {
    const dns::Answer answer = co_await query(name, type);
    if (answer.status == dns::Status::ok) co_return Verdict::dunno;
    temporary = temporary || answer.status == dns::Status::temporary;
    if (answer.status == dns::Status::no_domain) break;
  }
  const std::string text = said(view, " rejected: Host not found");
  if (temporary) co_return doubt(rules_.defer_unknown_helo, 450, "4.7.1", text);
  co_return reject(rules_.codes.unknown_hostname, "4.7.1", text);
}

// --- sender and recipient ----------------------------------------------------------------------

Walk::Verdict Walk::address_form(Subject subject) {
  const auto address = name_of(subject);
  if (!address || address->empty()) return Verdict::dunno;
  const std::string_view domain = mail::domain_part(*address);
  if (is_literal(domain) || is_fqdn(without_dot(domain))) return Verdict::dunno;
  return reject(rules_.codes.non_fqdn, "4.5.2",
                said(view_of(subject), " rejected: need fully-qualified address"));
}

ev::Task<Walk::Verdict> Walk::unknown_domain(Subject subject) {
  const auto address = name_of(subject);
  if (!address || address->empty()) co_return Verdict::dunno;
  const std::string domain(mail::domain_part(*address));
  if (domain.empty() || is_literal(domain)) co_return Verdict::dunno;
  Result<bool> final = co_await is_final(*address, false);
  if (!final) co_return trouble(451, "4.3.0", bracketed(*address) + ": Temporary lookup failure");
  if (*final) co_return Verdict::dunno;
  const bool sender = subject == Subject::sender;
  const View view = view_of(subject);
  bool temporary = false;
  for (const dns::Type type : {dns::Type::mx, dns::Type::a, dns::Type::aaaa}) {
    const dns::Answer answer = co_await query(domain, type);
    if (type == dns::Type::mx && answer.status == dns::Status::ok)
      for (const dns::Record& record : answer.records)
        if (record.data.empty())
          co_return reject(
              sender ? 550 : 556, sender ? "4.7.27" : "4.1.10",
              said(view, " rejected: Domain " + domain + " does not accept mail (nullMX)"));
    if (answer.status == dns::Status::ok) co_return Verdict::dunno;
    temporary = temporary || answer.status == dns::Status::temporary;
    if (answer.status == dns::Status::no_domain) break;
  }
  const std::string text = said(view, " rejected: Domain not found");
  const std::string_view dsn = sender ? "4.1.8" : "4.1.2";
  if (temporary) co_return doubt(rules_.defer_unknown_address, 450, dsn, text);
  co_return reject(rules_.codes.unknown_address, dsn, text);
}

ev::Task<Walk::Verdict> Walk::unlisted(Subject subject) {
  const auto address = name_of(subject);
  const bool sender = subject == Subject::sender;
  if (!address || address->empty()) co_return Verdict::dunno;
  if (sender == (stage_ == Stage::sender)) listed_ = true;
  if (!rules_.unlisted) co_return Verdict::dunno;
  const std::function<Result<std::optional<smtp::Refusal>>()> question = [&] {
    return rules_.unlisted(*address, sender);
  };
  auto answer = co_await maps::ask<std::optional<smtp::Refusal>>(loop_, question,
                                                                 loop_.after(rules_.dns_limit));
  if (!answer) {
    log::warning(answer.error().text());
    co_return trouble(451, "4.3.0", bracketed(*address) + ": Temporary lookup failure");
  }
  if (!*answer) co_return Verdict::dunno;
  co_return reject((*answer)->code, (*answer)->dsn, (*answer)->text);
}

// smtpd_sender_login_maps says which logins own a sender address.
ev::Task<Walk::Verdict> Walk::login_mismatch(Word word) {
  if (!rules_.sender_logins || rules_.sender_logins->empty() || !at_.sender || at_.sender->empty())
    co_return Verdict::dunno;
  const bool logged_in = !at_.peer->login.method.empty();
  if (logged_in ? word == Word::reject_unauthenticated_sender_login_mismatch
                : word == Word::reject_authenticated_sender_login_mismatch)
    co_return Verdict::dunno;
  const std::string& sender = *at_.sender;
  const auto keys = maps::address_keys(sender, {.delimiters = rules_.delimiters});
  const std::function<maps::Answer()> question = [&] {
    return maps::search(*rules_.sender_logins, keys);
  };
  maps::Answer owners = co_await maps::ask<std::optional<std::string>>(
      loop_, question, loop_.after(rules_.dns_limit));
  if (!owners) {
    log::warning(owners.error().text());
    co_return trouble(451, "4.3.0", bracketed(sender) + ": Temporary lookup failure");
  }
  if (!logged_in) {
    if (!*owners) co_return Verdict::dunno;
    co_return reject(553, "5.7.1", bracketed(sender) + ": Sender address rejected: not logged in");
  }
  if (!*owners && word == Word::reject_known_sender_login_mismatch) co_return Verdict::dunno;
  if (*owners)
    for (const std::string_view owner : split(**owners, ", \t\r\n"))
      if (iequals(owner, at_.peer->login.user)) co_return Verdict::dunno;
  co_return reject(553, "5.7.1",
                   bracketed(sender) + ": Sender address rejected: not owned by user " +
                       at_.peer->login.user);
}

ev::Task<Walk::Verdict> Walk::client_certificate(const View& view) {
  const PeerTls& tls = at_.peer->tls;
  if (!tls.has_certificate || !rules_.client_certificates) co_return Verdict::dunno;
  for (const std::string& print : {tls.fingerprint, tls.key_fingerprint}) {
    if (print.empty()) continue;
    maps::Answer found = co_await maps::ask(loop_, *rules_.client_certificates, print,
                                            maps::Key::whole, loop_.after(rules_.dns_limit));
    if (!found) {
      log::warning("relay_clientcerts: lookup error for fingerprint '" + print +
                   "': " + found.error().text());
      co_return trouble(451, "4.3.0", said(view, ": Temporary lookup failure"));
    }
    if (*found) co_return permit("permit_tls_clientcerts", view);
  }
  co_return Verdict::dunno;
}

} // namespace postrider::smtpd
