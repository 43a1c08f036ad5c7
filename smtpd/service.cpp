// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>

#include "base/log.hpp"
#include "ipc/channel.hpp"
#include "maps/ask.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::smtpd {

namespace {

// Sessions with which a process asks for a sibling. It goes on accepting: one loop carries
// thousands, but two cores carry more.
constexpr std::size_t kBusyAt = 500;
constexpr std::size_t kFreeAt = 400;

submit::Options submit_options(const Config& config) {
  submit::Options options;
  options.program = "smtpd";
  options.file_threshold = config.file_threshold;
  options.sync_limit = config.sync_limit;
  return options;
}

} // namespace

Result<std::unique_ptr<daemon::Service>> Service::create(daemon::Context& context) {
  POSTRIDER_TRY(auto config, load_config(context.settings()));
  auto service = std::make_unique<Service>(context, std::move(config));
  service->submitter_.start();
  return std::unique_ptr<daemon::Service>(std::move(service));
}

Service::Service(daemon::Context& context, std::shared_ptr<const Config> config)
    : context_(context), config_(std::move(config)),
      submitter_(context.loop(), context.offload(), real_file_system(), submit_options(*config_)),
      shared_(context.loop(), submitter_), group_(context.loop()) {}

Service::~Service() { group_.tear_down(); }

void Service::stop() { group_.tear_down(); }

bool Service::reload(const config::Settings& settings) {
  auto fresh = load_config(settings);
  if (!fresh) {
    log::error(fresh.error().text() + "; the old configuration stays in force");
    return true;
  }
  config_ = std::move(*fresh);
  return true;
}

Result<Peer> Service::identify(const Config& config, int fd) {
  const net::Address address = net::Address::peer_of(fd);
  if (!address.is_ip()) {
    if (!config.local)
      return Error(ErrorKind::config, "a UNIX socket needs smtpd_local_submission = yes");
    Peer peer = make_local_peer(ipc::peer_credentials(fd).uid);
    if (config.any_user_may_submit) return peer;
    const passwd* user = ::getpwuid(peer.uid);
    const Result<bool> may =
        user == nullptr ? Result<bool>(false) : config.lists->may_submit(user->pw_name);
    peer.may_submit = may && *may;
    return peer;
  }
  if (config.local)
    return Error(ErrorKind::config, "smtpd_local_submission = yes is for UNIX sockets only");
  Peer peer = make_peer(address);
  POSTRIDER_TRY(peer.trusted, config.lists->is_trusted(peer.address));
  POSTRIDER_TRY(peer.free_of_limits, config.lists->is_free_of_limits(peer.address));
  POSTRIDER_TRY(peer.bare_newlines_pass, config.lists->may_send_bare_newlines(peer.address));
  return peer;
}

std::string Service::refusal_of(const Peer& peer) {
  if (group_.size() >= config_->sessions) {
    log::warning("session limit " + std::to_string(config_->sessions) +
                 " reached: " + peer.shown() + " is turned away");
    return "421 4.3.2 " + config_->hostname + " Error: too many sessions\r\n";
  }
  if (peer.local) {
    if (peer.may_submit) return {};
    log::warning("uid " + std::to_string(peer.uid) +
                 " may not hand in mail (authorized_submit_users)");
    return "554 5.7.1 " + config_->hostname + " Error: user not authorized to submit mail\r\n";
  }
  const auto found = per_client_.find(peer.address);
  if (config_->sessions_per_client != 0 && !peer.free_of_limits && found != per_client_.end() &&
      found->second >= config_->sessions_per_client) {
    log::warning("Connection concurrency limit exceeded: " + std::to_string(found->second + 1) +
                 " from " + peer.shown() + " for service " + context_.service_name());
    return "421 4.7.0 " + config_->hostname + " Error: too many connections from " + peer.address +
           "\r\n";
  }
  return {};
}

void Service::accept(daemon::Client client) {
  if (config_->lists->may_wait()) {
    group_.spawn(identify_slowly(std::move(client), config_), "a client that is being looked up");
    return;
  }
  Result<Peer> peer = identify(*config_, client.fd.get());
  admit(std::move(client), std::move(peer));
}

ev::RootTask Service::identify_slowly(daemon::Client client, std::shared_ptr<const Config> config) {
  const int fd = client.fd.get();
  const std::function<Result<Peer>()> question = [&] { return identify(*config, fd); };
  const ev::Deadline deadline = context_.loop().after(config->timeout);
  Result<Peer> peer = co_await maps::ask<Peer>(context_.loop(), question, deadline);
  if (!peer && peer.error().kind() == ErrorKind::cancelled) co_return;
  admit(std::move(client), std::move(peer));
}

void Service::admit(daemon::Client client, Result<Peer> peer) {
  const int fd = client.fd.get();
  if (!peer) {
    log::warning("cannot serve a client: " + peer.error().text());
    Peer stranger;
    group_.spawn(turn_away(std::move(client), stranger,
                           "421 4.3.0 " + config_->hostname + " Error: try again later\r\n"),
                 "client turned away");
    return;
  }
  const std::string refusal = refusal_of(*peer);
  const std::string label = "session of " + peer->shown();
  if (!refusal.empty()) {
    group_.spawn(turn_away(std::move(client), std::move(*peer), refusal), label);
    return;
  }
  const int on = 1;
  if (!peer->local) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  group_.spawn(serve(std::move(client), std::move(*peer), config_), label);
  update_busy();
}

ev::RootTask Service::serve(daemon::Client client, Peer peer,
                            std::shared_ptr<const Config> config) {
  const std::string address = peer.address;
  if (!address.empty()) ++per_client_[address];
  {
    net::TcpStream stream(context_.loop(), std::move(client.fd));
    Session session(shared_, std::move(config), stream, std::move(peer));
    char byte;
    session.set_early_talk(::recv(stream.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
    const auto place = open_.insert(open_.end(), Open{stream.fd(), &session});
    co_await session.run();
    open_.erase(place);
  }
  if (!address.empty() && --per_client_[address] == 0) per_client_.erase(address);
  update_busy();
}

ev::RootTask Service::turn_away(daemon::Client client, Peer peer, std::string reply) {
  net::TcpStream stream(context_.loop(), std::move(client.fd));
  Session session(shared_, config_, stream, std::move(peer));
  co_await session.refuse(reply);
}

// Sessions between two messages end at once with 421, those in content are cut (nothing of them was
// accepted), those that wait for a commit hear its outcome first.
void Service::drain(daemon::Drain reason) {
  shared_.draining = true;
  for (const Open& open : open_)
    if (reason != daemon::Drain::retire && !open.session->is_committing())
      ::shutdown(open.fd, SHUT_RD);
}

void Service::update_busy() {
  const std::size_t now = group_.size();
  if (!busy_ && now >= kBusyAt) context_.set_busy(busy_ = true);
  if (busy_ && now <= kFreeAt) context_.set_busy(busy_ = false);
}

} // namespace postrider::smtpd
