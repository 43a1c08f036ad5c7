// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.hpp"
#include "daemon/stdio.hpp"
#include "ev/wait.hpp"
#include "ipc/channel.hpp"
#include "maps/ask.hpp"
#include "net/tcp_stream.hpp"
#include "proxy_header.hpp"

namespace postrider::smtpd {

namespace {

// Sessions with which a process asks for a sibling. It goes on accepting: one loop carries
// thousands, but two cores carry more.
constexpr std::size_t kBusyAt = 500;
constexpr std::size_t kFreeAt = 400;

// Beyond smtpd_session_limit: sessions that were sent away and have not ended yet. And how many are
// looked at for one to send away.
constexpr std::size_t kMostDismissed = 1024;
constexpr std::size_t kMostLooks = 64;

constexpr Duration kRefreshTime = std::chrono::seconds(60);

// Said to clients that are not served; "%s" is our name.
constexpr std::string_view kTryAgain = "421 4.3.0 %s Error: try again later";
constexpr std::string_view kClosing = "421 4.3.2 %s Service is closing";

// By hand the program may run as anybody; only mail_owner and root get to qmgr.
void explain_queue() {
  int why = 0;
  for (const std::string& path : submit::Options().sockets) {
    if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0) return;
    if (errno != ENOENT || why == 0) why = errno;
  }
  log::error(
      "uid " + std::to_string(::geteuid()) +
      " cannot hand mail to qmgr: " + Error::from_errno("private/qmgr", why).text() +
      (why == ENOENT ? "; is the suite running?" : "; run this program as mail_owner, or as root"));
}

submit::Options submit_options(const Config& config) {
  submit::Options options;
  options.program = "smtpd";
  options.file_threshold = config.file_threshold;
  options.sync_limit = config.sync_limit;
  return options;
}

service::SaslManagerSetup sasl_setup(const AuthConfig& auth) {
  service::SaslManagerSetup setup;
  setup.service = auth.manager;
  setup.time_limit = auth.time_limit;
  return setup;
}

} // namespace

// Without a trust anchor: strangers' zones must not make this process check signatures.
Result<dns::Setup> Service::name_servers(const config::Settings& settings) {
  return dns::Setup::load(settings.words("dns_resolvers"), {});
}

Result<std::unique_ptr<daemon::Service>> Service::create(daemon::Context& context,
                                                         const dns::Setup& servers, TlsConfig tls,
                                                         forward::Setup forward) {
  POSTRIDER_TRY(auto config, load_config(context.settings(), std::move(tls)));
  POSTRIDER_TRY(auto resolver, dns::UnboundResolver::create(context.loop(), servers));
  if (context.stdio() != nullptr) explain_queue();
  auto service =
      std::make_unique<Service>(context, std::move(config), servers, std::move(resolver));
  if (forward.enabled()) {
    POSTRIDER_TRY(service->forward_,
                  forward::Servers::create(context.loop(), std::move(forward), context.offload()));
    service->shared_.forward = service->forward_.get();
  }
  service->submitter_.start();
  service->upkeep_.spawn(service->look_after_certificates(), "certificates");
  return std::unique_ptr<daemon::Service>(std::move(service));
}

Service::Service(daemon::Context& context, std::shared_ptr<const Config> config, dns::Setup servers,
                 std::unique_ptr<dns::Resolver> resolver)
    : context_(context), config_(std::move(config)), began_as_root_(config_->tls.read_as_root),
      submitter_(context.loop(), context.offload(), real_file_system(), submit_options(*config_)),
      sasl_(context.loop(), sasl_setup(config_->auth)),
      counts_(context.loop(), {.service = config_->limits.counter}),
      tickets_(context.loop(), context.settings().text("tlsmgr_service_name")),
      shared_(context.loop(), submitter_), servers_(std::move(servers)),
      resolver_(std::move(resolver)), hosts_(context.clock()),
      names_(context.loop(), *resolver_, hosts_), meeting_(context.loop()), group_(context.loop()),
      upkeep_(context.loop()) {
  shared_.sasl = &sasl_;
  shared_.service = context.service_name();
  shared_.tickets = &tickets_;
  shared_.resolver = resolver_.get();
  shared_.clients = this;
}

