// SPDX-License-Identifier: MIT
#include "smtpclient/tls_report.hpp"

#include "mail/domain.hpp"

namespace postrider::smtpclient {
namespace {

using proto::TlsResult;

void fail(TlsSubject& subject, TlsResult trouble, std::string reason) {
  subject.trouble = trouble;
  subject.reason = std::move(reason);
}

TlsResult result_of(proto::PolicyTrouble trouble) {
  switch (trouble) {
  case proto::PolicyTrouble::none: break;
  case proto::PolicyTrouble::fetch: return TlsResult::sts_policy_fetch_error;
  case proto::PolicyTrouble::proof: return TlsResult::sts_webpki_invalid;
  case proto::PolicyTrouble::policy: return TlsResult::sts_policy_invalid;
  }
  return TlsResult::success;
}

} // namespace

std::optional<TlsSubject> tls_subject(const Options& options, const Nexthop& hop, bool is_report) {
  if (is_report || !options.tls.reports || options.flavor != Flavor::smtp || !options.lookup_dns ||
      hop.kind != Nexthop::Kind::domain || !mail::is_domain(hop.name))
    return std::nullopt;
  Result<std::string> domain = mail::to_ascii(hop.name);
  if (!domain || !mail::is_hostname(*domain)) return std::nullopt;
  TlsSubject subject;
  subject.policy.domain = *domain;
  subject.domain = std::move(*domain);
  return subject;
}

std::vector<std::string> policy_lines(const proto::Policy& policy) {
  std::vector<std::string> lines = {"version: STSv1",
                                    "mode: " + std::string(to_string(policy.mode))};
  for (const std::string& mx : policy.mx)
    lines.push_back("mx: " + mx);
  lines.push_back("max_age: " + std::to_string(policy.max_age));
  return lines;
}

std::string record_text(const tls::TlsaRecord& record) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = std::to_string(record.usage) + " " + std::to_string(record.selector) + " " +
                     std::to_string(record.matching) + " ";
  for (const char c : record.data) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

void note_dane(TlsSubject& subject, TlsLevel level, const DaneFacts& facts, const Dane& dane) {
  // RFC 8460 section 3: the policy domain of DANE is the one with the records.
  const auto blame = [&](TlsResult trouble, std::string reason) {
    subject.policy.kind = proto::TlsPolicyKind::tlsa;
    subject.policy.domain = facts.base.empty() ? facts.host : facts.base;
    for (const tls::TlsaRecord& record : facts.tlsa)
      subject.policy.strings.push_back(record_text(record));
    fail(subject, trouble, std::move(reason));
  };
  if (!facts.hindrance.empty()) return; // our own
  if (dane.level == TlsLevel::dane && dane.refusal.empty()) return blame(TlsResult::success, "");
  switch (facts.records) {
  case DaneFacts::Records::failed:
    // Others than forgeries are over when the next attempt is made (section 4.3.4).
    if (facts.bogus) blame(TlsResult::dnssec_invalid, facts.reason);
    return;
  case DaneFacts::Records::found:
    if (dane.level == TlsLevel::encrypt && !dane.half) blame(TlsResult::tlsa_invalid, dane.why);
    return;
  case DaneFacts::Records::none:
    if (level == TlsLevel::dane_only) blame(TlsResult::dane_required, dane.why);
    return;
  }
}

void note_sts(TlsSubject& subject, const proto::Policy& policy, std::string_view host,
              bool is_named) {
  const bool applies = policy.present && policy.mode != mail::StsMode::none;
  const bool announced = policy.trouble != proto::PolicyTrouble::none;
  if (!applies && (policy.present || !announced)) return;
  subject.policy.kind = proto::TlsPolicyKind::sts;
  if (!applies) return fail(subject, result_of(policy.trouble), policy.reason);
  subject.policy.strings = policy_lines(policy);
  subject.policy.mx = policy.mx;
  if (!is_named)
    fail(subject, TlsResult::validation_failure,
         "MX host " + std::string(host) + " is not named by the policy");
}

TlsAttempt attempt_of(const tls::Verdict& verdict, tls::Expectation::Proof proof) {
  TlsAttempt attempt;
  if (verdict.verified) return attempt;
  attempt.reason = verdict.reason;
  const bool by_names = proof == tls::Expectation::Proof::names;
  const bool has_path = by_names || proof == tls::Expectation::Proof::dane;
  if (verdict.trusted && has_path)
    attempt.result = TlsResult::certificate_host_mismatch;
  else if (verdict.reason == tls::kExpired)
    attempt.result = TlsResult::certificate_expired;
  else if (by_names && !verdict.anonymous)
    attempt.result = TlsResult::certificate_not_trusted;
  else
    attempt.result = TlsResult::validation_failure;
  return attempt;
}

std::optional<proto::TlsEvent> event_of(const TlsSubject& subject,
                                        const std::optional<TlsAttempt>& attempt, const Peer& peer,
                                        std::string_view own_address) {
  const bool by_policy = subject.trouble != TlsResult::success;
  if (!by_policy && !attempt) return std::nullopt;
  proto::TlsEvent event;
  event.domain = subject.domain;
  event.policy = subject.policy;
  event.result = by_policy ? subject.trouble : attempt->result;
  if (event.result == TlsResult::success) return event;
  event.mx_host = peer.host;
  event.mx_address = peer.address;
  event.sending_address = own_address;
  event.reason = by_policy ? subject.reason : attempt->reason;
  return event;
}

} // namespace postrider::smtpclient
