// SPDX-License-Identifier: MIT
#include "smtpclient/dane.hpp"

#include <algorithm>

#include "base/ascii.hpp"

namespace postrider::smtpclient {
namespace {

using Records = DaneFacts::Records;

std::string record_owner(std::string_view base, std::uint16_t port) {
  return "_" + std::to_string(port) + "._tcp." + std::string(base);
}

bool mx_counts_against(TlsLevel level, const TlsOptions& options, const DaneFacts& facts) {
  return facts.by_mx && !facts.mx_secure &&
         (level == TlsLevel::dane_only || options.insecure_mx_level <= TlsLevel::may);
}

void add_name(std::vector<std::string>& names, std::string_view name) {
  std::string lower = lowercase(name);
  if (!lower.empty() && std::find(names.begin(), names.end(), lower) == names.end())
    names.push_back(std::move(lower));
}

// Without DANE: optional TLS, or encryption without proof where records say that there is TLS. At
// dane-only the mail waits.
Dane lowered(TlsLevel level, TlsLevel to, std::string why) {
  Dane dane;
  dane.level = to;
  if (level == TlsLevel::dane_only) dane.refusal = why;
  dane.why = std::move(why);
  return dane;
}

} // namespace

std::string dane_hindrance(const Options& options) {
  if (!options.lookup_dns || !options.dnssec)
    return "DNSSEC look-ups are off: smtp_dns_support_level = dnssec is needed";
  // Who ignores look-up errors ignores forgeries as well.
  if (options.flavor == Flavor::smtp && options.ignore_mx_lookup_error)
    return "MX look-up errors are ignored (ignore_mx_lookup_error)";
  if (options.complete_names || options.search_parents)
    return "smtp_dns_resolver_options make other names of names";
  return "";
}

Dane decide_dane(TlsLevel level, const TlsOptions& options, const DaneFacts& facts) {
  if (!facts.hindrance.empty()) {
    Dane dane = lowered(level, TlsLevel::may, facts.hindrance);
    if (!dane.refusal.empty()) dane.refusal = "client TLS configuration problem";
    return dane;
  }
  if (mx_counts_against(level, options, facts))
    return lowered(level, TlsLevel::may, "non DNSSEC destination");
  switch (facts.records) {
  case Records::none: return lowered(level, TlsLevel::may, "no TLSA records found");
  case Records::failed: {
    Dane dane = lowered(level, level, facts.reason);
    dane.refusal = "TLSA lookup error for " + facts.host + ":" + std::to_string(facts.port);
    return dane;
  }
  case Records::found: break;
  }
  Dane dane;
  dane.records = tls::usable(facts.tlsa, options.dane_digests);
  if (dane.records.empty()) return lowered(level, TlsLevel::encrypt, "TLSA records unusable");
  dane.half = facts.by_mx && !facts.mx_secure;
  if (dane.half && options.insecure_mx_level != TlsLevel::dane)
    return lowered(level, options.insecure_mx_level, "non DNSSEC destination");
  dane.level = TlsLevel::dane;
  dane.server_name = facts.base;
  add_name(dane.names, facts.base);
  for (const std::string& name : facts.names)
    add_name(dane.names, name);
  return dane;
}

ev::Task<DaneFacts> find_dane_facts(ev::Loop& loop, dns::Resolver& resolver, const Options& options,
                                    TlsLevel level, ev::Lent<const Nexthop> hop,
                                    ev::Lent<const Endpoint> endpoint) {
  DaneFacts facts;
  facts.hindrance = hop->kind == Nexthop::Kind::unix_socket ? "UNIX sockets have no DNS records"
                                                            : dane_hindrance(options);
  facts.by_mx = endpoint->by_mx;
  facts.mx_secure = endpoint->mx_secure;
  facts.host = endpoint->host;
  facts.port = endpoint->address.port();
  add_name(facts.names, hop->name);
  if (facts.mx_secure) add_name(facts.names, endpoint->mx_domain);
  const std::string host = lowercase(endpoint->host);
  const std::string canonical = lowercase(endpoint->canonical);
  const bool is_alias = !canonical.empty() && canonical != host;
  if (!facts.hindrance.empty() || mx_counts_against(level, options.tls, facts)) co_return facts;

  // RFC 7672 section 2.2.2: an alias may be signed although what it leads to is not.
  bool alias_is_secure = false;
  if (is_alias && !endpoint->secure && !options.tls.insecure_host_tlsa) {
    const ev::Deadline deadline = loop.after(options.dns_time_limit);
    Result<dns::Answer> alias = co_await resolver.query(host, dns::Type::cname, deadline);
    const bool failed = !alias || alias->status == dns::Status::temporary;
    if (failed) {
      facts.bases = {host};
      facts.records = Records::failed;
      facts.reason = alias ? alias->reason : alias.error().text();
      facts.bogus = alias && alias->security == dns::Security::bogus;
      co_return facts;
    }
    alias_is_secure = alias->security == dns::Security::secure;
  }
  if (endpoint->secure && is_alias) facts.bases.push_back(canonical);
  if (endpoint->secure || alias_is_secure || options.tls.insecure_host_tlsa)
    facts.bases.push_back(host);

  for (const std::string& base : facts.bases) {
    const std::string owner = record_owner(base, facts.port);
    const ev::Deadline deadline = loop.after(options.dns_time_limit);
    Result<dns::Answer> answer = co_await resolver.query(owner, dns::Type::tlsa, deadline);
    const bool failed = !answer || answer->status == dns::Status::temporary;
    if (failed) {
      facts.records = Records::failed;
      facts.base = base;
      facts.reason = answer ? answer->reason : answer.error().text();
      facts.bogus = answer && answer->security == dns::Security::bogus;
      co_return facts;
    }
    if (answer->security != dns::Security::secure) continue; // anybody may have written them
    for (const dns::Record& record : answer->records)
      if (auto tlsa = tls::parse_tlsa(record.data)) facts.tlsa.push_back(std::move(*tlsa));
    if (facts.tlsa.empty()) continue;
    facts.records = Records::found;
    facts.base = base;
    co_return facts;
  }
  co_return facts;
}

std::vector<std::string> dane_reasons(const DaneFacts& facts, const TlsOptions& options) {
  std::vector<std::string> lines;
  if (!facts.hindrance.empty()) {
    lines.push_back("DANE is not possible here: " + facts.hindrance);
    return lines;
  }
  if (facts.by_mx)
    lines.push_back(facts.mx_secure ? "the MX records are signed"
                                    : "the MX records are not signed");
  if (facts.bases.empty()) {
    if (!facts.by_mx || facts.mx_secure || options.insecure_mx_level > TlsLevel::may)
      lines.push_back("the addresses of " + facts.host +
                      " are not signed: no TLSA records are looked for");
    return lines;
  }
  const std::string owner =
      record_owner(facts.base.empty() ? facts.bases.front() : facts.base, facts.port);
  switch (facts.records) {
  case Records::none: lines.push_back(owner + " has no signed TLSA records"); break;
  case Records::failed: lines.push_back(owner + ": TLSA look-up failed: " + facts.reason); break;
  case Records::found: {
    const auto usable = tls::usable(facts.tlsa, options.dane_digests);
    for (const tls::TlsaRecord& record : facts.tlsa) {
      const bool good = std::find(usable.begin(), usable.end(), record) != usable.end();
      lines.push_back(owner + " TLSA " + tls::to_string(record) + (good ? "" : " (not usable)"));
    }
  }
  }
  return lines;
}

} // namespace postrider::smtpclient
