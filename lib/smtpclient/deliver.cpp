// SPDX-License-Identifier: MIT
#include "smtpclient/deliver.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "maps/ask.hpp"
#include "smtp/xforward.hpp"
#include "smtpclient/delivered_to.hpp"
#include "smtpclient/generic.hpp"
#include "smtpclient/rewriter.hpp"

namespace postrider::smtpclient {

Delivery::Delivery(const Engine& engine, const Request& request)
    : engine_(engine), request_(request), outcomes_(request.envelope.recipients.size()),
      settled_(outcomes_.size(), false), open_(outcomes_.size()) {}

ev::Task<void> Delivery::run() {
  timing_.started = timing_.connected = engine_.loop.now();
  co_await decide_keeping();
  const bool go = co_await may_begin();
  const auto hops = parse_nexthops(request_.nexthop, engine_.options);
  if (go && !hops)
    fail_all(Trouble{Cause::bad_nexthop, smtp::Step::lookup, {}, hops.error().text()}, {}, false);
  if (go && hops) co_await try_idle_sessions(hops->front());
  if (!done() && !stop_ && hops) co_await try_nexthops(*hops);
  timing_.finished = engine_.loop.now();
  const std::int64_t now = to_unix_micros(engine_.loop.clock().wall());
  for (mail::Outcome& outcome : outcomes_)
    outcome.at = now;
}

ev::Task<void> Delivery::decide_keeping() {
  if (request_.cache_hint) keep_ = Pool::Keep::hinted;
  maps::MatchList& list = engine_.tables.cache_destinations;
  if (list.empty()) co_return;
  const auto hops = parse_nexthops(request_.nexthop, engine_.options);
  if (!hops) co_return;
  const std::function<Result<bool>()> question = [&] {
    return list.matches_domain(hops->front().name);
  };
  const ev::Deadline deadline = engine_.loop.after(engine_.options.timeout(smtp::Step::greeting));
  Result<bool> listed = co_await maps::ask<bool>(engine_.loop, question, deadline);
  if (!listed)
    log::warning("connection_cache_destinations: " + listed.error().text());
  else if (*listed)
    keep_ = Pool::Keep::always;
}

// What flags=D and O ask for before anybody is asked to take the mail.
ev::Task<bool> Delivery::may_begin() {
  const Options& options = engine_.options;
  if (!options.add_delivered_to && !options.add_original_to) co_return true;
  Trouble trouble{Cause::bad_nexthop, smtp::Step::lookup, {}, "mail system configuration error"};
  if (request_.envelope.recipients.size() > 1) {
    log::warning("flags D and O of master.cf require a destination_recipient_limit of 1");
    fail_all(trouble, {}, false);
    co_return false;
  }
  if (!options.add_delivered_to) co_return true;
  std::string address = request_.envelope.recipients[0].address;
  Result<void> mapped = co_await map_address(address);
  if (!mapped) {
    fail_all(trouble_from(mapped.error(), smtp::Step::lookup), {}, false);
    co_return false;
  }
  const Result<bool> loop = was_delivered_to(request_.content, address);
  if (loop && !*loop) co_return true;
  trouble.cause = loop ? Cause::forwarding_loop : Cause::content_unreadable;
  trouble.detail = loop ? "mail forwarding loop for " + request_.envelope.recipients[0].address
                        : loop.error().text();
  fail_all(trouble, {}, false);
  co_return false;
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

// What scache has is in the clear, whatever it says: where TLS is a must it is not even asked.
static bool may_be_clear(const TlsPlan& plan) {
  return !is_mandatory(plan.policy.level) && !plan.policy.wrapper;
}

// A connection that turns out to be dead was no attempt: the next one, or a new one, is.
ev::Task<void> Delivery::try_idle_sessions(ev::Lent<const Nexthop> nexthop) {
  Result<TlsPlanPtr> plan = co_await engine_.tls.plan(nexthop, "");
  if (plan) plan = co_await engine_.tls.with_sts(*plan, nexthop, "");
  if (!plan) co_return; // try_nexthop() says so
  const std::string key = pool_key();
  const std::string& policy = (*plan)->destination_digest();
  while (!done()) {
    std::unique_ptr<Session> session = engine_.pool.take_for(key, policy);
    // What DANE has to say is known of hosts only: scache is asked for those.
    if (!session && may_be_clear(**plan) && !is_dane((*plan)->policy.level)) {
      session = co_await engine_.pool.fetch_for(key, policy, keep_);
      if (session) describe_clear(*session, *plan);
    }
    if (!session) co_return;
    const bool counted = co_await use(session, true, true);
    keep_tls(*session);
    engine_.pool.give_back(std::move(session), key, keep_);
    if (counted) co_return;
  }
}

// Fallback relays are for destinations that cannot be found or reached. When this host is an MX of
// one, nobody behind it is asked: mail would only come back.
ev::Task<void> Delivery::try_nexthops(const std::vector<Nexthop>& hops) {
  const Options& options = engine_.options;
  std::vector<Nexthop> all = hops;
  if (hops.front().kind == Nexthop::Kind::unix_socket && !options.fallback_relays.empty())
    log::warning("ignoring \"lmtp_fallback_relay\" setting for non-TCP connections");
  else
    all.insert(all.end(), options.fallback_relays.begin(), options.fallback_relays.end());
  const bool to_relayhost = request_.nexthop == options.relayhost;
  for (std::size_t i = 0; i < all.size() && !done() && !stop_ && !found_self_ && !late(); ++i) {
    const Role role = i >= hops.size() ? Role::fallback
                      : to_relayhost   ? Role::relayhost
                                       : Role::destination;
    if (i > 0) sessions_ = 0; // the limit is one of each next hop
    co_await try_nexthop(all[i], role, i + 1 == all.size());
  }
}

// A destination that cannot be found is the mail's fault, unless the administrator named it; mail
// for which we are the best MX may have a transport of its own.
void Delivery::fail_lookup(Trouble trouble, Role role, bool last) {
  const bool bounces = decide(trouble.cause, trouble.step).verdict == mail::Verdict::bounced;
  if (bounces && role != Role::destination) {
    const std::string_view name = role == Role::relayhost                  ? "relayhost"
                                  : engine_.options.flavor == Flavor::lmtp ? "lmtp_fallback_relay"
                                                                           : "smtp_fallback_relay";
    log::warning(std::string(name) + " configuration problem");
    trouble.cause = Cause::misconfigured;
  } else if (trouble.cause == Cause::loop && open_ == settled_.size()) {
    pass_to_ = engine_.options.best_mx_transport;
  }
  security_ = Security(); // what a host before this one did says nothing of it
  fail_all(trouble, {}, !last);
}

ev::Task<void> Delivery::try_nexthop(ev::Lent<const Nexthop> nexthop, Role role, bool last) {
  Targets targets = co_await engine_.finder.find(*nexthop);
  found_self_ = found_self_ || targets.we_are_mx;
  last = last || found_self_;
  if (targets.trouble) {
    fail_lookup(std::move(*targets.trouble), role, last);
    co_return;
  }
  const Options& options = engine_.options;
  const std::size_t limit = options.session_limit;
  Occasion occasion;
  occasion.id = request_.content.id.text();
  occasion.nexthop = request_.nexthop;
  occasion.destination = nexthop->name;
  occasion.arrival = request_.envelope.arrival;
  occasion.detect_loop = detects_loops(*nexthop, options);
  for (std::size_t i = 0; i < targets.endpoints.size() && !done() && !stop_ && !late(); ++i) {
    if (limit > 0 && sessions_ >= limit) break;
    const Endpoint& endpoint = targets.endpoints[i];
    const bool last_session = limit > 0 && sessions_ + 1 >= limit;
    const bool more = (i + 1 < targets.endpoints.size() && !last_session) || !last;
    const Peer peer = endpoint.peer();
    // It has said what it has to say, over an idle session.
    if (std::find(tried_.begin(), tried_.end(), peer) != tried_.end()) continue;
    security_ = Security();
    const bool more_endpoints = i + 1 < targets.endpoints.size() || !last;
    Result<TlsPlanPtr> plan = co_await plan_for(nexthop, endpoint);
    if (!plan) {
      Trouble trouble = trouble_from(plan.error(), smtp::Step::lookup);
      if (trouble.cause != Cause::cancelled) trouble.cause = Cause::tls_policy;
      fail_all(trouble, {}, more_endpoints);
      continue;
    }
    occasion.plan = std::move(*plan);
    const LoginQuestion who{occasion.id, request_.envelope.sender, endpoint.host, &*nexthop};
    Result<LoginPtr> login = co_await find_login(engine_.loop, options, engine_.tables, who);
    if (!login) {
      fail_all(trouble_from(login.error(), smtp::Step::auth), peer, more);
      continue;
    }
    occasion.login = std::move(*login);
    occasion.best_host = endpoint.preference == targets.endpoints.front().preference;
    co_await try_endpoint(endpoint, occasion, more_endpoints, more);
    if (occasion.plan->policy.level == TlsLevel::sts && !done()) engine_.tls.sts_failed(*nexthop);
  }
}

ev::Task<Result<TlsPlanPtr>> Delivery::plan_for(ev::Lent<const Nexthop> nexthop,
                                                ev::Lent<const Endpoint> endpoint) {
  Result<TlsPlanPtr> plan = co_await engine_.tls.plan(nexthop, endpoint->host);
  if (!plan) co_return plan.error();
  const TlsLevel level = (*plan)->policy.level;
  if (is_dane(level)) {
    const DaneFacts facts = co_await find_dane_facts(engine_.loop, engine_.finder.resolver(),
                                                     engine_.options, level, nexthop, endpoint);
    plan = engine_.tls.with_dane(*plan, decide_dane(level, engine_.options.tls, facts));
    if (!plan) co_return plan.error();
  }
  co_return co_await engine_.tls.with_sts(*plan, nexthop, endpoint->host);
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
  if (opened.session) security_ = opened.session->security;
  if (!opened.trouble) {
    session = std::move(opened.session);
    again_ = false;
    co_await use(session, false, more_hosts);
    co_return again_;
  }
  const Peer peer = endpoint->peer();
  if (opened.session) {
    note(*opened.trouble, *opened.session);
    engine_.pool.say_goodbye(std::move(opened.session));
  }
  if (opened.trouble->cause == Cause::tls_failed && !occasion->login && may_fall_back(security_)) {
    log_fall_back(peer, opened.trouble->detail);
    co_return true;
  }
  fail_all(*opened.trouble, peer, more_endpoints);
  co_return false;
}

// As in Postfix: only where TLS was a wish, for mail that has waited already, and never where a
// password would be lost.
bool Delivery::may_fall_back(const Security& security) const {
  const std::chrono::microseconds age(request_.active - request_.envelope.arrival);
  return security.plan && security.plan->policy.level == TlsLevel::may &&
         age >= engine_.options.tls.plaintext_after;
}

ev::Task<bool> Delivery::falls_back(ev::Lent<const Transact> transaction,
                                    ev::Lent<const Session> session) {
  if (!transaction->trouble() || session->security.tls.empty() || !session->login_key.empty() ||
      !may_fall_back(session->security))
    co_return false;
  const Trouble& trouble = *transaction->trouble();
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
  std::string left = session.tls()->take_session();
  if (!left.empty()) engine_.tls.manager().put_session(session.security.session_key, left);
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
  if (!reused) again_ = co_await falls_back(transaction, *session);
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

void Delivery::apply(const Transact& transaction, const std::vector<std::uint32_t>& who,
                     Session& session, bool more_hosts) {
  const smtp::Judge& judge = transaction.judge();
  const Peer& peer = session.peer();
  const auto fail = [&](std::uint32_t recipient, const Trouble& trouble) {
    note(trouble, session);
    const bool final = decide(trouble.cause, trouble.step).next == Next::none || !more_hosts;
    mail::Outcome outcome = to_outcome(trouble, peer);
    if (!final) log_passed_over(trouble, outcome.text);
    settle(recipient, std::move(outcome), final);
  };
  for (std::size_t i = 0; i < who.size(); ++i) {
    switch (judge.decision(i)) {
    case smtp::Decision::delivered: settle(who[i], delivered(judge.reply(i), peer), true); break;
    case smtp::Decision::refused: fail(who[i], trouble_from(judge.reply(i), judge.step(i))); break;
    case smtp::Decision::open:
    case smtp::Decision::accepted:
      POSTRIDER_CHECK(transaction.trouble().has_value());
      fail(who[i], *transaction.trouble());
      break;
    }
  }
  if (transaction.trouble() &&
      decide(transaction.trouble()->cause, transaction.trouble()->step).next == Next::none)
    stop_ = true;
}

void Delivery::settle(std::uint32_t recipient, mail::Outcome outcome, bool final) {
  if (settled_[recipient]) return;
  outcome.tls = security_.tls;
  if (engine_.options.tls.log_feature_status) outcome.tls_status = security_.status;
  outcomes_[recipient] = std::move(outcome);
  if (!final) return;
  settled_[recipient] = true;
  --open_;
}

void Delivery::fail_all(const Trouble& trouble, const Peer& peer, bool more_hosts) {
  const Row row = decide(trouble.cause, trouble.step);
  // Look-up failures do not end it when another next hop is left.
  const bool lookup = trouble.step == smtp::Step::lookup;
  const bool final =
      !more_hosts || (row.next == Next::none && !lookup) || trouble.cause == Cause::cancelled;
  const mail::Outcome outcome = to_outcome(trouble, peer);
  if (!final && !done()) log_passed_over(trouble, outcome.text);
  for (std::uint32_t i = 0; i < settled_.size(); ++i) {
    // A host without SMTPUTF8 says nothing about one that may have it and was not ready before.
    const bool hope = trouble.cause == Cause::needs_smtputf8 && !outcomes_[i].dsn.empty() &&
                      outcomes_[i].verdict == mail::Verdict::deferred;
    settle(i, hope ? outcomes_[i] : outcome, final);
  }
}

// Why the next host is asked: each reason once.
void Delivery::log_passed_over(const Trouble& trouble, const std::string& text) {
  if (std::exchange(logged_, text) == text) return;
  if (trouble.step == smtp::Step::connect)
    log::info(text);
  else
    log::info(request_.content.id.text() + ": " + text);
}

void Delivery::note(const Trouble& trouble, Session& session) {
  const std::string_view of_class = notice_class(trouble);
  // A notice about a notice would go round in circles.
  if (of_class.empty() || request_.envelope.sender.empty() || !session.transcript() ||
      !engine_.options.wants_notice(of_class) || noted_in_ == session_number_)
    return;
  noted_in_ = session_number_;
  if (notice_.of_class.empty()) {
    notice_.of_class = of_class;
    notice_.peer = session.peer().shown_with_port();
  }
  if (!notice_.text.empty()) notice_.text += "\n";
  notice_.text += "Unexpected response from " + session.peer().shown_with_port() +
                  ".\nTranscript of session follows.\n\n" + session.transcript()->text();
}

} // namespace postrider::smtpclient
