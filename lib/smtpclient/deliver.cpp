// SPDX-License-Identifier: MIT
// Delivery and the order of things: which next hops, which hosts, until when.
#include "smtpclient/deliver.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "maps/ask.hpp"
#include "smtpclient/delivered_to.hpp"

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

// A connection that turns out to be dead was no attempt: the next one, or a new one, is.
ev::Task<void> Delivery::try_idle_sessions(ev::Lent<const Nexthop> nexthop) {
  Result<TlsPlanPtr> plan = co_await engine_.tls.plan(nexthop, "");
  if (plan) plan = co_await engine_.tls.with_sts(*plan, nexthop, "", nullptr);
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
    std::optional<TlsSubject> subject = tls_subject(options, *nexthop, is_tls_report());
    TlsSubject* const noted = subject ? &*subject : nullptr;
    Result<TlsPlanPtr> plan = co_await plan_for(nexthop, endpoint, noted);
    if (!plan) {
      auto event = subject ? event_of(*subject, std::nullopt, peer, "") : std::nullopt;
      if (event) engine_.tls.tell(std::move(*event));
      Trouble trouble = trouble_from(plan.error(), smtp::Step::lookup);
      if (trouble.cause != Cause::cancelled) trouble.cause = Cause::tls_policy;
      fail_all(trouble, {}, more_endpoints);
      continue;
    }
    occasion.plan = std::move(*plan);
    occasion.subject.reset();
    if (subject) occasion.subject = std::make_shared<const TlsSubject>(std::move(*subject));
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

} // namespace postrider::smtpclient
