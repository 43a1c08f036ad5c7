// SPDX-License-Identifier: MIT
// One SMTP session, from the greeting to the end of the connection (RFC 5321, PIPELINING RFC 2920,
// CHUNKING RFC 3030). The dialogue is one coroutine; each verb has a handler. Replies are gathered
// and written when nothing more of what the client sent can be answered.
//
//   I1  a transaction exists from an accepted MAIL to the next RSET, HELO, EHLO, end of content or
//       trouble with it; ending it destroys everything that belongs to it
//   I2  250 to content is said only with an id that commit() returned
//   I3  content ends at CR LF '.' CR LF, or with BDAT's count, and nowhere else
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/secret.hpp"
#include "command_table.hpp"
#include "config.hpp"
#include "filters.hpp"
#include "forward.hpp"
#include "intake.hpp"
#include "mail/envelope.hpp"
#include "net/stream.hpp"
#include "peer.hpp"
#include "proto/saslmgr.hpp"
#include "service/ticket_keys.hpp"
#include "tls/stream.hpp"

namespace postrider::service {
class SaslManager;
}

namespace postrider::smtpd {

// Counts what clients do, over all sessions; of the suite, where anvil is there.
class Clients {
 public:
  virtual ~Clients() = default;
  // A session has another client from here on. WAITS, a moment at most. Empty, or the reply that
  // ends the session.
  virtual ev::Task<std::string> change(ev::Lent<const Peer> before, ev::Lent<Peer> after) = 0;
  // One event more. WAITS, a moment at most, for its rate by now; 0: not known.
  virtual ev::Task<std::uint64_t> count(ev::Lent<const Peer> peer, proto::ClientEvent event) = 0;
  // The rate of new TLS sessions. WAITS as count().
  virtual ev::Task<std::uint64_t> tls_sessions(ev::Lent<const Peer> peer) = 0;
};

// "AUTH command rate limit exceeded: 3 from mx.example[192.0.2.1] for service smtp"
std::string rate_warning(proto::ClientEvent event, std::uint64_t rate, const Peer& peer,
                         const std::string& service);

// What all sessions of the process share.
struct Shared {
  Shared(ev::Loop& l, submit::Submitter& s) : loop(l), submitter(s) {}
  ev::Loop& loop;
  submit::Submitter& submitter;
  service::SaslManager* sasl = nullptr;
  std::string service;                    // first column of master.cf
  service::TicketKeys* tickets = nullptr; // null: TLS sessions are not resumed
  forward::Servers* forward = nullptr;    // null: mail is queued
  std::unique_ptr<milter::Dialer> dialer = std::make_unique<milter::Dialer>();
  dns::Resolver* resolver = nullptr; // never null where sessions run
  Clients* clients = nullptr;
  bool draining = false;     // begin no transaction, end when there is none
  std::size_t lingering = 0; // sessions that are over, whose clients are to read why
};

class Session {
 public:
  Session(Shared& shared, std::shared_ptr<const Config> config, std::unique_ptr<net::Stream> stream,
          Peer peer);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // WAITS until the session is over.
  ev::Task<void> run();
  // Says one reply and ends, for a client that is not served at all.
  ev::Task<void> refuse(const std::string& reply);

  // Who it is with: XCLIENT may have changed that.
  const Peer& peer() const { return peer_; }
  // Does it wait for a commit whose outcome the client should hear?
  bool is_committing() const { return committing_; }
  // A stranger between two messages, whom others may have to make room for.
  bool is_idle_stranger() const {
    return !transaction_ && !has_logged_in_ && !peer_.local && end_ == End::none && !dismissed_;
  }
  // It says 421 and ends as soon as its socket has no more to read, which is up to the caller.
  void dismiss() { dismissed_ = true; }
  bool is_dismissed() const { return dismissed_; }
  // The stream has a word against talking early; TCP only.
  void set_early_talk(bool early) { early_talk_ = early; }

 private:
  struct Transaction {
    mail::Envelope envelope;
    std::unordered_set<std::string> seen; // recipients so far
    std::uint64_t overshoot = 0;          // recipients refused beyond the limit
    std::uint64_t announced = 0;          // SIZE of MAIL
    std::string instance;                 // the same for all questions to policy services
    Effects effects;                      // of access tables
    std::unique_ptr<Forwarding> forward;  // null: mail is queued
    std::optional<Intake> intake;         // from the first BDAT, or during DATA
    bool chunking = false;
    Transaction() {}
  };
  enum class End { none, quit, closed, timeout, error };

  // --- the dialogue
  ev::Task<void> converse();
  ev::Task<bool> next_line(); // false: the session is over (end_ says how)
  ev::Task<void> execute(smtp::Command command);
  ev::Task<bool> flush();
  ev::Task<bool> fill(ev::Deadline deadline);
  ev::Task<void> punish(std::size_t reply_at);
  ev::Task<void> linger();
  ev::Task<void> wait_for_queue();

