// SPDX-License-Identifier: MIT
#include "smtpclient/deliver.hpp"

#include <algorithm>

namespace postrider::smtpclient {

Delivery::Delivery(const Engine& engine, const Request& request)
    : engine_(engine), request_(request), outcomes_(request.envelope.recipients.size()),
      settled_(outcomes_.size(), false), open_(outcomes_.size()) {}

ev::Task<void> Delivery::run() {
  timing_.started = timing_.connected = engine_.loop.now();
  co_await try_idle_sessions();
  if (!done() && !stop_) {
    auto hops = parse_nexthops(request_.nexthop, engine_.options);
    if (!hops) {
      fail_all(Trouble{Cause::bad_nexthop, smtp::Step::lookup, {}, hops.error().text()}, {}, false);
    } else {
      // Fallback relays are for destinations that cannot be found or reached, and not for those
      // whose better MX would only be ourselves again.
      std::vector<Nexthop> relays;
      for (const std::string& relay : engine_.options.fallback_relays) {
        auto parsed = parse_nexthops(relay, engine_.options);
        if (parsed) relays.insert(relays.end(), parsed->begin(), parsed->end());
      }
      for (std::size_t i = 0; i < hops->size() && !done() && !stop_; ++i)
        co_await try_nexthop((*hops)[i], i + 1 == hops->size() && relays.empty());
      for (std::size_t i = 0; i < relays.size() && !done() && !stop_ && !found_self_; ++i)
        co_await try_nexthop(relays[i], i + 1 == relays.size());
    }
  }
  timing_.finished = engine_.loop.now();
  const std::int64_t now = to_unix_micros(engine_.loop.clock().wall());
  for (mail::Outcome& outcome : outcomes_)
    outcome.at = now;
}

// A connection that turns out to be dead was no attempt: the next one, or a new one, is.
ev::Task<void> Delivery::try_idle_sessions() {
  while (!done()) {
    std::unique_ptr<Session> session = engine_.pool.take_for(request_.nexthop);
    if (!session) co_return;
    const bool counted = co_await use(session, true, true);
    if (session) engine_.pool.give_back(std::move(session), request_.nexthop, request_.cache_hint);
    if (counted) co_return;
  }
}

ev::Task<void> Delivery::try_nexthop(ev::Lent<const Nexthop> nexthop, bool last) {
  Targets targets = co_await engine_.finder.find(*nexthop);
  found_self_ = found_self_ || targets.we_are_mx;
  if (targets.trouble) {
    fail_all(*targets.trouble, {}, !last);
    co_return;
  }
  const std::size_t limit = engine_.options.session_limit;
  const bool detect_loop =
      engine_.options.flavor == Flavor::smtp && nexthop->port == engine_.options.default_port;
  for (std::size_t i = 0; i < targets.endpoints.size() && !done() && !stop_; ++i) {
    if (limit > 0 && sessions_ >= limit) break;
    const Endpoint& endpoint = targets.endpoints[i];
    const bool last_session = limit > 0 && sessions_ + 1 >= limit;
    const bool more = (i + 1 < targets.endpoints.size() && !last_session) || !last;
    const Peer peer = endpoint.peer();
    // It has said what it has to say, over an idle session.
    if (std::find(tried_.begin(), tried_.end(), peer) != tried_.end()) continue;
    std::unique_ptr<Session> session = engine_.pool.take_at(peer);
    bool counted = false;
    if (session) counted = co_await use(session, true, more);
    if (!counted && !done()) {
      Opened opened = co_await open_session(engine_.loop, engine_.options, endpoint, detect_loop);
      if (opened.trouble) {
        fail_all(*opened.trouble, peer, i + 1 < targets.endpoints.size() || !last);
        continue;
      }
      session = std::move(opened.session);
      counted = co_await use(session, false, more);
    }
    if (session) engine_.pool.give_back(std::move(session), request_.nexthop, request_.cache_hint);
  }
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
  timing_.connected = engine_.loop.now();
  peer_has_dsn_ = session->features().dsn;

  std::vector<std::uint32_t> who;
  std::vector<mail::Recipient> recipients;
  for (std::uint32_t i = 0; i < settled_.size(); ++i) {
    if (settled_[i]) continue;
    who.push_back(i);
    recipients.push_back(request_.envelope.recipients[i]);
  }
  const smtp::Transaction what{&request_.envelope, &recipients, &request_.facts,
                               engine_.options.quote_addresses};
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
  Transact transaction(*session, what, request_.content, request_.mark);
  co_await transaction.run();
  // Gone, or "421 idle too long": the connection was over before this message, so nothing happened.
  const smtp::Judge& judge = transaction.judge();
  const bool gone =
      transaction.failed_before_mail() && transaction.trouble()->cause != Cause::cancelled;
  const bool dismissed = judge.decision(0) == smtp::Decision::refused &&
                         judge.step(0) == smtp::Step::mail && judge.reply(0).code == 421;
  if (reused && (gone || dismissed)) co_return false;
  ++sessions_;
  tried_.push_back(session->peer());
  uses_ = session->uses();
  apply(transaction, who, session->peer(), more_hosts);
  co_return true;
}

void Delivery::apply(const Transact& transaction, const std::vector<std::uint32_t>& who,
                     const Peer& peer, bool more_hosts) {
  const smtp::Judge& judge = transaction.judge();
  for (std::size_t i = 0; i < who.size(); ++i) {
    switch (judge.decision(i)) {
    case smtp::Decision::delivered: settle(who[i], delivered(judge.reply(i), peer), true); break;
    case smtp::Decision::refused: {
      const Trouble trouble = trouble_from(judge.reply(i), judge.step(i));
      const Row row = decide(trouble.cause, trouble.step);
      settle(who[i], to_outcome(trouble, peer), row.next == Next::none || !more_hosts);
      break;
    }
    case smtp::Decision::open:
    case smtp::Decision::accepted: {
      POSTRIDER_CHECK(transaction.trouble().has_value());
      const Trouble& trouble = *transaction.trouble();
      const Row row = decide(trouble.cause, trouble.step);
      settle(who[i], to_outcome(trouble, peer), row.next == Next::none || !more_hosts);
      break;
    }
    }
  }
  if (transaction.trouble() &&
      decide(transaction.trouble()->cause, transaction.trouble()->step).next == Next::none)
    stop_ = true;
}

void Delivery::settle(std::uint32_t recipient, mail::Outcome outcome, bool final) {
  if (settled_[recipient]) return;
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
  for (std::uint32_t i = 0; i < settled_.size(); ++i)
    settle(i, outcome, final);
}

} // namespace postrider::smtpclient
