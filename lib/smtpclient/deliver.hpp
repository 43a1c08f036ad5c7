// SPDX-License-Identifier: MIT
// One delivery request to its outcomes: idle sessions first, then the hosts of the destination in
// order, until every recipient has a verdict or there is nobody left to ask.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mail/outcome.hpp"
#include "smtpclient/open.hpp"
#include "smtpclient/pool.hpp"
#include "smtpclient/tables.hpp"
#include "smtpclient/targets.hpp"
#include "smtpclient/transact.hpp"

namespace postrider::smtpclient {

// What deliveries of one process share.
struct Engine {
  ev::Loop& loop;
  const Options& options;
  Tables& tables;
  TargetFinder& finder;
  Pool& pool;
  TlsClient& tls;
  Authenticator* authenticator = nullptr; // null: smtp_sasl_auth_enable = no
};

struct Request {
  std::string nexthop;
  mail::Envelope envelope;
  mail::ContentFacts facts;
  Content content;
  std::int64_t active = 0; // when qmgr took it in hand this time; unix time, microseconds
  bool cache_hint = false;
  FlightMark mark;
};

struct Timing {
  SteadyTime started{};
  SteadyTime connected{}; // the last session was ready
  SteadyTime finished{};
};

// What the postmaster should read (notify_classes): the transcript of a session that went wrong.
struct Notice {
  std::string of_class; // "protocol", "data"; empty: nothing
  std::string text;
  std::string peer; // the first it is about
};

class Delivery {
 public:
  // Both must outlive run().
  Delivery(const Engine& engine, const Request& request);

  // WAITS until every recipient has its outcome.
  ev::Task<void> run();

  const std::vector<mail::Outcome>& outcomes() const { return outcomes_; }
  const Timing& timing() const { return timing_; }
  // How often the session of the last transaction has been used; for conn_use=.
  std::size_t uses() const { return uses_; }
  bool peer_has_dsn() const { return peer_has_dsn_; }
  const Notice& notice() const { return notice_; }
  // Not empty: this host is the best MX of the destination; nothing was tried, and this transport,
  // or transport:nexthop, is to have all of it (best_mx_transport).
  const std::string& pass_to() const { return pass_to_; }

 private:
  ev::Task<void> decide_keeping();
  ev::Task<bool> may_begin();
  ev::Task<void> try_idle_sessions(ev::Lent<const Nexthop> nexthop);
  enum class Role : std::uint8_t { destination, relayhost, fallback };
  ev::Task<void> try_nexthops(const std::vector<Nexthop>& hops);
  ev::Task<void> try_nexthop(ev::Lent<const Nexthop> nexthop, Role role, bool last);
  // What protects the mail on the way to this server. Error: it must not go there now. `subject`
  // may be null.
  ev::Task<Result<TlsPlanPtr>> plan_for(ev::Lent<const Nexthop> nexthop,
                                        ev::Lent<const Endpoint> endpoint, TlsSubject* subject);
  // What a new connection showed, for reports on TLS.
  void tell(const TlsSubject& subject, const Session& session);
  bool is_tls_report() const { return request_.envelope.report_kind == proto::kTlsReport; }
  // `more_endpoints` of this next hop, `more_hosts` at all.
  ev::Task<void> try_endpoint(ev::Lent<const Endpoint> endpoint, Occasion& occasion,
                              bool more_endpoints, bool more_hosts);
  // True: TLS failed, and may be done without (choice of level may); nothing is settled by that.
  ev::Task<bool> try_connection(std::unique_ptr<Session>& session,
                                ev::Lent<const Endpoint> endpoint,
                                ev::Lent<const Occasion> occasion, bool more_endpoints,
                                bool more_hosts);
  bool may_fall_back(const Security& security) const;
  // The connection failed behind a good handshake. True: as try_connection(). WAITS.
  ev::Task<bool> falls_back(ev::Lent<const Trouble> trouble, ev::Lent<const Session> session);
  void log_fall_back(const Peer& peer, std::string_view why);
  // What TLS leaves behind when a connection is at its end, or rests.
  void keep_tls(Session& session);
  void fail_lookup(Trouble trouble, Role role, bool last);
  // False: failed on a reused session before MAIL was accepted, nothing happened. `more_hosts`: a
  // soft failure may still be tried elsewhere.
  ev::Task<bool> use(std::unique_ptr<Session>& session, bool reused, bool more_hosts);
  // By smtp_generic_maps.
  ev::Task<Result<void>> map_address(std::string& address);
  ev::Task<Result<void>> map_envelope(mail::Envelope& envelope,
                                      std::vector<mail::Recipient>& recipients);
  // Under which idle sessions to the destination are kept.
  std::string pool_key() const;
  std::vector<std::string> xforward_commands(const smtp::Features& features) const;
  void apply(const Transact& transaction, const std::vector<std::uint32_t>& who, Session& session,
             bool more_hosts);
  void settle(std::uint32_t recipient, mail::Outcome outcome, bool final);
  void fail_all(const Trouble& trouble, const Peer& peer, bool more_hosts);
  // Something went wrong on `session`, and perhaps the postmaster wants to know.
  void note(const Trouble& trouble, Session& session);
  void log_passed_over(const Trouble& trouble, const std::string& text);
  bool done() const { return open_ == 0; }
  // Nobody else is asked then; what was said last stands.
  bool late() const {
    return !outcomes_.front().dsn.empty() &&
           engine_.loop.now() - timing_.started > engine_.options.attempt_limit;
  }

  const Engine& engine_;
  const Request& request_;
  std::vector<mail::Outcome> outcomes_;
  std::vector<bool> settled_;
  std::size_t open_;
  std::vector<Peer> tried_;  // servers that were offered the message
  std::size_t sessions_ = 0; // of this next hop that got past the greeting
  std::size_t uses_ = 0;
  bool peer_has_dsn_ = false;
  bool found_self_ = false;
  std::string pass_to_;
  bool stop_ = false;  // trouble that no other host can mend
  Security security_;  // of the connection that outcomes are about
  bool again_ = false; // use(): the same server is to be asked in the clear
  Timing timing_;
  Pool::Keep keep_ = Pool::Keep::if_busy;
  Notice notice_;
  std::size_t noted_in_ = 0; // number of the session that notice_ ends with
  std::size_t session_number_ = 0;
  std::string logged_;
};

} // namespace postrider::smtpclient
