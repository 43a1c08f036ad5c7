// SPDX-License-Identifier: MIT
// tlsrpt: what delivery agents saw of the TLS of recipient domains, for reports to these (RFC
// 8460). Socket private/tlsrpt; the shape of all helper services (doc/ipc.md).
//
//   tlsrpt                                     smtp, postrider
//   Hello{tlsrpt 1}  ---------------------->
//                    <----------------------  TlsEvent{"example.com", ...}     no answer
//                    <----------------------  AskAccounts{1, "example.com"}
//   Accounts{1, [...]}  ------------------->
//                    <----------------------  SendReport{2, "example.com"}
//   ReportSent{2, "..."}  ----------------->
//
// Events come from programs that talk to strangers: who sends one that is larger than the bounds
// below, or that makes no sense, loses its connection. Messages are types 128-135.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::proto {

inline constexpr std::string_view kTlsrptProtocol = "tlsrpt";
inline constexpr std::uint32_t kTlsrptVersion = 1;

// mail::Envelope::report_kind of mail that carries such a report. Its way is never reported, or
// each report would cause the next one.
inline constexpr std::string_view kTlsReport = "tlsrpt";

inline constexpr std::size_t kLongestPolicy = 8 * 1024; // bytes of strings and patterns
inline constexpr std::size_t kLongestTlsReason = 512;
inline constexpr std::size_t kLongestTlsName = 255; // of a host, domain or address

// RFC 8460 section 4.4, policy-type.
enum class TlsPolicyKind : std::uint8_t { no_policy_found, sts, tlsa };
constexpr TlsPolicyKind highest(TlsPolicyKind) { return TlsPolicyKind::tlsa; }
constexpr std::string_view to_string(TlsPolicyKind kind) {
  switch (kind) {
  case TlsPolicyKind::no_policy_found: return "no-policy-found";
  case TlsPolicyKind::sts: return "sts";
  case TlsPolicyKind::tlsa: return "tlsa";
  }
  return "";
}

// RFC 8460 section 4.3.
enum class TlsResult : std::uint8_t {
  success,
  starttls_not_supported,
  certificate_host_mismatch,
  certificate_expired,
  certificate_not_trusted,
  validation_failure,
  tlsa_invalid,
  dnssec_invalid,
  dane_required,
  sts_policy_fetch_error,
  sts_policy_invalid,
  sts_webpki_invalid,
};
constexpr TlsResult highest(TlsResult) { return TlsResult::sts_webpki_invalid; }
constexpr std::string_view to_string(TlsResult result) {
  switch (result) {
  case TlsResult::success: return "success";
  case TlsResult::starttls_not_supported: return "starttls-not-supported";
  case TlsResult::certificate_host_mismatch: return "certificate-host-mismatch";
  case TlsResult::certificate_expired: return "certificate-expired";
  case TlsResult::certificate_not_trusted: return "certificate-not-trusted";
  case TlsResult::validation_failure: return "validation-failure";
  case TlsResult::tlsa_invalid: return "tlsa-invalid";
  case TlsResult::dnssec_invalid: return "dnssec-invalid";
  case TlsResult::dane_required: return "dane-required";
  case TlsResult::sts_policy_fetch_error: return "sts-policy-fetch-error";
  case TlsResult::sts_policy_invalid: return "sts-policy-invalid";
  case TlsResult::sts_webpki_invalid: return "sts-webpki-invalid";
  }
  return "";
}

// Under which policy of the domain a connection was made.
struct TlsPolicySeen {
  TlsPolicyKind kind = TlsPolicyKind::no_policy_found;
  std::string domain;               // whose it is; of tlsa the host that has the records
  std::vector<std::string> strings; // its lines, or the records as in a zone file
  std::vector<std::string> mx;      // patterns of hosts; sts only
  bool operator==(const TlsPolicySeen&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("kind", s.kind);
    v("domain", s.domain);
    v.optional("strings", s.strings);
    v.optional("mx", s.mx);
  }
};

// One attempt at TLS.
struct TlsEvent {
  static constexpr std::uint16_t kType = 128;
  std::string domain; // recipient domain, A-labels: who is to be told
  TlsPolicySeen policy;
  TlsResult result = TlsResult::success;
  // Of failures only:
  std::string mx_host, mx_address, sending_address;
  std::string reason;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("domain", s.domain);
    v("policy", s.policy);
    v("result", s.result);
    v.optional("mx_host", s.mx_host);
    v.optional("mx_address", s.mx_address);
    v.optional("sending_address", s.sending_address);
    v.optional("reason", s.reason);
  }
};