Service::~Service() { stop(); }

void Service::stop() {
  meeting_.tear_down();
  group_.tear_down();
  upkeep_.tear_down();
  if (forward_) forward_->stop();
}

bool Service::reload(const config::Settings& settings) {
  // What connections to next servers need was read with privileges that are gone.
  if (forward_ || forward::is_wanted(settings)) return false;
  auto tls = load_tls(settings);
  const std::optional<Error> trouble = tls ? tls->trouble : tls.error();
  // Keys that only root may read: a new process begins as root.
  if (trouble && trouble->saved_errno() == EACCES && began_as_root_) return false;
  auto fresh = trouble ? *trouble : load_config(settings, std::move(*tls));
  if (!fresh) {
    log::error(fresh.error().text() + "; the old configuration stays in force");
    return true;
  }
  // A resolver keeps its name servers, and connections to saslmgr and anvil lead where they do.
  const auto servers = name_servers(settings);
  if (!servers || !(*servers == servers_)) return false;
  const AuthConfig& auth = (*fresh)->auth;
  if (auth.manager != config_->auth.manager || auth.time_limit != config_->auth.time_limit)
    return false;
  if ((*fresh)->limits.counter != config_->limits.counter) return false;
  config_ = std::move(*fresh);
  sasl_.refresh();
  return true;
}

void Service::accept(daemon::Client client) {
  net::Address address = net::Address::peer_of(client.fd.get());
  net::Address server = net::Address::local_of(client.fd.get());
  if (address.family() == AF_UNSPEC) { // gone already
    log::info("lost connection after CONNECT from unknown[unknown]");
    return;
  }
  if (const daemon::Ucspi* said = context_.stdio(); said != nullptr && said->remote.is_ip()) {
    address = said->remote;
    server = said->local;
  }
  // Without a master nobody has said that a pipe or a UNIX socket is a process of this host: its
  // other end may be anywhere.
  const bool is_stranger = context_.stdio() != nullptr && !config_->local && !address.is_ip();
  Peer peer = is_stranger       ? make_unknown_peer()
              : address.is_ip() ? make_peer(address, server)
                                : make_local_peer(ipc::peer_credentials(client.fd.get()).uid);
  if (sessions() >= config_->sessions && !make_room()) {
    log::warning("session limit " + std::to_string(config_->sessions) +
                 " reached: " + peer.shown() + " is turned away");
    return refuse(std::move(client), std::move(peer), "421 4.3.2 %s Error: too many sessions");
  }
  if (peer.local != config_->local) {
    log::warning(std::string("cannot serve a client: ") +
                 (peer.local ? "a UNIX socket needs smtpd_local_submission = yes"
                             : "smtpd_local_submission = yes is for UNIX sockets only"));
    return refuse(std::move(client), std::move(peer), kTryAgain);
  }
  const std::string label = "look-up of " + peer.shown();
  meeting_.spawn(meet(std::move(client), std::move(peer), address, config_), label);
  update_busy();
}

ev::RootTask Service::meet(daemon::Client client, Peer peer, net::Address address,
                           std::shared_ptr<const Config> config) {
  if (config->behind_proxy && !peer.local) {
    Result<void> told = co_await ask_proxy(client.fd.get(), peer, address, *config);
    if (!told) { // nothing is said to who is no proxy: it may expect TLS
      if (told.error().kind() != ErrorKind::cancelled)
        log::warning("cannot serve " + peer.shown() + ": " + told.error().text());
      co_return;
    }
  }
  Result<void> known = co_await identify(peer, address, *config);
  if (known) {
    const std::string refusal = co_await enter(peer);
    if (refusal.empty()) {
      admit(std::move(client), std::move(peer));
    } else {
      leave(peer);
      refuse(std::move(client), std::move(peer), refusal);
    }
    co_return;
  }
  const bool closing = known.error().kind() == ErrorKind::cancelled;
  if (!closing) log::warning("cannot serve " + peer.shown() + ": " + known.error().text());
  refuse(std::move(client), std::move(peer), closing ? kClosing : kTryAgain);
}

