// SPDX-License-Identifier: MIT
// What the connections of one client process share about TLS: certificates, roots, the policies of
// destinations, and what is remembered of servers.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "ev/group.hpp"
#include "ev/offload.hpp"
#include "service/tls_manager.hpp"
#include "service/tlsrpt_collector.hpp"
#include "smtpclient/dane.hpp"
#include "smtpclient/failure.hpp"
#include "smtpclient/nexthop.hpp"
#include "smtpclient/tables.hpp"
#include "smtpclient/tls_policy.hpp"
#include "smtpclient/tls_report.hpp"

namespace postrider::smtpclient {

// Read before the jail closes.
struct TlsFiles {
  std::shared_ptr<tls::CredentialSource> credentials; // null: nobody asks for TLS
  std::shared_ptr<const tls::TrustAnchors> anchors;   // of smtp_tls_trust_anchor_file
  // Blocks on the disk. Error config names the parameter, and the file or word that is wrong:
  // also of ciphers and protocols that no table mentions.
  static Result<TlsFiles> open(const TlsOptions& options, const Tables& tables);
};

// A policy, and what it needs made.
struct TlsPlan {
  TlsPolicy policy;
  std::string priority;    // GnuTLS's
  std::string sts_testing; // the domain whose policy of MTA-STS is in mode testing
  std::shared_ptr<const tls::TrustAnchors> anchors; // null: the roots count
  std::optional<PolicyEntry> entry;                 // what it was made from; none: the parameters
  std::string source;                               // " (smtp_tls_policy_maps: ...)", for people
  std::string before_dane; // digest of the policy that asked for DANE; empty: its own counts
  // The policy as it is known before a host is: what destinations find their idle sessions by.
  const std::string& destination_digest() const {
    return before_dane.empty() ? policy.digest : before_dane;
  }
};
using TlsPlanPtr = std::shared_ptr<const TlsPlan>;
// What scache has is in the clear, whatever it says: where TLS is a must it is not even asked.
inline bool may_be_clear(const TlsPlan& plan) {
  return !is_mandatory(plan.policy.level) && !plan.policy.wrapper;
}

// What protects a session, and for whom it is good.
struct Security {
  TlsPlanPtr plan;         // null: not asked yet
  std::string status;      // as behind tls= in the log: "may", "may:none", "!verify", "may?"
  std::string tls;         // "TLSv1.3 with cipher ..."; empty: clear text
  bool trusted = false;    // the certificate has a chain up to a root
  bool verified = false;   // and is all that the level asks for
  std::string session_key; // of TlsManager
  std::optional<TlsAttempt> attempt; // at TLS, for reports; empty: it has not come to one
};
// What must be alike where a session takes the place of another: policy and credentials.
std::string security_key(std::string_view policy_digest, std::string_view login_key);

class TlsClient {
 public:
  static constexpr Duration kRefreshTime = std::chrono::seconds(5); // between two looks at files
  static constexpr Duration kRefreshLimit = std::chrono::seconds(2);
  static constexpr std::size_t kMostPlans = 1024;
  static constexpr std::chrono::seconds kStsTime{30}; // a policy is not asked for again

  // Options and tables must outlive it. `offload` may be null: then files are not looked at again.
  TlsClient(ev::Loop& loop, const Options& options, Tables& tables, TlsFiles files,
            ev::Offload* offload);
  ~TlsClient();

  // WAITS for tables. What holds for a host of the next hop; with an empty `host`, what can be said
  // before it is known. Error: it cannot be found out or met, and no mail may go; logged.
  ev::Task<Result<TlsPlanPtr>> plan(ev::Lent<const Nexthop> hop, std::string_view host);
  // The same where DANE has spoken. REQUIRES a plan of level dane or dane-only. Error: no mail to
  // this host now, and why.
  Result<TlsPlanPtr> with_dane(const TlsPlanPtr& plan, const Dane& dane);
  // WAITS, for tlsmgr. What holds in place of `plan` where MTA-STS has a say (sts.hpp). Error: the
  // policy does not name the host. `subject` may be null.
  ev::Task<Result<TlsPlanPtr>> with_sts(TlsPlanPtr& plan, ev::Lent<const Nexthop> hop,
                                        std::string_view host, TlsSubject* subject);
  // For mail that reports on TLS, which is to arrive however bad that is (RFC 8460 section 3): in
  // place of `plan`, TLS as a wish.
  TlsPlanPtr opportunistic(const TlsPlanPtr& plan);
  // To the tlsrpt service; never waits, and nobody learns whether it arrived.
  void tell(proto::TlsEvent event);
  // A connection was not good enough for the policy of the domain: perhaps there is a newer one,
  // for the next time.
  void sts_failed(const Nexthop& hop);
  // No TLS at all: for a second try at level may.
  const TlsPlanPtr& plaintext() const { return plaintext_; }

  // WAITS for the disk, now and then, kRefreshLimit at most: whether there are new files. What
  // cannot be used, or not be read in time, leaves what there was; logged. Null: nobody asked for
  // TLS.
  ev::Task<std::shared_ptr<const tls::Credentials>> credentials();
  // TLS sessions to resume, and which servers had good TLS.
  service::TlsManager& manager() { return manager_; }
  const TlsOptions& options() const;

  // Mail has been delivered over TLS: that is what level may goes by the next time.
  void remember(const Peer& peer, const Security& security);
  // WAITS. At level may: TLS is not there, or does not work (`what`: "its handshake fails"). A
  // text: the server had good TLS before, so its mail waits for a while; it may be somebody else.
  ev::Task<std::string> find_downgrade(ev::Lent<const Peer> peer, std::string_view what);

 private:
  Result<std::shared_ptr<TlsPlan>> make(TlsLevel level, const PolicyEntry* entry);
  void keep(std::string key, const TlsPlanPtr& plan);
  Result<TlsPlanPtr> make_from_entry(std::string_view text, const Nexthop& hop);
  Result<TlsPlanPtr> make_for_site(TlsLevel level);
  ev::Task<Result<TlsPlanPtr>> from_policy_maps(ev::Lent<const Nexthop> hop);
  ev::Task<Result<TlsPlanPtr>> from_per_site(ev::Lent<const Nexthop> hop, std::string_view host);
  using PolicyPtr = std::shared_ptr<const proto::Policy>;
  // WAITS. Null: tlsmgr does not say.
  ev::Task<PolicyPtr> sts_policy(const std::string& domain, proto::PolicyWish wish);
  Result<TlsPlanPtr> make_sts(const proto::Policy& policy);
  ev::RootTask recheck(std::string domain);
  std::string parameter(std::string_view suffix) const; // "smtp_" or "lmtp_" in front

  ev::Loop& loop_;
  const Options& options_;
  Tables& tables_;
  TlsFiles files_;
  SteadyTime look_again_; // at the files, not before
  ev::Offload* offload_;
  service::TlsManager manager_;
  std::unique_ptr<service::TlsrptCollector> reporter_; // null: smtp_tlsrpt_enable = no
  TlsPlanPtr plaintext_;
  // By level and text of the entry. Only what could be made is kept.
  std::unordered_map<std::string, TlsPlanPtr> plans_;
  std::unordered_set<std::string> bad_; // the others have been logged, once each
  struct StsKnown {
    PolicyPtr policy;
    SteadyTime until;
  };
  std::unordered_map<std::string, StsKnown> sts_policies_; // by domain
  ev::Group group_;
};

} // namespace postrider::smtpclient