// --- what tlsrpt has counted -------------------------------------------------------------------

struct TlsFailures { // that are alike
  TlsResult result = TlsResult::validation_failure;
  std::string mx_host, mx_address, sending_address, reason;
  std::uint64_t count = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("result", s.result);
    v.optional("mx_host", s.mx_host);
    v.optional("mx_address", s.mx_address);
    v.optional("sending_address", s.sending_address);
    v.optional("reason", s.reason);
    v("count", s.count);
  }
};

struct TlsPolicyCount {
  TlsPolicySeen policy;
  std::uint64_t successes = 0;
  std::uint64_t failures = 0; // those without a line included
  std::vector<TlsFailures> lines;
  std::uint64_t without_line = 0; // more kinds of failures than there may be lines
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("policy", s.policy);
    v("successes", s.successes);
    v("failures", s.failures);
    v("lines", s.lines);
    v.optional("without_line", s.without_line);
  }
};

enum class TlsReportState : std::uint8_t {
  counting,
  waiting,    // for `due`
  sent,       // to every address of the domain
  not_wanted, // the domain names no address for reports
  nothing,    // no failures, and tlsrpt_report_successes = no
  given_up,
};
constexpr TlsReportState highest(TlsReportState) { return TlsReportState::given_up; }
constexpr std::string_view to_string(TlsReportState state) {
  switch (state) {
  case TlsReportState::counting: return "counting";
  case TlsReportState::waiting: return "waiting";
  case TlsReportState::sent: return "sent";
  case TlsReportState::not_wanted: return "not wanted";
  case TlsReportState::nothing: return "nothing to say";
  case TlsReportState::given_up: return "given up";
  }
  return "";
}

// What is counted of one domain from `begin` to `end`, a day of UTC as a rule; and its report.
struct TlsAccount {
  std::string domain;
  std::int64_t begin = 0, end = 0; // unix time, seconds; `end` is the first that does not belong
  std::vector<TlsPolicyCount> policies;
  std::uint64_t lost = 0; // events under more policies than there is room for
  TlsReportState state = TlsReportState::counting;
  std::string report_id;      // "20261120.9f86d081884c7d65@mail.example.com"
  std::int64_t due = 0;       // unix time, microseconds
  std::int64_t first_try = 0; // the same; 0: there was none
  std::uint32_t tries = 0;
  std::vector<std::string> left; // addresses that have not got it yet
  std::vector<std::string> done; // and that have
  std::string note;              // what went wrong last
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("domain", s.domain);
    v("begin", s.begin);
    v("end", s.end);
    v("policies", s.policies);
    v.optional("lost", s.lost);
    v("state", s.state);
    v.optional("report_id", s.report_id);
    v.optional("due", s.due);
    v.optional("first_try", s.first_try);
    v.optional("tries", s.tries);
    v.optional("left", s.left);
    v.optional("done", s.done);
    v.optional("note", s.note);
  }
};

struct AskAccounts {
  static constexpr std::uint16_t kType = 129;
  std::uint64_t number = 0;
  std::string domain; // empty: of all
  std::string after;  // Accounts::next of the page before
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v.optional("domain", s.domain);
    v.optional("after", s.after);
  }
};

struct Accounts { // oldest first
  static constexpr std::uint16_t kType = 130;
  std::uint64_t number = 0;
  std::vector<TlsAccount> accounts;
  std::string next;       // empty: that was all
  std::uint64_t lost = 0; // events for which there was no room at all, over the days that are kept
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("accounts", s.accounts);
    v.optional("next", s.next);
    v.optional("lost", s.lost);
  }
};

// Ends today's account of the domain, and sends what waits, now.
struct SendReport {
  static constexpr std::uint16_t kType = 131;
  std::uint64_t number = 0;
  std::string domain;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("domain", s.domain);
  }
};

struct ReportSent {
  static constexpr std::uint16_t kType = 132;
  std::uint64_t number = 0;
  std::vector<TlsAccount> accounts; // whose reports were tried, as they are now; policies left out
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("accounts", s.accounts);
  }
};

} // namespace postrider::proto
