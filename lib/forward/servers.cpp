// SPDX-License-Identifier: MIT
#include "forward/servers.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace postrider::forward {
namespace {

using smtp::Step;
using smtpclient::Cause;
using smtpclient::Client;
using smtpclient::Endpoint;
using smtpclient::LoginPtr;
using smtpclient::Occasion;
using smtpclient::Peer;
using smtpclient::Pool;
using smtpclient::Session;
using smtpclient::TlsPlanPtr;
using smtpclient::Trouble;

constexpr std::size_t kMostGates = 4096; // tables may name many servers

// The server is away, or not fit for use; not: the mail, our tables or the client's login.
bool is_dead(const Trouble& trouble) {
  switch (trouble.cause) {
  case Cause::cancelled:
  case Cause::local_resources:
  case Cause::local_data:
  case Cause::auth_refused:
  case Cause::auth_impossible: return false;
  case Cause::timeout:
  case Cause::closed:
  case Cause::refused:
  case Cause::unreachable:
  case Cause::protocol:
  case Cause::too_much:
  case Cause::reply_421:
  case Cause::reply_temporary:
  case Cause::reply_permanent:
  case Cause::reply_odd:
  case Cause::dns_temporary:
  case Cause::no_domain:
  case Cause::null_mx:
  case Cause::no_address:
  case Cause::no_address_yet:
  case Cause::dns_filtered:
  case Cause::loop:
  case Cause::loop_elsewhere:
  case Cause::bad_nexthop:
  case Cause::misconfigured:
  case Cause::cannot_bind:
  case Cause::tls_required:
  case Cause::tls_failed:
  case Cause::tls_untrusted:
  case Cause::tls_policy:
  case Cause::tls_downgraded:
  case Cause::too_large:
  case Cause::needs_smtputf8:
  case Cause::content_unreadable:
  case Cause::content_changed:
  case Cause::mime_nesting:
  case Cause::forwarding_loop: return trouble.step != Step::auth;
  }
  POSTRIDER_UNREACHABLE();
}

Reached failed(Trouble trouble, Peer peer) {
  Reached reached;
  reached.trouble = std::move(trouble);
  reached.peer = std::move(peer);
  return reached;
}

void log_passed_over(const Target& target, const Asking& asking, const Reached& reached) {
  log::info(asking.id + ": " + target.text + ": " +
            smtpclient::to_outcome(reached.trouble, reached.peer).text);
}

// The server knows by the certificate who we are. Cyrus SASL wants to be told a name as well, which
// is not sent.
LoginPtr certificate_login(const smtpclient::Options& options) {
  auto login = std::make_shared<smtpclient::Login>();
  login->user = options.hello_name;
  login->mechanisms = {"EXTERNAL"};
  login->key = "EXTERNAL";
  return login;
}

} // namespace

Result<std::unique_ptr<Servers>> Servers::create(ev::Loop& loop, Setup setup,
                                                 ev::Offload& offload) {
  dns::Setup names;
  for (const auto& client : setup.clients)
    if (client) names = client->dns;
  POSTRIDER_TRY(std::unique_ptr<dns::Resolver> resolver, dns::UnboundResolver::create(loop, names));
  auto servers = std::make_unique<Servers>(loop, std::move(setup), *resolver, &offload);
  servers->own_resolver_ = std::move(resolver);
  return servers;
}

Servers::Servers(ev::Loop& loop, Setup setup, dns::Resolver& resolver, ev::Offload* offload)
    : loop_(loop), setup_(std::move(setup)) {
  for (std::size_t i = 0; i < kKinds; ++i)
    if (setup_.clients[i])
      clients_[i] = std::make_unique<Client>(loop, *setup_.clients[i], resolver, offload,
                                             Client::IdleSessions::own);
}

Servers::~Servers() { stop(); }

void Servers::stop() {
  for (auto& client : clients_)
    if (client) client->stop();
}

std::vector<const Target*> Servers::in_order(const Targets& targets) {
  const SteadyTime now = loop_.now();
  std::erase_if(dead_, [now](const auto& entry) { return entry.second <= now; });
  std::vector<const Target*> order;
  for (const Target& target : targets)
    order.push_back(&target);
  std::stable_partition(order.begin(), order.end(), [this](const Target* target) {
    return dead_.find(target->text) == dead_.end();
  });
  return order;
}

