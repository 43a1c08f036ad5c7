// SPDX-License-Identifier: MIT
// Delivery and one server: an idle session or a new one, a second try in the clear where that is
// allowed, and the message over it.
#include <algorithm>

#include "base/log.hpp"
#include "maps/ask.hpp"
#include "smtp/xforward.hpp"
#include "smtpclient/deliver.hpp"
#include "smtpclient/delivered_to.hpp"
#include "smtpclient/generic.hpp"
#include "smtpclient/rewriter.hpp"

namespace postrider::smtpclient {

ev::Task<Result<TlsPlanPtr>> Delivery::plan_for(ev::Lent<const Nexthop> nexthop,
                                                ev::Lent<const Endpoint> endpoint,
                                                TlsSubject* subject) {
  Result<TlsPlanPtr> plan = co_await engine_.tls.plan(nexthop, endpoint->host);
  if (!plan) co_return plan.error();
  if (is_tls_report() && nexthop->kind == Nexthop::Kind::domain)
    co_return engine_.tls.opportunistic(*plan);
  const TlsLevel level = (*plan)->policy.level;
  if (is_dane(level)) {
    const DaneFacts facts = co_await find_dane_facts(engine_.loop, engine_.finder.resolver(),
                                                     engine_.options, level, nexthop, endpoint);
    const Dane dane = decide_dane(level, engine_.options.tls, facts);
    if (subject != nullptr) note_dane(*subject, level, facts, dane);
    plan = engine_.tls.with_dane(*plan, dane);
    if (!plan) co_return plan.error();
  }
  co_return co_await engine_.tls.with_sts(*plan, nexthop, endpoint->host, subject);
}

ev::Task<void> Delivery::try_endpoint(ev::Lent<const Endpoint> endpoint, Occasion& occasion,
                                      bool more_endpoints, bool more_hosts) {
  const std::string login_key = occasion.login ? occasion.login->key : std::string();
  const std::string key = security_key(occasion.plan->policy.digest, login_key);
  const Peer peer = endpoint->peer(); // a named local: lent to fetch_at()
  std::unique_ptr<Session> session = engine_.pool.take_at(peer, key);
  // Sessions with a login never leave their process.
  if (!session && !occasion.login && may_be_clear(*occasion.plan)) {
    session = co_await engine_.pool.fetch_at(peer, key, keep_);
    if (session) describe_clear(*session, occasion.plan);
  }
  bool counted = false;
  if (session) counted = co_await use(session, true, more_hosts);
  if (!counted && !done()) {
    if (session) engine_.pool.say_goodbye(std::move(session));
    bool again = co_await try_connection(session, endpoint, occasion, more_endpoints, more_hosts);
    if (again) {
      if (session) engine_.pool.say_goodbye(std::move(session));
      occasion.plan = engine_.tls.plaintext();
      again = co_await try_connection(session, endpoint, occasion, more_endpoints, more_hosts);
    }
  }
  if (!session) co_return;
  keep_tls(*session);
  engine_.pool.give_back(std::move(session), pool_key(), keep_);
}

ev::Task<bool> Delivery::try_connection(std::unique_ptr<Session>& session,
                                        ev::Lent<const Endpoint> endpoint,
                                        ev::Lent<const Occasion> occasion, bool more_endpoints,
                                        bool more_hosts) {
  ++session_number_;
  Opened opened = co_await open_session(engine_.loop, engine_.options, engine_.tables, engine_.tls,
                                        engine_.authenticator, endpoint, occasion);
  if (opened.session) {
    security_ = opened.session->security;
    if (occasion->subject) tell(*occasion->subject, *opened.session);
  }
  if (!opened.trouble) {
    session = std::move(opened.session);
    again_ = false;
    co_await use(session, false, more_hosts);
    co_return again_;
  }
  const Peer peer = endpoint->peer();
  bool in_the_clear = false;
  if (opened.session) {
    if (!occasion->login) in_the_clear = co_await falls_back(*opened.trouble, *opened.session);
    note(*opened.trouble, *opened.session);
    engine_.pool.say_goodbye(std::move(opened.session));
  }
  if (in_the_clear) co_return true;
  if (opened.trouble->cause == Cause::tls_failed && !occasion->login && may_fall_back(security_)) {
    log_fall_back(peer, opened.trouble->detail);
    co_return true;
  }
  fail_all(*opened.trouble, peer, more_endpoints);
  co_return false;
}

void Delivery::tell(const TlsSubject& subject, const Session& session) {
  const std::optional<TlsAttempt>& attempt = session.security.attempt;
  if (!attempt || (attempt->resumed && engine_.options.tls.skip_resumed)) return;
  auto event = event_of(subject, attempt, session.peer(), session.own_address);
  if (event) engine_.tls.tell(std::move(*event));
}

// As in Postfix: only where TLS was a wish, for mail that has waited already, and never where a
// password would be lost. What reports on TLS need not wait.
bool Delivery::may_fall_back(const Security& security) const {
  const std::chrono::microseconds age(request_.active - request_.envelope.arrival);
  return security.plan && security.plan->policy.level == TlsLevel::may &&
         (age >= engine_.options.tls.plaintext_after || is_tls_report());
}

ev::Task<bool> Delivery::falls_back(ev::Lent<const Trouble> what, ev::Lent<const Session> session) {
  const Trouble& trouble = *what;
  if (session->security.tls.empty() || !session->login_key.empty() ||
      !may_fall_back(session->security))
    co_return false;
  const bool connection = trouble.cause == Cause::timeout || trouble.cause == Cause::closed ||
                          trouble.cause == Cause::protocol || trouble.cause == Cause::unreachable;
  // In doubt, nobody is asked again at once.
  if (!connection || decide(trouble.cause, trouble.step).next == Next::none) co_return false;
  const std::string downgrade =
      co_await engine_.tls.find_downgrade(session->peer(), "TLS with it breaks");
  if (!downgrade.empty()) co_return false;
  log_fall_back(session->peer(), to_outcome(trouble, session->peer()).text);
  co_return true;
}

void Delivery::log_fall_back(const Peer& peer, std::string_view why) {
  log::info(request_.content.id.text() + ": " + peer.shown_with_port() + ": " + std::string(why) +
            "; falling back to clear text");
}

void Delivery::keep_tls(Session& session) {
  if (session.tls() == nullptr) return;
  for (const std::string& left : session.tls()->take_sessions())
    engine_.tls.manager().put_session(session.security.session_key, left);
}

ev::Task<bool> Delivery::use(std::unique_ptr<Session>& session, bool reused, bool more_hosts) {
  if (reused && session->needs_reset) {
    Result<smtp::Reply> reply = co_await session->command("RSET", smtp::Step::rset);
    if (!reply || !reply->ok()) {
      session->mark_broken();
      const bool cancelled = !reply && reply.error().kind() == ErrorKind::cancelled;
      if (cancelled)
        fail_all(trouble_from(reply.error(), smtp::Step::rset), session->peer(), false);
      co_return cancelled;
    }
    session->needs_reset = false;
  }
  if (reused) ++session_number_;
  security_ = session->security;
  timing_.connected = engine_.loop.now();
  peer_has_dsn_ = session->features().dsn;

  std::vector<std::uint32_t> who;
  std::vector<mail::Recipient> recipients;
  for (std::uint32_t i = 0; i < settled_.size(); ++i) {
    if (settled_[i]) continue;
    who.push_back(i);
    recipients.push_back(request_.envelope.recipients[i]);
  }
  smtp::Transaction what{&request_.envelope, &recipients, &request_.facts,
                         engine_.options.quote_addresses};
  mail::Envelope mapped;
  if (!engine_.tables.generic.empty()) {
    mapped = request_.envelope;
    what.envelope = &mapped;
    Result<void> done = co_await map_envelope(mapped, recipients);
    if (!done) {
      fail_all(trouble_from(done.error(), smtp::Step::mail), session->peer(), false);
      co_return true;
    }
  }
  Rewriting rewriting;
  if (rewrites_content(engine_.tables)) rewriting.tables = &engine_.tables;
  rewriting.to_seven_bit = engine_.options.convert_to_7bit && request_.facts.has_8bit &&
                           !session->features().eight_bit_mime;
  rewriting.first_headers =
      first_headers(engine_.options, request_.envelope.sender, recipients[0].address);
  what.converted = rewriting.to_seven_bit;
  const smtp::Obstacle obstacle = smtp::find_obstacle(what, session->features());
  if (obstacle != smtp::Obstacle::none) {
    ++sessions_;
    tried_.push_back(session->peer());
    Trouble trouble{Cause::needs_smtputf8,
                    smtp::Step::mail,
                    {},
                    "SMTPUTF8 is required, but was not offered by host " + session->peer().shown()};
    if (obstacle == smtp::Obstacle::too_large) {
      trouble.cause = Cause::too_large;
      trouble.detail = "message size " + std::to_string(request_.facts.size) +
                       " exceeds size limit " + std::to_string(session->features().size_limit) +
                       " of server " + session->peer().shown();
    }
    fail_all(trouble, session->peer(), more_hosts);
    co_return true;
  }
  what.dummy_auth = session->logged_in && engine_.options.sasl.dummy_mail_auth;
  if (engine_.options.send_xforward) what.xforward = xforward_commands(session->features());
  Transact transaction(*session, what, request_.content, rewriting, request_.mark);
  co_await transaction.run();
  // Gone, or "421 idle too long": the connection was over before this message, so nothing happened.
  const smtp::Judge& judge = transaction.judge();
  const bool gone =
      transaction.failed_before_mail() && transaction.trouble()->cause != Cause::cancelled;
  const bool dismissed = judge.decision(0) == smtp::Decision::refused &&
                         judge.step(0) == smtp::Step::mail && judge.reply(0).code == 421;
  if (reused && (gone || dismissed)) co_return false;
  if (!reused && transaction.trouble())
    again_ = co_await falls_back(*transaction.trouble(), *session);
  if (session->tls() != nullptr && !transaction.trouble())
    engine_.tls.remember(session->peer(), session->security);
  if (!again_) ++sessions_;
  tried_.push_back(session->peer());
  uses_ = session->uses();
  apply(transaction, who, *session, more_hosts || again_);
  co_return true;
}

std::string Delivery::pool_key() const {
  const std::string sender = sender_key(engine_.options, request_.envelope.sender);
  return sender.empty() ? request_.nexthop : request_.nexthop + "\n" + sender;
}

std::vector<std::string> Delivery::xforward_commands(const smtp::Features& features) const {
  const mail::Envelope& from = request_.envelope;
  const std::string id = request_.content.id.text();
  const auto client = net::Address::parse_ip(from.client_address, 0);
  const bool local = client ? engine_.options.is_own(*client) : from.local_submission;
  return smtp::xforward_commands({.envelope = &from, .id = id, .local = local}, features);
}

ev::Task<Result<void>> Delivery::map_address(std::string& address) {
  const Generic generic(engine_.tables, engine_.options);
  const std::function<maps::Answer()> question = [&] { return generic.map(address); };
  const ev::Deadline limit = engine_.loop.after(engine_.options.timeout(smtp::Step::mail));
  maps::Answer found =
      co_await maps::ask<std::optional<std::string>>(engine_.loop, question, limit);
  if (!found) co_return table_error(found.error(), request_.content.id.text());
  if (*found) address = std::move(**found);
  co_return Result<void>();
}

ev::Task<Result<void>> Delivery::map_envelope(mail::Envelope& envelope,
                                              std::vector<mail::Recipient>& recipients) {
  Result<void> mapped = co_await map_address(envelope.sender);
  for (std::size_t i = 0; i < recipients.size() && mapped; ++i) {
    recipients[i].orcpt = smtp::original_recipient(recipients[i]);
    mapped = co_await map_address(recipients[i].address);
  }
  co_return mapped;
}

} // namespace postrider::smtpclient
