// SPDX-License-Identifier: MIT
// Access tables: which keys are looked up, and what the answers do (postrider-access(5)).
#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "base/words.hpp"
#include "mail/address.hpp"
#include "mail/status.hpp"
#include "maps/ask.hpp"
#include "policy_service.hpp"
#include "restrict.hpp"
#include "smtp/xtext.hpp"

namespace postrider::smtpd {

namespace {

constexpr std::string_view kMisconfigured = "451 4.3.5 Server configuration error";

// An address, then what is left of it when it is cut at its dots or colons.
void add_network_keys(std::vector<maps::SearchKey>& keys, const std::string& address) {
  const char delimiter = address.find(':') != std::string::npos ? ':' : '.';
  std::string_view rest = address;
  keys.push_back({std::string(rest), maps::Key::whole});
  while (true) {
    const std::size_t at = rest.rfind(delimiter);
    if (at == std::string_view::npos || at == 0) return;
    rest = rest.substr(0, at);
    keys.push_back({std::string(rest), maps::Key::part});
  }
}

// x.1.* says what is wrong with an address, and with whose: the sender's and the recipient's have
// codes of their own (RFC 3463 section 3.2), and other things are no addresses. As Postfix does it.
std::string of_address(std::string_view dsn, std::string_view cls) {
  if (dsn.substr(1, 3) != ".1.") return std::string(dsn);
  const bool sender = cls == "Sender address";
  const std::string code(1, dsn.front());
  if (!sender && cls != "Recipient address") return code + ".0.0";
  const auto detail = parse_decimal(dsn.substr(4)).value_or(0);
  return code + ".1." + (detail > 8 ? '0' : (sender ? "078770778" : "012345632")[detail]);
}

// "5.7.1 text": the code, or `otherwise`; the rest is the text, or `silent`.
struct Said {
  std::string dsn, text;
  Said(std::string_view rest, std::string_view otherwise, std::string_view silent) {
    const std::string_view code = mail::leading_status(rest);
    dsn = code.empty() ? otherwise : code;
    const std::string_view words = code.empty() ? rest : trim(rest.substr(code.size()));
    text = words.empty() ? silent : words;
  }
};

} // namespace

// --- keys --------------------------------------------------------------------------------------

std::vector<maps::SearchKey> Walk::domain_keys(std::string_view domain, bool whole) const {
  std::vector<maps::SearchKey> keys =
      maps::parse_address(domain)
          ? std::vector<maps::SearchKey>{{std::string(domain), maps::Key::part}}
          : maps::domain_keys(domain, {.parents_match = rules_.parents_match});
  if (whole && !keys.empty()) keys.front().kind = maps::Key::whole;
  return keys;
}

std::vector<maps::SearchKey> Walk::host_keys(const std::string& name,
                                             const std::string& address) const {
  std::vector<maps::SearchKey> keys = domain_keys(name, true);
  if (!address.empty()) add_network_keys(keys, address);
  return keys;
}

ev::Task<Walk::Verdict> Walk::look_up(ev::Lent<const Restriction> one,
                                      const std::vector<maps::SearchKey>& keys, const View& view,
                                      bool& found) {
  const std::function<maps::Answer()> question = [&] { return maps::search(*one->table, keys); };
  maps::Answer answer = co_await maps::ask<std::optional<std::string>>(
      loop_, question, loop_.after(rules_.dns_limit));
  if (!answer) {
    log::warning(one->argument + ": table lookup problem: " + answer.error().text());
    found = true;
    co_return co_await act(one->argument, std::string(kMisconfigured), view);
  }
  found = answer->has_value();
  if (!found) co_return Verdict::dunno;
  co_return co_await act(one->argument, **answer, view);
}

ev::Task<Walk::Verdict> Walk::access(ev::Lent<const Restriction> one) {
  const Subject subject = one->row->subject;
  bool found = false;
  const View view = view_of(subject);
  std::vector<maps::SearchKey> keys;
  if (subject == Subject::ccert) {
    const PeerTls& tls = at_.peer->tls;
    const auto add = [&](bool wanted, const std::string& print) {
      if (wanted && tls.has_certificate && !print.empty())
        keys.push_back({print, maps::Key::whole});
    };
    if (one->public_key_first) add(one->public_key, tls.key_fingerprint);
    add(one->certificate, tls.fingerprint);
    if (!one->public_key_first) add(one->public_key, tls.key_fingerprint);
    if (keys.empty()) co_return Verdict::dunno;
    co_return co_await look_up(one, keys, view, found);
  }
  const auto name = name_of(subject);
  if (!name) co_return Verdict::dunno;
  if (one->row->via != Via::itself) co_return co_await server_access(one, *name);
  if (subject == Subject::client || subject == Subject::reverse_client)
    keys = host_keys(*name, at_.peer->address);
  else if (subject == Subject::helo)
    keys = domain_keys(*name, true);
  else if (subject == Subject::sasl || name->empty())
    keys.push_back({name->empty() ? rules_.null_key : *name, maps::Key::whole});
  else
    keys = maps::access_keys(
        *name, {.delimiters = rules_.delimiters, .parents_match = rules_.parents_match});
  const Verdict verdict = co_await look_up(one, keys, view, found);
  // An address that may lead on to somebody else is too suspicious for a yes.
  if (verdict == Verdict::ok && subject == Subject::recipient && has_routing(*name))
    co_return Verdict::dunno;
  if (verdict == Verdict::ok && subject == Subject::reverse_client && !effects_.discard)
    co_return misconfigured("restriction " + std::string(one->row->name) + " returns OK for " +
                            *name + ": this is not allowed; use DUNNO to make an exception");
  co_return verdict;
}

// check_*_{a,mx,ns}_access: the hosts that the DNS names, by name and by address.
ev::Task<Walk::Verdict> Walk::server_access(ev::Lent<const Restriction> one,
                                            const std::string& name) {
  const View view = view_of(one->row->subject);
  const Via via = one->row->via;
  const std::size_t sign = name.rfind('@');
  std::string domain = sign == std::string::npos ? name : name.substr(sign + 1);
  if (domain.empty() || domain == "unknown") co_return Verdict::dunno;
  struct Server {
    std::string name;
    std::vector<std::string> addresses;
  };
  std::vector<Server> servers;
  if (domain.starts_with('[')) {
    const auto literal = maps::parse_address(domain);
    if (!literal || via == Via::ns) co_return Verdict::dunno;
    std::string address = domain.substr(1, domain.size() - 2);
    if (istarts_with(address, "IPv6:")) address.erase(0, 5);
    servers.push_back({"", {address}});
  } else if (via == Via::a) {
    servers.push_back({domain, {}});
  } else {
    const dns::Type type = via == Via::mx ? dns::Type::mx : dns::Type::ns;
    const std::string asked = domain;
    dns::Answer answer = co_await query(domain, type);
    const auto nothing = [&] {
      return answer.status == dns::Status::no_data || answer.status == dns::Status::no_domain;
    };
    // The servers of a name are those of the zone above it.
    while (via == Via::ns && nothing()) {
      const std::size_t dot = domain.find('.');
      if (dot == std::string::npos || dot + 1 == domain.size()) break;
      domain.erase(0, dot + 1);
      answer = co_await query(domain, type);
    }
    if (via == Via::mx && nothing()) {
      servers.push_back({domain, {}});
    } else if (answer.status != dns::Status::ok) {
      log::warning("Unable to look up " + std::string(dns::to_string(type)) + " host for " + asked +
                   (answer.reason.empty() ? "" : ": " + answer.reason));
      co_return Verdict::dunno;
    }
    for (const dns::Record& record : answer.records)
      if (!record.data.empty()) servers.push_back({record.data, {}});
  }
  for (Server& server : servers) {
    bool found = false;
    Verdict verdict = Verdict::dunno;
    if (via != Via::a && !server.name.empty()) {
      verdict = co_await look_up(one, domain_keys(server.name, true), view, found);
    }
    if (!found && server.addresses.empty()) {
      const Hosts hosts = co_await addresses_of(server.name);
      server.addresses = hosts.addresses;
      if (hosts.status != dns::Status::ok)
        log::warning("Unable to look up the addresses of host " + server.name + " for " +
                     std::string(view.cls) + " " + view.name);
    }
    for (const std::string& address : server.addresses) {
      if (found) break;
      std::vector<maps::SearchKey> keys;
      add_network_keys(keys, address);
      verdict = co_await look_up(one, keys, view, found);
    }
    if (!found) continue;
    if (verdict == Verdict::ok && !effects_.discard)
      co_return misconfigured("restriction " + std::string(one->row->name) + " returns OK for " +
                              server.name +
                              ": this is not allowed; use DUNNO to make an exception");
    co_return verdict;
  }
  co_return Verdict::dunno;
}

// --- actions -----------------------------------------------------------------------------------

ev::Task<Walk::Verdict> Walk::act(const std::string& table, const std::string& action,
                                  const View& view) {
  const std::string_view value = trim(action);
  const std::string_view word = value.substr(0, value.find_first_of(" \t"));
  const std::string_view rest = trim(value.substr(word.size()));
  const Codes& codes = rules_.codes;
  const auto is = [&](std::string_view name) { return iequals(word, name); };
  const auto refuse = [&](int code, std::string_view dsn) {
    const Said text(rest, dsn, "Access denied");
    return reject(code, of_address(text.dsn, view.cls), said(view, " rejected: " + text.text));
  };
  const auto needs = [&](std::string_view what) {
    log::warning("access table " + table + " entry \"" + view.name + "\" requires " +
                 std::string(what));
    return Verdict::dunno;
  };
  const auto note = [&](std::string_view name, const std::string& what) {
    log_(name, said(view, " " + what));
  };
  if (is("DUNNO")) co_return Verdict::dunno;
  if (is("OK") || is("RELAY")) co_return permit(word, view, table);
  if (is("REJECT")) co_return refuse(codes.access_reject, "5.7.1");
  if (is("DEFER")) co_return refuse(codes.access_defer, "4.7.1");
  if (is("DEFER_IF_PERMIT") || is("DEFER_IF_REJECT")) {
    const Said text(rest, "4.7.1", "Service unavailable");
    if (is("DEFER_IF_PERMIT"))
      co_return doubt(false, codes.access_defer, of_address(text.dsn, view.cls),
                      said(view, " rejected: " + text.text));
    co_return doubt_refusal(codes.access_defer, of_address(text.dsn, view.cls),
                            said(view, " rejected: " + text.text));
  }
  if (is("WARN") || is("INFO")) {
    log_(lowercase(word), rest);
    co_return Verdict::dunno;
  }
  if (is("HOLD")) {
    note("hold", rest.empty() ? "triggers HOLD action" : std::string(rest));
    effects_.hold = rest.empty() ? "HOLD in " + table : std::string(rest);
    co_return Verdict::dunno;
  }
  if (is("DISCARD")) {
    note("discard", rest.empty() ? "triggers DISCARD action" : std::string(rest));
    effects_.discard = true;
    co_return Verdict::ok;
  }
  if (is("REDIRECT") || is("BCC")) {
    const auto target = mail::parse_mailbox(rest, mail::Utf8::yes);
    if (!target || mail::domain_part(*target).empty()) co_return needs("user@domain target");
    note(is("BCC") ? "bcc" : "redirect", "triggers " + uppercase(word) + " " + std::string(rest));
    if (is("REDIRECT"))
      effects_.redirect = *target;
    else if (std::find(effects_.bcc.begin(), effects_.bcc.end(), *target) == effects_.bcc.end())
      effects_.bcc.push_back(*target); // the same list is looked at for each recipient
    co_return Verdict::dunno;
  }
  if (is("PREPEND")) {
    const std::size_t colon = rest.find(':');
    if (colon == std::string_view::npos || colon == 0 ||
        rest.substr(0, colon).find_first_of(" \t") != std::string_view::npos)
      co_return needs("header: text");
    if (stage_ == Stage::end_of_data)
      log::warning("access table " + table +
                   ": action PREPEND is always skipped in smtpd_end_of_data_restrictions");
    else
      effects_.headers.push_back(log::printable(rest));
    co_return Verdict::dunno;
  }
  if (is("FILTER")) {
    if (rest.find(':') == std::string_view::npos) co_return needs("transport:destination");
    note("filter", "triggers FILTER " + std::string(rest));
    effects_.filter = rest;
    co_return Verdict::dunno;
  }
  const bool digits = !word.empty() && std::all_of(word.begin(), word.end(), is_digit);
  // A time stamp, from software that lets in for a while who has read his mail.
  if (digits && rest.empty()) co_return permit(word, view, table);
  if (digits && word.size() == 3 && (word[0] == '4' || word[0] == '5'))
    co_return refuse(static_cast<int>(*parse_decimal(word)), "4.7.1");
  co_return co_await act_as_list(table, action, view);
}

ev::Task<Walk::Verdict> Walk::act_as_list(const std::string& table, const std::string& action,
                                          const View& view) {
  WordContext context;
  context.is_class = [this](const std::string& name) { return rules_.classes.count(name) != 0; };
  const Result<std::vector<std::string>> words = split_words(action);
  Result<Restrictions> parsed =
      words ? parse_restrictions(*words, context) : Result<Restrictions>(words.error());
  if (!parsed) co_return misconfigured("access table " + table + ": " + parsed.error().text());
  co_return co_await list(*parsed, view);
}

// --- policy services ---------------------------------------------------------------------------

ev::Task<Walk::Verdict> Walk::policy_service(ev::Lent<const Restriction> one, const View& view) {
  const Peer& peer = *at_.peer;
  std::string request = "request=smtpd_access_policy\n";
  const auto add = [&](std::string_view name, std::string_view value) {
    request.append(name).push_back('=');
    for (const char c : value)
      request.push_back(c == '\n' || c == '\0' ? '?' : c);
    request.push_back('\n');
  };
  const bool has_content = stage_ >= Stage::data;
  add("protocol_state", at_.where);
  add("protocol_name", at_.protocol);
  add("client_address", peer.address);
  add("client_name", peer.name);
  add("client_port", peer.port);
  add("reverse_client_name", peer.reverse_name);
  add("server_address", at_.server_address);
  add("server_port", at_.server_port);
  add("helo_name", at_.helo);
  add("sender", at_.sender.value_or(""));
  add("recipient", at_.recipient.value_or(""));
  add("recipient_count", std::to_string(has_content ? at_.recipients : 0));
  add("queue_id", "");
  add("instance", at_.instance);
  add("size", std::to_string(at_.size));
  add("etrn_domain", "");
  add("stress", "");
  add("sasl_method", peer.login.method);
  add("sasl_username", peer.login.user);
  add("sasl_sender", at_.sasl_sender);
  add("ccert_subject", peer.tls.has_certificate ? smtp::to_xtext(peer.tls.subject) : "");
  add("ccert_issuer", peer.tls.has_certificate ? smtp::to_xtext(peer.tls.issuer) : "");
  add("ccert_fingerprint", peer.tls.fingerprint);
  add("ccert_pubkey_fingerprint", peer.tls.key_fingerprint);
  add("encryption_protocol", peer.tls.protocol);
  add("encryption_cipher", peer.tls.cipher);
  add("encryption_keysize", std::to_string(peer.tls.algorithm_bits));
  add("policy_context", one->server->options().context);
  add("compatibility_level", "");
  add("mail_version", POSTRIDER_VERSION);
  const std::string action = co_await one->server->ask(loop_, request);
  co_return co_await act(one->server->options().server, action, view);
}

} // namespace postrider::smtpd