void Servers::remember_dead(const Target& target, const Trouble& trouble) {
  if (setup_.rules.dead_time <= Duration::zero() || !is_dead(trouble)) return;
  dead_[target.text] = loop_.now() + setup_.rules.dead_time;
}

ev::Task<Reached> Servers::reach(const Targets& targets, ev::Lent<const Asking> asking) {
  const std::vector<const Target*> order = in_order(targets);
  Reached reached;
  for (const Target* target : order) {
    reached = co_await reach_one(*target, asking);
    if (reached.connection) {
      dead_.erase(target->text);
      co_return reached;
    }
    log_passed_over(*target, *asking, reached);
    remember_dead(*target, reached.trouble);
    if (reached.trouble.cause == Cause::cancelled) break;
  }
  co_return reached;
}

ev::Task<Reached> Servers::reach_one(ev::Lent<const Target> target, ev::Lent<const Asking> asking) {
  Client& client = *clients_[index_of(target->kind)];
  smtpclient::Targets found = co_await client.engine().finder.find(target->hop);
  if (found.trouble) co_return failed(std::move(*found.trouble), Peer());
  Reached reached;
  for (std::size_t i = 0; i < found.endpoints.size(); ++i) {
    reached = co_await reach_endpoint(target, found.endpoints[i], asking);
    if (reached.connection || reached.trouble.cause == Cause::cancelled) co_return reached;
    if (i + 1 < found.endpoints.size()) log_passed_over(*target, *asking, reached);
  }
  co_return reached;
}

ev::Task<Reached> Servers::reach_endpoint(ev::Lent<const Target> target,
                                          ev::Lent<const Endpoint> endpoint,
                                          ev::Lent<const Asking> asking) {
  Client& client = *clients_[index_of(target->kind)];
  const smtpclient::Engine& engine = client.engine();
  const Peer peer = endpoint->peer();
  Occasion occasion;
  occasion.id = asking->id;
  occasion.nexthop = target->text;
  occasion.destination = target->hop.name;
  occasion.arrival = asking->arrival;
  Result<TlsPlanPtr> plan = co_await engine.tls.plan(target->hop, endpoint->host);
  if (plan && smtpclient::is_dane((*plan)->policy.level)) {
    const smtpclient::TlsLevel level = (*plan)->policy.level;
    const smtpclient::DaneFacts facts = co_await smtpclient::find_dane_facts(
        loop_, engine.finder.resolver(), engine.options, level, target->hop, endpoint);
    plan = engine.tls.with_dane(*plan, decide_dane(level, engine.options.tls, facts));
  }
  if (!plan) {
    Trouble trouble = smtpclient::trouble_from(plan.error(), Step::lookup);
    if (trouble.cause != Cause::cancelled) trouble.cause = Cause::tls_policy;
    co_return failed(std::move(trouble), peer);
  }
  occasion.plan = std::move(*plan);
  Result<LoginPtr> login = co_await login_for(target, endpoint->host, asking);
  if (!login) co_return failed(smtpclient::trouble_from(login.error(), Step::auth), peer);
  occasion.login = std::move(*login);

  const ev::Deadline patience = loop_.after(engine.options.timeout(Step::connect));
  Result<Slot> slot = co_await wait_for_slot(peer, patience);
  if (!slot) {
    Trouble trouble = smtpclient::trouble_from(slot.error(), Step::connect);
    if (trouble.cause == Cause::timeout) {
      trouble.cause = Cause::local_resources;
      trouble.detail = "all " + std::to_string(rules().connections) + " connections are in use";
    }
    co_return failed(std::move(trouble), peer);
  }
  const std::string security = smtpclient::security_key(
      occasion.plan->policy.digest, occasion.login ? occasion.login->key : std::string());
  Reached reached;
  std::unique_ptr<Session> idle = co_await idle_session(client, peer, security);
  if (idle) {
    reached.connection = std::make_unique<Connection>();
    reached.connection->session = std::move(idle);
    reached.connection->reused = true;
  } else {
    // F1: idle connections under another login or policy make room.
    const auto& gate = gates_[peer.shown_with_port()];
    while (gate->used + client.pool().idle_at(peer) > rules().connections &&
           client.pool().idle_at(peer) > 0)
      client.pool().drop_at(peer);
    reached = co_await connect(client, endpoint, occasion);
    if (!reached.connection) co_return reached;
  }
  reached.connection->client = &client;
  reached.connection->kind = target->kind;
  reached.connection->slot = std::move(*slot);
  co_return reached;
}

