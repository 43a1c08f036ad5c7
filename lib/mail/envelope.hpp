// SPDX-License-Identifier: MIT
// The envelope of a message: facts only (who, to whom, options, when, from where). Route, policy
// and schedule are decided at each attempt and never stored. Addresses stand without angle
// brackets; an empty sender is the null sender. No field may hold CR, LF or NUL: check with
// check_clean().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace postrider::mail {

// RFC 3461 section 4.1. Several may be set, `never` only alone; 0 means the client did not say,
// which is "failure, and delay as we see fit".
enum NotifyBit : std::uint8_t {
  notify_never = 1,
  notify_success = 2,
  notify_failure = 4,
  notify_delay = 8
};

enum class Ret : std::uint8_t { unset, full, hdrs }; // RFC 3461 section 4.3
constexpr Ret highest(Ret) { return Ret::hdrs; }

enum class Body : std::uint8_t { unset, seven_bit, eight_bit_mime }; // RFC 6152
constexpr Body highest(Body) { return Body::eight_bit_mime; }

struct Recipient {
  std::string address;
  std::string orcpt;       // "rfc822;a+40b": as received, xtext decoded after the first ';'
  std::uint8_t notify = 0; // NotifyBit
  std::string original;    // as the client wrote it, when `address` was completed; for the log
  bool expanded = false; // an alias that became others: the sender is told so, and nothing is sent

  bool operator==(const Recipient&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("address", s.address);
    v.optional("orcpt", s.orcpt);
    v.optional("notify", s.notify);
    v.optional("original", s.original);
    v.optional("expanded", s.expanded);
  }
};

// Where mail came from before the client that handed it to us, as that client says (XFORWARD).
struct Forwarded {
  bool client = false; // the client is known; what is not known of it is empty
  std::string name;
  std::string address;
  std::string port;
  std::string helo;
  std::string protocol;
  std::string id;     // of the message there
  std::string source; // "LOCAL", "REMOTE"

  bool operator==(const Forwarded&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v.optional("client", s.client);
    v.optional("name", s.name);
    v.optional("address", s.address);
    v.optional("port", s.port);
    v.optional("helo", s.helo);
    v.optional("protocol", s.protocol);
    v.optional("id", s.id);
    v.optional("source", s.source);
  }
};

struct Envelope {
  std::string sender;
  std::vector<Recipient> recipients;
  std::int64_t arrival = 0; // unix time, microseconds
  std::string envid;        // RFC 3461 section 4.4, xtext decoded
  Ret ret = Ret::unset;
  Body body = Body::unset;
  bool smtputf8 = false; // RFC 6531: the client said SMTPUTF8
  // Where it came from. Empty for mail made on this host by the suite itself.
  std::string client_name;    // "unknown" when there is none
  std::string client_address; // "192.0.2.1", "2001:db8::1"; empty for a UNIX socket
  std::string client_port;
  std::string helo;
  std::string protocol; // "SMTP", "ESMTP", "ESMTPS", ...: the `with` of Received
  Forwarded forwarded;
  std::string sasl_username; // who logged in, by which mechanism
  std::string sasl_method;
  std::string sasl_sender;         // MAIL AUTH=, RFC 4954 section 5
  std::uint32_t submitter_uid = 0; // local submission only
  bool local_submission = false;
  std::string message_id; // with its angle brackets; for the log
  // A report made by bounce for message `report_for`: when this record is durable, the recipients
  // it reports (indices into the original's list) count as reported, so a crash repeats no bounce.
  std::string report_for;
  std::vector<std::uint32_t> reported;
  std::string hold;   // why qmgr puts it on hold as it arrives; empty: it does not
  std::string filter; // "transport:nexthop" that all of it goes by (FILTER); empty: its own way
  std::string report_kind; // "failed", "delayed", "success"; empty for ordinary mail

  bool operator==(const Envelope&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("sender", s.sender);
    v("recipients", s.recipients);
    v("arrival", s.arrival);
    v.optional("envid", s.envid);
    v.optional("ret", s.ret);
    v.optional("body", s.body);
    v.optional("smtputf8", s.smtputf8);
    v.optional("client_name", s.client_name);
    v.optional("client_address", s.client_address);
    v.optional("client_port", s.client_port);
    v.optional("helo", s.helo);
    v.optional("protocol", s.protocol);
    v.optional("forwarded", s.forwarded);
    v.optional("sasl_username", s.sasl_username);
    v.optional("sasl_method", s.sasl_method);
    v.optional("sasl_sender", s.sasl_sender);
    v.optional("submitter_uid", s.submitter_uid);
    v.optional("local", s.local_submission);
    v.optional("message_id", s.message_id);
    v.optional("hold", s.hold);
    v.optional("filter", s.filter);
    v.optional("report_for", s.report_for);
    v.optional("reported", s.reported);
    v.optional("report_kind", s.report_kind);
  }
};

// What the content is like, found out once while it was received. Content is stored with CRLF line
// ends, without dot-stuffing and without the final dot.
struct ContentFacts {
  std::uint64_t size = 0;         // bytes as stored
  std::uint32_t longest_line = 0; // CRLF not counted
  std::uint16_t hops = 0;         // Received: headers
  bool has_8bit = false;
  bool needs_dot_stuffing = false; // some line begins with '.'
  bool utf8_headers = false;       // non-ASCII in the header
  bool ends_with_newline = true;
  std::uint32_t header_size = 0; // up to and including the empty line

  bool operator==(const ContentFacts&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("size", s.size);
    v("longest_line", s.longest_line);
    v("hops", s.hops);
    v("has_8bit", s.has_8bit);
    v("needs_dot_stuffing", s.needs_dot_stuffing);
    v("utf8_headers", s.utf8_headers);
    v("ends_with_newline", s.ends_with_newline);
    v("header_size", s.header_size);
  }
};

// Error protocol when a field holds CR, LF or NUL (a line break in a field must never become a
// line or a record of its own), or when there is no recipient.
Result<void> check_clean(const Envelope& envelope);

} // namespace postrider::mail