ev::Task<Result<void>> Service::ask_proxy(int fd, ev::Lent<Peer> peer, net::Address& address,
                                          ev::Lent<const Config> config) {
  const std::function<Result<bool>()> question = [&] {
    return config->lists->is_proxy(peer->address);
  };
  const ev::Deadline deadline = context_.loop().after(config->proxy_limit);
  Result<bool> listed = co_await maps::ask<bool>(context_.loop(), question, deadline);
  if (!listed) co_return listed.error();
  if (!*listed) co_return Error(ErrorKind::refused, "not in smtpd_upstream_proxy_hosts");
  Result<ProxyHeader> header = co_await read_proxy_header(context_.loop(), fd, deadline);
  if (!header) co_return header.error();
  if (header->has_client) {
    address = header->client;
    *peer = make_peer(header->client, header->server);
  }
  co_return Result<void>();
}

ev::Task<Result<void>> Service::identify(ev::Lent<Peer> peer, net::Address address,
                                         ev::Lent<const Config> config) {
  const daemon::Ucspi* said = context_.stdio();
  if (said != nullptr && !config->looks_up_names && !said->remote_host.empty())
    peer->name = peer->reverse_name = said->remote_host;
  if (address.is_ip() && config->looks_up_names) {
    Result<dns::ClientName> name = co_await names_.find(address, config->name_limit);
    if (!name) co_return name.error();
    if (!name->problem.empty()) log::warning(name->problem);
    set_name(*peer, *name);
  }
  const std::function<Result<Peer>()> question = [&] { return judge(*config, *peer); };
  const ev::Deadline deadline = context_.loop().after(config->timeout);
  Result<Peer> judged = co_await maps::ask<Peer>(context_.loop(), question, deadline);
  if (!judged) co_return judged.error();
  *peer = std::move(*judged);
  co_return Result<void>();
}

ev::Task<std::string> Service::enter(ev::Lent<Peer> peer) {
  peer->network.clear(); // of another client, before XCLIENT
  peer->told = false;
  if (peer->local) {
    if (peer->may_submit) co_return "";
    log::warning("uid " + std::to_string(peer->uid) +
                 " may not hand in mail (authorized_submit_users)");
    co_return "554 5.7.1 %s Error: user not authorized to submit mail";
  }
  const ClientLimits limits = config_->limits; // they may change while anvil is asked
  peer->network = limits.network_of(peer->address);
  std::uint64_t connections = ++per_client_[peer->network];
  std::uint64_t rate = 0;
  peer->told = limits.any() && !peer->free_of_limits;
  if (!peer->told) co_return "";
  Result<service::ClientCount> seen =
      co_await counts_.count(shared_.service, peer->network, proto::ClientEvent::connection);
  if (seen) {
    connections = std::max(connections, seen->connections);
    rate = seen->rate;
  }
  const std::string refusal = "421 4.7.0 %s Error: too many connections from " + peer->address;
  if (limits.connections != 0 && connections > limits.connections) {
    log::warning("Connection concurrency limit exceeded: " + std::to_string(connections) +
                 " from " + peer->shown() + " for service " + shared_.service);
    co_return refusal;
  }
  const std::uint64_t most = limits.rate_of(proto::ClientEvent::connection);
  if (most == 0 || rate <= most) co_return "";
  log::warning(rate_warning(proto::ClientEvent::connection, rate, *peer, shared_.service));
  co_return refusal;
}

// "%s" in the reply is our name.
void Service::refuse(daemon::Client client, Peer peer, std::string_view text) {
  const std::string label = "client turned away: " + peer.shown();
  group_.spawn(turn_away(std::move(client), std::move(peer), with_name(text)), label);
}

std::string Service::with_name(std::string_view text) const {
  std::string reply(text);
  return reply.replace(reply.find("%s"), 2, config_->hostname).append("\r\n");
}

