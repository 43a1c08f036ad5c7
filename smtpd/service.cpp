// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/log.hpp"
#include "ev/wait.hpp"
#include "ipc/channel.hpp"
#include "maps/ask.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::smtpd {

namespace {

// Sessions with which a process asks for a sibling. It goes on accepting: one loop carries
// thousands, but two cores carry more.
constexpr std::size_t kBusyAt = 500;
constexpr std::size_t kFreeAt = 400;

constexpr Duration kRefreshTime = std::chrono::seconds(60);

// Said to clients that are not served; "%s" is our name.
constexpr std::string_view kTryAgain = "421 4.3.0 %s Error: try again later";
constexpr std::string_view kClosing = "421 4.3.2 %s Service is closing";

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
      tickets_(context.loop(), context.settings().text("tlsmgr_service_name")),
      shared_(context.loop(), submitter_), servers_(std::move(servers)),
      resolver_(std::move(resolver)), hosts_(context.clock()),
      names_(context.loop(), *resolver_, hosts_), meeting_(context.loop()), group_(context.loop()),
      upkeep_(context.loop()) {
  shared_.sasl = &sasl_;
  shared_.service = context.service_name();
  shared_.tickets = &tickets_;
  shared_.resolver = resolver_.get();
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
  // A resolver keeps its name servers, and a connection to saslmgr leads where it does.
  const auto servers = name_servers(settings);
  if (!servers || !(*servers == servers_)) return false;
  const AuthConfig& auth = (*fresh)->auth;
  if (auth.manager != config_->auth.manager || auth.time_limit != config_->auth.time_limit)
    return false;
  config_ = std::move(*fresh);
  sasl_.refresh();
  return true;
}

void Service::accept(daemon::Client client) {
  const net::Address address = net::Address::peer_of(client.fd.get());
  if (address.family() == AF_UNSPEC) { // gone already
    log::info("lost connection after CONNECT from unknown[unknown]");
    return;
  }
  Peer peer = address.is_ip() ? make_peer(address)
                              : make_local_peer(ipc::peer_credentials(client.fd.get()).uid);
  if (address.is_ip()) {
    const net::Address ours = net::Address::local_of(client.fd.get());
    peer.server_address = ours.text();
    peer.server_port = std::to_string(ours.port());
  }
  if (sessions() >= config_->sessions) {
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
  Result<void> known = co_await identify(peer, address, *config);
  if (known) {
    admit(std::move(client), std::move(peer));
    co_return;
  }
  const bool closing = known.error().kind() == ErrorKind::cancelled;
  if (!closing) log::warning("cannot serve " + peer.shown() + ": " + known.error().text());
  refuse(std::move(client), std::move(peer), closing ? kClosing : kTryAgain);
}

ev::Task<Result<void>> Service::identify(ev::Lent<Peer> peer, net::Address address,
                                         ev::Lent<const Config> config) {
  if (!peer->local && config->looks_up_names) {
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

Result<Peer> Service::judge(const Config& config, Peer peer) {
  if (peer.local) {
    if (config.any_user_may_submit) return peer;
    const passwd* user = ::getpwuid(peer.uid);
    const Result<bool> may =
        user == nullptr ? Result<bool>(false) : config.lists->may_submit(user->pw_name);
    peer.may_submit = may && *may;
    return peer;
  }
  POSTRIDER_TRY(peer.trusted, config.lists->is_trusted(peer));
  POSTRIDER_TRY(peer.free_of_limits, config.lists->is_free_of_limits(peer));
  POSTRIDER_TRY(peer.bare_newlines_pass, config.lists->may_send_bare_newlines(peer));
  return peer;
}

// Why it is not served, as a reply; empty: it is.
std::string Service::refusal_of(const Peer& peer) {
  if (peer.local) {
    if (peer.may_submit) return {};
    log::warning("uid " + std::to_string(peer.uid) +
                 " may not hand in mail (authorized_submit_users)");
    return "554 5.7.1 %s Error: user not authorized to submit mail";
  }
  const auto found = per_client_.find(peer.address);
  if (config_->sessions_per_client != 0 && !peer.free_of_limits && found != per_client_.end() &&
      found->second >= config_->sessions_per_client) {
    log::warning("Connection concurrency limit exceeded: " + std::to_string(found->second + 1) +
                 " from " + peer.shown() + " for service " + context_.service_name());
    return "421 4.7.0 %s Error: too many connections from " + peer.address;
  }
  return {};
}

// "%s" in the reply is our name.
void Service::refuse(daemon::Client client, Peer peer, std::string_view text) {
  std::string reply(text);
  reply.replace(reply.find("%s"), 2, config_->hostname).append("\r\n");
  const std::string label = "client turned away: " + peer.shown();
  group_.spawn(turn_away(std::move(client), std::move(peer), std::move(reply)), label);
}

void Service::admit(daemon::Client client, Peer peer) {
  const std::string refusal = refusal_of(peer);
  if (!refusal.empty()) {
    refuse(std::move(client), std::move(peer), refusal);
    return;
  }
  if (!peer.address.empty()) ++per_client_[peer.address];
  const int on = 1;
  if (!peer.local) ::setsockopt(client.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const std::string label = "session of " + peer.shown();
  group_.spawn(serve(std::move(client), std::move(peer), config_), label);
}

ev::RootTask Service::serve(daemon::Client client, Peer peer,
                            std::shared_ptr<const Config> config) {
  const std::string address = peer.address;
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
  }
  if (!address.empty() && --per_client_[address] == 0) per_client_.erase(address);
  update_busy();
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
