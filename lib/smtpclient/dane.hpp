// SPDX-License-Identifier: MIT
// DANE for SMTP (RFC 7672): what the DNS says of a server, and what protection follows from it. The
// questions are Postfix's, and so are the answers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dns/resolver.hpp"
#include "smtpclient/options.hpp"
#include "smtpclient/targets.hpp"
#include "tls/verify.hpp"

namespace postrider::smtpclient {

// Why this client cannot do DANE at all, whatever the DNS says; empty: it can.
std::string dane_hindrance(const Options& options);

struct DaneFacts {
  std::string hindrance;  // of dane_hindrance(), or that it is no host
  bool by_mx = false;     // the host comes from an MX record,
  bool mx_secure = false; // which is signed
  std::string host;
  std::uint16_t port = 0;
  // Where records may stand: the host at the end of its aliases when all of them are signed, then
  // the host itself. Empty: the host's zone is not signed, and nobody is asked.
  std::vector<std::string> bases;
  enum class Records : std::uint8_t {
    none, // there are none, or they are not signed, or they would change nothing
    failed,
    found,
  };
  Records records = Records::none;
  std::string base;                  // the one of `bases` that has them
  std::vector<tls::TlsaRecord> tlsa; // as they are in the DNS
  std::string reason;                // of Records::failed
  bool bogus = false;                // and the signatures are wrong
  std::vector<std::string> names;    // of the next hop, for a certificate below a trust anchor
  DaneFacts() {}
};

struct Dane {
  TlsLevel level = TlsLevel::may; // in force: dane, encrypt or may
  // Only with level dane:
  std::vector<tls::TlsaRecord> records; // those that can be used
  std::vector<std::string> names;       // of which the certificate must have one, with usage 2
  std::string server_name;              // for SNI
  bool half = false; // the MX record is not signed: somebody else may have named the host

  std::string refusal; // not empty: no mail to this host now, and why (4.7.5)
  std::string why;     // the level is not dane, and why
};
// Pure. REQUIRES level dane or dane_only.
Dane decide_dane(TlsLevel level, const TlsOptions& options, const DaneFacts& facts);

// WAITS for look-ups, as far as they are needed. Cancelled: Records::failed.
ev::Task<DaneFacts> find_dane_facts(ev::Loop& loop, dns::Resolver& resolver, const Options& options,
                                    TlsLevel level, ev::Lent<const Nexthop> hop,
                                    ev::Lent<const Endpoint> endpoint);

// One line for each link of the chain, for people.
std::vector<std::string> dane_reasons(const DaneFacts& facts, const TlsOptions& options);

} // namespace postrider::smtpclient
