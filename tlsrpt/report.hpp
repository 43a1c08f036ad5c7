// SPDX-License-Identifier: MIT
// Reports on TLS as domains get them (RFC 8460 sections 4.4 and 5): JSON, compressed; by mail
// inside of a multipart/report. Pure: clock and random token are passed in.
//
// Host names, addresses and reasons come from strangers; in JSON they are strings, and nowhere else
// are they at all.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "mail/envelope.hpp"
#include "proto/tlsrpt.hpp"

namespace postrider::tlsrpt {

// What all reports of this host have in common.
struct Letterhead {
  std::string hostname;     // myhostname
  std::string organization; // tlsrpt_organization_name
  std::string contact;      // tlsrpt_contact_address
  std::string sender;       // tlsrpt_sender_address: From, and of the envelope
  std::string mail_name = "Postrider";
  // The domain that the reports are from: of the sender.
  std::string submitter() const;
};

inline constexpr std::string_view kGzipType = "application/tlsrpt+gzip";

// RFC 3339, "2026-11-20T00:00:00Z".
std::string date_time(std::int64_t seconds);

std::string to_json(const proto::TlsAccount& account, const Letterhead& letterhead);

// Section 5.1: "mail.example.com!example.net!1470013200!1470099599!9f86d081.json.gz"
std::string file_name(const proto::TlsAccount& account, const Letterhead& letterhead);

// `token`: letters and digits that nobody could foresee.
std::string report_id(const proto::TlsAccount& account, const Letterhead& letterhead,
                      std::string_view token);

class Composed {
 public:
  Composed() {}
  mail::Envelope envelope;
  mail::ContentFacts facts;
  std::string content; // CRLF line ends
};

// REQUIRES account.report_id. `packed`: to_json(), compressed. `to` is a mail_address().
Composed compose(const proto::TlsAccount& account, std::string_view packed, std::string_view to,
                 const Letterhead& letterhead, WallTime now);

} // namespace postrider::tlsrpt