ev::Task<Reached> Servers::connect(Client& client, ev::Lent<const Endpoint> endpoint,
                                   ev::Lent<const Occasion> occasion) {
  const smtpclient::Engine& engine = client.engine();
  smtpclient::Opened opened = co_await smtpclient::open_session(
      loop_, engine.options, engine.tables, engine.tls, engine.authenticator, endpoint, occasion);
  const smtpclient::TlsPolicy& policy = occasion->plan->policy;
  const bool may_be_clear = policy.level == smtpclient::TlsLevel::may && !policy.wrapper &&
                            !occasion->login && opened.trouble &&
                            opened.trouble->cause == Cause::tls_failed;
  if (may_be_clear) {
    // The client waits: it is now or never.
    if (opened.session) client.pool().say_goodbye(std::move(opened.session));
    log::info(occasion->id + ": " + endpoint->peer().shown_with_port() + ": " +
              opened.trouble->detail + "; falling back to clear text");
    Occasion again = *occasion;
    again.plan = engine.tls.plaintext();
    opened = co_await smtpclient::open_session(loop_, engine.options, engine.tables, engine.tls,
                                               engine.authenticator, endpoint, again);
  }
  if (opened.trouble) {
    if (opened.session) client.pool().say_goodbye(std::move(opened.session));
    co_return failed(std::move(*opened.trouble), endpoint->peer());
  }
  Reached reached;
  reached.connection = std::make_unique<Connection>();
  reached.connection->session = std::move(opened.session);
  co_return reached;
}

ev::Task<Result<LoginPtr>> Servers::login_for(ev::Lent<const Target> target,
                                              const std::string& host,
                                              ev::Lent<const Asking> asking) {
  const smtpclient::Engine& engine = clients_[index_of(target->kind)]->engine();
  switch (rules().auth) {
  case Auth::off: co_return LoginPtr();
  case Auth::external: co_return certificate_login(engine.options);
  case Auth::forward: co_return asking->login;
  case Auth::maps: break;
  }
  const smtpclient::LoginQuestion who{asking->id, asking->sender, host, &target->hop};
  co_return co_await smtpclient::find_login(loop_, engine.options, engine.tables, who);
}

ev::Task<Result<Slot>> Servers::wait_for_slot(ev::Lent<const Peer> peer, ev::Deadline deadline) {
  if (gates_.size() > kMostGates)
    std::erase_if(gates_, [](const auto& entry) { return entry.second.use_count() == 1; });
  std::shared_ptr<Slot::Gate>& known = gates_[peer->shown_with_port()];
  if (!known) known = std::make_shared<Slot::Gate>(loop_);
  const std::shared_ptr<Slot::Gate> gate = known;
  bool queued = false;
  while (gate->used >= rules().connections || (!queued && gate->changed.has_waiters())) {
    Result<void> waited = co_await gate->changed.wait(deadline, "a connection to the next server");
    if (!waited) co_return waited.error();
    queued = true;
  }
  co_return Slot(gate);
}

// One that answers: a transaction that was begun and left is undone.
ev::Task<std::unique_ptr<Session>> Servers::idle_session(Client& client, ev::Lent<const Peer> peer,
                                                         const std::string& security) {
  while (true) {
    std::unique_ptr<Session> session = client.pool().take_at(*peer, security);
    if (!session || !session->needs_reset) co_return session;
    Result<smtp::Reply> reply = co_await session->command("RSET", Step::rset);
    session->needs_reset = false;
    if (reply && reply->ok()) co_return session;
    session->mark_broken();
  }
}

void Servers::give_back(std::unique_ptr<Connection> connection, bool unfinished) {
  if (unfinished) return; // closed, and what was sent is no message
  std::unique_ptr<Session>& session = connection->session;
  Client& client = *connection->client;
  if (session->tls() != nullptr) {
    for (const std::string& left : session->tls()->take_sessions())
      client.engine().tls.manager().put_session(session->security.session_key, left);
  }
  const std::string name = session->peer().host;
  client.pool().give_back(std::move(session), name, Pool::Keep::always);
}

} // namespace postrider::forward