  // --- verbs
  ev::Task<void> helo(smtp::Verb verb, std::string_view arguments);
  ev::Task<void> mail(std::string_view arguments);
  ev::Task<void> rcpt(std::string_view arguments);
  ev::Task<void> data(std::string_view arguments);
  ev::Task<void> bdat(std::string_view arguments);
  void rset();
  void vrfy(std::string_view arguments);
  void quit();
  ev::Task<void> starttls();    // session_tls.cpp, to must_start_tls()
  ev::Task<bool> shake_hands(); // false: the session is over, and its stream is gone
  ev::Task<void> begin_with_tls();
  void note_tls(const tls::TlsStream& stream, const tls::Credentials& credentials);
  bool is_secure() const { return !peer_.tls.protocol.empty(); }
  bool offers_tls() const;
  bool must_start_tls() const;
  ev::Task<void> auth(std::string_view arguments);    // session_auth.cpp
  ev::Task<void> xclient(std::string_view arguments); // session_behind.cpp
  void xforward(std::string_view arguments);

  // --- AUTH (session_auth.cpp)
  enum class Response { line, too_long, none };
  bool has_auth() const;
  bool keeps_password() const;
  proto::LoginFacts login_facts() const;
  ev::Task<void> learn_mechanisms();
  std::vector<std::string> auth_keywords() const; // of EHLO
  ev::Task<Response> next_response();
  ev::Task<void> log_in(const std::string& mechanism, std::optional<Secret>& initial);
  void give_up(std::string_view mechanism, Response response);
  void log_login(std::string_view mechanism, std::string_view reason, std::string_view username);

  // --- limits of the client (session_limits.cpp); WAIT for anvil. False: beyond, and logged
  ev::Task<bool> within_rate(proto::ClientEvent event);
  ev::Task<bool> may_begin_tls(std::string_view what);

  // --- policy (session_policy.cpp)
  // What restrictions say at a stage; `subject` is the sender or the recipient in question. False:
  // it was refused, and answered.
  ev::Task<bool> allow(Stage stage, std::string_view where, std::string_view subject);
  Situation situation(std::string_view where) const;
  bool may_object(Stage first, Stage last) const;
  std::string new_instance();
  void apply_effects(); // REDIRECT, BCC, HOLD, FILTER
  static std::string_view first_word(std::string_view line);
  // smtpd_command_filter, smtpd_noop_commands. True: the line is answered.
  ev::Task<bool> takes_other_line(); // WAITS for a table
  void count_unimplemented();
  std::string refusal_with_footer(int code, std::string_view dsn, std::string_view text) const;

  // --- content
  std::optional<smtp::Refusal> content_refusal() const;
  OpenSink sink_of(Transaction& transaction);
  ev::Task<bool> begin_content(smtp::Framing framing);
  ev::Task<bool> skip(std::uint64_t count);
  ev::Task<void> end_content();
  ev::Deadline content_deadline(SteadyTime began, std::uint64_t bytes) const;

  // --- filters (session_filters.cpp)
  ev::Task<void> meet_filters();
  ev::Task<void> tell_filters(smtp::Command command, std::size_t reply_at,
                              std::size_t recipients_before);
  ev::Task<bool> filters_want_data();
  ev::Task<void> unknown_command();
  void forget_recipients(std::size_t but); // the first so many

  // --- replies; '\n' in a text divides its lines
  void reply(int code, std::string_view dsn, std::string_view text);
  void fail(int code, std::string_view dsn, std::string_view text); // counts as an error
  void fail(const smtp::Refusal& refusal) { fail(refusal.code, refusal.dsn, refusal.text); }
  // The same with a line in the log.
  void reject(std::string_view stage, const smtp::Refusal& refusal, std::string_view recipient);
  void reject(const Situation& at, const smtp::Refusal& refusal);
  // By somebody else's answer: only one that is for ever counts as the client's error.
  void reject_as_told(std::string_view stage, const Answer& answer, std::string_view recipient);
  void hang_up(End end) { end_ = end; }
  bool hidden(std::string_view keyword) const;
  void finish_address(std::string& address) const; // append_at_myorigin, append_dot_mydomain
  void reset();
  ev::Deadline limit() const { return within_session(config_->timeout); } // smtpd_timeout
  ev::Deadline within_session(Duration patience) const;                   // from now on

  Shared& shared_;
  std::shared_ptr<const Config> config_;
  std::unique_ptr<net::Stream> stream_; // behind STARTTLS another than before
  Peer peer_;
  std::unique_ptr<SessionFilters> filters_; // where there are any; outlive the transaction
  std::string out_;
  std::string line_;
  std::string helo_;
  bool esmtp_ = false;
  bool early_talk_ = false;
  bool committing_ = false;
  bool dismissed_ = false;
  bool denied_ = false;  // by smtpd_client_restrictions, for the whole session
  bool failed_ = false;  // the command in hand was refused
  bool bare_lf_ = false; // the line in hand ended in LF alone
  std::int64_t errors_ = 0;
  std::int64_t junk_ = 0;
  std::int64_t unimplemented_ = 0; // commands so far
  End end_ = End::none;
  std::string_view where_ = "CONNECT"; // for the log: what the client was last busy with
  SteadyTime began_;
  CommandCount count_;
  std::vector<std::string> mechanisms_; // of AUTH, that may be used
  bool offers_auth_ = false;            // and EHLO says so
  bool has_logged_in_ = false;          // as somebody, peer_.login says, or anonymously
  std::array<Deferral, 3> doubts_;      // what the stages before RCPT left open
  Effects early_;                       // of these stages, when they are looked at before MAIL
  mail::Forwarded forwarded_;           // by XFORWARD, for the next transaction
  std::optional<Transaction> transaction_;
};

} // namespace postrider::smtpd
