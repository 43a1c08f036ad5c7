// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <ctime>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.hpp"

namespace postrider::scache {
namespace {

bool is_stream_socket(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

bool is_connected(int fd) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0;
}

void log_lookups(std::string_view what, const Lookups& lookups) {
  const std::uint64_t all = lookups.hits + lookups.misses;
  if (all == 0) return;
  log::info("statistics: " + std::string(what) + " lookup hits=" + std::to_string(lookups.hits) +
            " miss=" + std::to_string(lookups.misses) +
            " success=" + std::to_string(lookups.hits * 100 / all) + "%");
}

service::ServerSetup setup() {
  service::ServerSetup setup;
  setup.protocol = proto::kCacheProtocol;
  setup.version = proto::kCacheVersion;
  setup.limits.frame = 2 * proto::kMostCacheKey + proto::kMostCacheFacts + 1024;
  setup.limits.unsent = 1024 * 1024;
  return setup;
}

} // namespace

void Options::load(const config::Settings& settings) {
  limits.ttl = settings.time("connection_cache_ttl_limit");
  status_time = settings.time("connection_cache_status_update_time");
  max_idle = settings.time("max_idle");
}

Service::Service(ev::Loop& loop, const Options& options, std::function<void()> retire)
    : loop_(loop), options_(options), retire_(std::move(retire)), server_(loop, *this, setup()),
      store_(options.limits),
      expiry_(
          loop, [](void* self) { static_cast<Service*>(self)->expire(); }, this),
      status_(
          loop, [](void* self) { static_cast<Service*>(self)->report(); }, this),
      idle_(
          loop, [](void* self) { static_cast<Service*>(self)->look_idle(); }, this),
      last_request_(loop.now()), counted_since_(loop.clock().wall()) {
  status_.arm(loop.after(options.status_time));
  idle_.arm(loop.after(options.max_idle));
}

Service::~Service() = default;

Result<void> Service::take(service::Peer& peer, ipc::Frame& frame) {
  last_request_ = loop_.now();
  switch (frame.type) {
  case proto::Save::kType: {
    POSTRIDER_TRY(proto::Save request, ipc::as<proto::Save>(frame));
    return save(peer, std::move(request), std::move(frame.fds[0]));
  }
  case proto::Find::kType: {
    POSTRIDER_TRY(const proto::Find request, ipc::as<proto::Find>(frame));
    find(peer, request);
    return {};
  }
  default: return Error(ErrorKind::protocol, "unexpected frame type " + std::to_string(frame.type));
  }
}

Result<void> Service::save(service::Peer& peer, proto::Save request, Fd fd) {
  if (request.endpoint.empty() || request.endpoint.size() > proto::kMostCacheKey ||
      request.destination.size() > proto::kMostCacheKey ||
      request.facts.size() > proto::kMostCacheFacts)
    return Error(ErrorKind::protocol, "Save with a key or facts of a wrong size");
  if (!is_stream_socket(fd.get()))
    return Error(ErrorKind::protocol, "Save with what is no connection");
  // One that broke on its way here is nobody's fault, and of no use.
  if (is_connected(fd.get())) {
    const int number = fd.get();
    Store::Saved saved =
        store_.save(request.destination, request.endpoint, std::chrono::milliseconds(request.ttl),
                    std::move(request.facts), std::move(fd), loop_.now());
    watch(saved.id, number);
    say_goodbye(std::move(saved.displaced));
    arm();
  }
  proto::Saved answer;
  answer.number = request.number;
  peer.channel.send(answer);
  return {};
}

void Service::find(service::Peer& peer, const proto::Find& request) {
  std::optional<Connection> found =
      request.destination.empty() ? store_.find_by_endpoint(request.endpoint, loop_.now())
                                  : store_.find_by_destination(request.destination, loop_.now());
  if (!found) {
    proto::NotFound answer;
    answer.number = request.number;
    return peer.channel.send(answer);
  }
  watches_.erase(found->id);
  proto::Found answer;
  answer.number = request.number;
  answer.facts = std::move(found->facts);
  peer.channel.send(answer, std::move(found->fd));
}

void Service::watch(std::uint64_t id, int fd) {
  auto watched = std::make_unique<Watched>(*this, id);
  watched->watch = std::make_unique<ev::FdWatch>(
      loop_, fd,
      [](void* self, bool readable, bool) {
        const auto* w = static_cast<Watched*>(self);
        if (readable) w->owner.spoke_or_closed(w->id);
      },
      watched.get());
  watches_.emplace(id, std::move(watched));
}

void Service::spoke_or_closed(std::uint64_t id) {
  const std::optional<Connection> gone = store_.remove(id);
  watches_.erase(id);
}

void Service::say_goodbye(std::vector<Connection> connections) {
  for (const Connection& connection : connections) {
    watches_.erase(connection.id);
    // RFC 5321 section 4.1.1.10. Nobody waits for the reply.
    ::send(connection.fd.get(), "QUIT\r\n", 6, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

void Service::expire() {
  say_goodbye(store_.expire(loop_.now()));
  arm();
}

void Service::arm() {
  const std::optional<SteadyTime> next = store_.next_expiry();
  expiry_.arm(next ? ev::Deadline::at(*next) : ev::Deadline::never());
}

// In the original's words, for the scripts that read them.
void Service::report() {
  const Statistics s = store_.take_statistics();
  const auto lookups = [](const Lookups& l) { return l.hits + l.misses; };
  const bool kept = s.most_connections + s.most_endpoints + s.most_destinations > 0;
  if (lookups(s.by_destination) + lookups(s.by_endpoint) > 0 || kept) {
    const std::time_t since = std::chrono::system_clock::to_time_t(counted_since_);
    std::tm local{};
    ::localtime_r(&since, &local);
    char stamp[32];
    std::strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &local);
    log::info("statistics: start interval " + std::string(stamp));
    log_lookups("domain", s.by_destination);
    log_lookups("address", s.by_endpoint);
  }
  if (kept)
    log::info("statistics: max simultaneous domains=" + std::to_string(s.most_destinations) +
              " addresses=" + std::to_string(s.most_endpoints) +
              " connection=" + std::to_string(s.most_connections));
  counted_since_ = loop_.clock().wall();
  status_.arm(loop_.after(options_.status_time));
}

// Clients stay connected while they live, so their going is no sign.
void Service::look_idle() {
  const SteadyTime over = last_request_ + options_.max_idle;
  if (loop_.now() < over || store_.connections() > 0)
    return idle_.arm(ev::Deadline::at(std::max(over, loop_.now() + std::chrono::seconds(1))));
  retire_();
}

bool Service::reload(const config::Settings& settings) {
  options_.load(settings);
  store_.set_ttl(options_.limits.ttl);
  status_.arm(loop_.after(options_.status_time));
  idle_.arm(loop_.after(options_.max_idle));
  return true;
}

void Service::drain(daemon::Drain reason) {
  say_goodbye(store_.remove_all());
  arm();
  server_.drain(reason);
}

void Service::stop() {
  say_goodbye(store_.remove_all());
  report();
  server_.stop();
}

} // namespace postrider::scache
