// SPDX-License-Identifier: MIT
// The Received: header that we put in front of a message (RFC 5321 section 4.4). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace postrider::mail {

struct ReceivedFacts {
  std::string_view helo;           // what the client called itself; empty: its name stands there
  std::string_view client_name;    // verified name or "unknown"
  std::string_view client_address; // "192.0.2.1", "2001:db8::1"; empty for local submission
  // TLS of the client, as it should stand there: "TLSv1.3 with cipher ... (256/256 bits)" and
  // "key-exchange ..." on a line of its own; empty: not shown.
  std::string_view tls, tls_details;
  std::string_view certificate;   // of the client, behind `tls`: "No client certificate requested"
  std::string_view sasl_username; // empty: not shown
  std::string_view by;            // our host name
  std::string_view mail_name = "Postrider";
  std::string_view protocol;  // "SMTP", "ESMTP", "UTF8SMTP", ...
  std::string_view id;        // queue id
  std::string_view recipient; // shown as "for <...>" when not empty: pass the only recipient
  std::uint32_t uid = 0;      // of the local submitter
  WallTime when;
};

// With CRLF line ends, the last one included. Bytes a peer chose are made harmless: no control or
// non-ASCII byte, no parenthesis, no line break gets through, and each is cut at 255 bytes.
std::string received_header(const ReceivedFacts& facts);

} // namespace postrider::mail