void Service::admit(daemon::Client client, Peer peer) {
  const int on = 1;
  if (!peer.local) ::setsockopt(client.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const std::string label = "session of " + peer.shown();
  group_.spawn(serve(std::move(client), std::move(peer), config_), label);
}

ev::RootTask Service::serve(daemon::Client client, Peer peer,
                            std::shared_ptr<const Config> config) {
  {
    const int fd = client.fd.get();
    auto stream = std::make_unique<net::TcpStream>(context_.loop(), std::move(client.fd));
    const bool speaks_first = config->tls.wrapper;
    Session session(shared_, std::move(config), std::move(stream), std::move(peer));
    char byte;
    session.set_early_talk(!speaks_first && ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
    const auto place = open_.insert(open_.end(), Open{fd, &session});
    co_await session.run();
    open_.erase(place);
    if (session.is_dismissed()) --dismissed_;
    leave(session.peer());
  }
  update_busy();
}

bool Service::make_room() {
  if (dismissed_ >= kMostDismissed) return false;
  // Who is passed over goes to the end of the line, so that a look costs the same in any crowd.
  for (std::size_t looks = std::min(kMostLooks, open_.size()); looks > 0; --looks) {
    open_.splice(open_.end(), open_, open_.begin());
    const Open& oldest = open_.back();
    if (!oldest.session->is_idle_stranger()) continue;
    log::info("session limit " + std::to_string(config_->sessions) +
              " reached: " + oldest.session->peer().shown() + ", idle without a login, makes room");
    oldest.session->dismiss();
    ++dismissed_;
    ::shutdown(oldest.fd, SHUT_RD);
    return true;
  }
  return false;
}

void Service::leave(const Peer& peer) {
  if (peer.told) counts_.left(shared_.service, peer.network);
  if (!peer.network.empty() && --per_client_[peer.network] == 0) per_client_.erase(peer.network);
}

ev::Task<std::string> Service::change(ev::Lent<const Peer> before, ev::Lent<Peer> after) {
  leave(*before);
  const std::string refusal = co_await enter(*after);
  co_return refusal.empty() ? refusal : with_name(refusal);
}

ev::Task<std::uint64_t> Service::count(ev::Lent<const Peer> peer, proto::ClientEvent event) {
  Result<service::ClientCount> seen = co_await counts_.count(shared_.service, peer->network, event);
  co_return seen ? seen->rate : 0;
}

ev::Task<std::uint64_t> Service::tls_sessions(ev::Lent<const Peer> peer) {
  Result<service::ClientCount> seen =
      co_await counts_.look(shared_.service, peer->network, proto::ClientEvent::tls_session);
  co_return seen ? seen->rate : 0;
}

ev::RootTask Service::turn_away(daemon::Client client, Peer peer, std::string reply) {
  auto stream = std::make_unique<net::TcpStream>(context_.loop(), std::move(client.fd));
  Session session(shared_, config_, std::move(stream), std::move(peer));
  co_await session.refuse(reply);
}

// Sessions between two messages end at once with 421, those in content are cut (nothing of them was
// accepted), those that wait for a commit hear its outcome first.
void Service::drain(daemon::Drain reason) {
  shared_.draining = true;
  meeting_.cancel();
  for (const Open& open : open_)
    if (reason != daemon::Drain::retire && !open.session->is_committing())
      ::shutdown(open.fd, SHUT_RD);
}

// Files that change are read again, so that a renewed certificate needs no reload.
ev::RootTask Service::look_after_certificates() {
  struct Looked {
    std::optional<Certificates> certificates;
    std::vector<std::string> problems;
  };
  while (true) {
    Result<void> slept = co_await ev::sleep_for(context_.loop(), kRefreshTime);
    if (!slept) co_return;
    const std::shared_ptr<Certificates> kept = config_->tls.certificates;
    if (!kept) continue;
    std::function<Looked()> job = [copy = *kept]() mutable {
      Looked looked;
      looked.problems = copy.refresh();
      looked.certificates = std::move(copy);
      return looked;
    };
    const ev::Deadline deadline = context_.loop().after(kRefreshTime);
    Result<Looked> looked =
        co_await context_.offload().run<Looked>(job, deadline, "reading certificates");
    if (!looked) continue; // the next time, then
    for (const std::string& problem : looked->problems)
      log::error(problem + "; the certificates read before stay in use");
    *kept = std::move(*looked->certificates);
  }
}

void Service::update_busy() {
  const std::size_t now = sessions();
  if (!busy_ && now >= kBusyAt) context_.set_busy(busy_ = true);
  if (busy_ && now <= kFreeAt) context_.set_busy(busy_ = false);
}

} // namespace postrider::smtpd
