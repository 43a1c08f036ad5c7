// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <array>
#include <ctime>

#include "base/log.hpp"

namespace postrider::anvil {
namespace {

// As in the log lines, in the order of proto::ClientEvent.
constexpr std::array<std::string_view, proto::kClientEvents> kNames{"connection", "message",
                                                                    "recipient", "newtls", "auth"};

service::ServerSetup setup() {
  service::ServerSetup setup;
  setup.protocol = proto::kAnvilProtocol;
  setup.version = proto::kAnvilVersion;
  setup.limits.frame = 2 * proto::kLongestClientText + 1024;
  setup.limits.unsent = 1024 * 1024;
  return setup;
}

Result<std::string> key_of(std::string_view service, std::string_view client) {
  for (const std::string_view text : {service, client})
    if (text.empty() || text.size() > proto::kLongestClientText || log::printable(text) != text)
      return Error(ErrorKind::protocol, "a service or a client with a wrong name");
  return std::string(service).append(":").append(client);
}

std::string stamp(WallTime at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[32];
  std::strftime(text, sizeof text, "%b %e %H:%M:%S", &local);
  return text;
}

void log_highest(const std::string& what, const Highest& highest, const std::string& per) {
  if (highest.value == 0) return;
  log::info("statistics: max " + what + " " + std::to_string(highest.value) + per +
            (highest.client.empty() ? "" : " for (" + highest.client + ")") + " at " +
            stamp(highest.at));
}

} // namespace

void Options::load(const config::Settings& settings) {
  limits.unit = settings.time("anvil_rate_time_unit");
  status_time = settings.time("anvil_status_update_time");
}

Service::Service(ev::Loop& loop, const Options& options)
    : loop_(loop), options_(options), server_(loop, *this, setup()), counts_(options.limits),
      expiry_(
          loop, [](void* self) { static_cast<Service*>(self)->expire(); }, this),
      status_(
          loop, [](void* self) { static_cast<Service*>(self)->report(); }, this) {
  status_.arm(loop.after(options.status_time));
}

Service::~Service() = default;

Result<void> Service::take(service::Peer& peer, ipc::Frame& frame) {
  switch (frame.type) {
  case proto::CountClient::kType: {
    POSTRIDER_TRY(const proto::CountClient request, ipc::as<proto::CountClient>(frame));
    return count(peer, request);
  }
  case proto::ClientLeft::kType: {
    POSTRIDER_TRY(const proto::ClientLeft message, ipc::as<proto::ClientLeft>(frame));
    return disconnect(peer, message);
  }
  default: return Error(ErrorKind::protocol, "unexpected frame type " + std::to_string(frame.type));
  }
}

Result<void> Service::count(service::Peer& peer, const proto::CountClient& request) {
  POSTRIDER_TRY(const std::string client, key_of(request.service, request.client));
  const Moment now{loop_.now(), loop_.clock().wall()};
  std::optional<Counts::Count> counted;
  if (request.only_asks)
    counted = counts_.look(client, request.event, now.steady);
  else
    counted = counts_.count(client, request.event, now);
  if (counted && !request.only_asks && request.event == proto::ClientEvent::connection)
    ++told_[&peer][client];
  proto::ClientCount answer;
  answer.number = request.number;
  if (counted) {
    answer.connections = counted->connections;
    answer.rate = counted->rate;
  }
  peer.channel.send(answer);
  arm();
  return {};
}

// One that was not told to this process, but to one before it, or found no room, is nobody's.
Result<void> Service::disconnect(service::Peer& peer, const proto::ClientLeft& message) {
  POSTRIDER_TRY(const std::string client, key_of(message.service, message.client));
  const auto told = told_.find(&peer);
  if (told == told_.end()) return {};
  const auto found = told->second.find(client);
  if (found == told->second.end()) return {};
  counts_.disconnect(client, loop_.now());
  if (--found->second == 0) told->second.erase(found);
  arm();
  return {};
}

void Service::left(service::Peer& peer) {
  const auto told = told_.find(&peer);
  if (told == told_.end()) return;
  for (const auto& [client, connections] : told->second)
    for (std::uint64_t i = 0; i < connections; ++i)
      counts_.disconnect(client, loop_.now());
  told_.erase(told);
  arm();
}

void Service::expire() {
  counts_.expire(loop_.now());
  arm();
}

void Service::arm() {
  const std::optional<SteadyTime> next = counts_.next_expiry();
  expiry_.arm(next ? ev::Deadline::at(*next) : ev::Deadline::never());
}

// In the original's words, for the scripts that read them.
void Service::report() {
  const Statistics highest = counts_.take_statistics();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.limits.unit);
  const std::string per = "/" + std::to_string(seconds.count()) + "s";
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    log_highest(std::string(kNames[i]) + " rate", highest.rates[i], per);
    if (i == 0) log_highest("connection count", highest.connections, "");
  }
  log_highest("cache size", highest.clients, "");
  status_.arm(loop_.after(options_.status_time));
}

bool Service::reload(const config::Settings& settings) {
  options_.load(settings);
  counts_.set_unit(options_.limits.unit);
  status_.arm(loop_.after(options_.status_time));
  arm();
  return true;
}

void Service::stop() {
  report();
  server_.stop();
}

} // namespace postrider::anvil
