// SPDX-License-Identifier: MIT
// What is told about attempts at TLS, for reports to recipient domains (RFC 8460): under which
// policy of the domain a host was asked, and what came of it. Pure; TlsClient::tell() sends it.
//
// One connection is one event. Where the policy itself is at fault, or forbids the host, that is
// the result, whatever the connection shows.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/tlsmgr.hpp"
#include "proto/tlsrpt.hpp"
#include "smtpclient/dane.hpp"

namespace postrider::smtpclient {

// What an attempt is told about.
struct TlsSubject {
  std::string domain; // recipient domain, A-labels
  proto::TlsPolicySeen policy;
  // Of the policy, before anything was sent; success: nothing is wrong with it.
  proto::TlsResult trouble = proto::TlsResult::success;
  std::string reason; // of `trouble`
};
using TlsSubjectPtr = std::shared_ptr<const TlsSubject>;

// What the connection showed.
struct TlsAttempt {
  proto::TlsResult result = proto::TlsResult::success;
  std::string reason;
  bool resumed = false;
};

// Empty: the next hop has nobody who wants reports. Only domains whose MX hosts are looked up do;
// mail that is such a report is never told about.
std::optional<TlsSubject> tls_subject(const Options& options, const Nexthop& hop, bool is_report);

// REQUIRES level dane or dane-only before DANE spoke. Leaves the subject alone where DANE has no
// say.
void note_dane(TlsSubject& subject, TlsLevel level, const DaneFacts& facts, const Dane& dane);
// `is_named`: the policy allows the host.
void note_sts(TlsSubject& subject, const proto::Policy& policy, std::string_view host,
              bool is_named);

// "version: STSv1", "mode: enforce", ...: a policy of MTA-STS, line by line.
std::vector<std::string> policy_lines(const proto::Policy& policy);
// As in a zone file (RFC 6698 section 2.2), whole.
std::string record_text(const tls::TlsaRecord& record);

// What certificates were worth.
TlsAttempt attempt_of(const tls::Verdict& verdict, tls::Expectation::Proof proof);

// `attempt` empty: it did not come to one, because of the policy. No event: neither has anything
// to say.
std::optional<proto::TlsEvent> event_of(const TlsSubject& subject,
                                        const std::optional<TlsAttempt>& attempt, const Peer& peer,
                                        std::string_view own_address);

} // namespace postrider::smtpclient
