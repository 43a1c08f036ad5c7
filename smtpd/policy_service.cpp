// SPDX-License-Identifier: MIT
#include "policy_service.hpp"

#include <algorithm>
#include <netdb.h>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "base/words.hpp"
#include "config/units.hpp"
#include "ev/wait.hpp"

namespace postrider::smtpd {

namespace {

Error config_error(std::string text) { return Error(ErrorKind::config, std::move(text)); }

Result<void> set_option(PolicyOptions& out, std::string_view name, const std::string& value) {
  const auto wrong = [&] {
    return config_error("check_policy_service: " + std::string(name) + " = " + value +
                        " is not understood");
  };
  struct Time {
    std::string_view name;
    Duration PolicyOptions::*field;
  };
  for (const Time& time :
       {Time{"timeout", &PolicyOptions::timeout}, Time{"max_idle", &PolicyOptions::max_idle},
        Time{"max_ttl", &PolicyOptions::max_ttl},
        Time{"retry_delay", &PolicyOptions::retry_delay}}) {
    if (name != time.name) continue;
    const auto length = config::parse_time(value, 's');
    if (!length) return wrong();
    out.*time.field = std::chrono::milliseconds(*length);
    return {};
  }
  if (name == "request_limit" || name == "try_limit") {
    const auto number = parse_decimal(value);
    if (!number || *number > 1'000'000'000 || (name == "try_limit" && *number == 0)) return wrong();
    (name == "try_limit" ? out.try_limit : out.request_limit) = static_cast<std::int64_t>(*number);
    return {};
  }
  if (name == "default_action") {
    out.default_action = value;
    return {};
  }
  if (name == "policy_context") {
    out.context = value;
    return {};
  }
  return config_error("check_policy_service: \"" + std::string(name) +
                      "\" is none of timeout, max_idle, max_ttl, retry_delay, request_limit, "
                      "try_limit, default_action, policy_context");
}

Result<std::uint16_t> parse_port(const std::string& text) {
  if (const auto number = parse_decimal(text)) {
    if (*number >= 1 && *number <= 65535) return static_cast<std::uint16_t>(*number);
  } else if (const servent* service = ::getservbyname(text.c_str(), "tcp")) {
    return ntohs(static_cast<std::uint16_t>(service->s_port));
  }
  return config_error("\"" + text + "\" is no port");
}

} // namespace

Result<PolicyOptions> PolicyOptions::parse(std::string_view spec, const PolicyOptions& defaults) {
  PolicyOptions out = defaults;
  POSTRIDER_TRY(std::vector<std::string> words, split_words(spec));
  if (words.empty()) return config_error("check_policy_service: no server is named");
  out.server = words.front();
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::string item = words[i];
    // name = value, with blanks round the sign
    while (i + 1 < words.size() &&
           (item.find('=') == std::string::npos || item.back() == '=' || words[i + 1] == "="))
      item += words[++i];
    const std::size_t equals = item.find('=');
    if (equals == std::string::npos)
      return config_error("check_policy_service: \"" + item + "\" is no name=value");
    POSTRIDER_TRY_VOID(set_option(out, trim(std::string_view(item).substr(0, equals)),
                                  std::string(trim(std::string_view(item).substr(equals + 1)))));
  }
  return out;
}

class PolicyService::Place {
 public:
  explicit Place(PolicyService& service) : service_(service) { ++service_.busy_; }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    --service_.busy_;
    service_.freed_->notify_one();
  }

 private:
  PolicyService& service_;
};

Result<std::shared_ptr<PolicyService>> PolicyService::open(PolicyOptions options) {
  auto service = std::make_shared<PolicyService>(std::move(options));
  std::string_view server = service->options_.server;
  if (server.starts_with("unix:")) {
    POSTRIDER_TRY(const net::Address address, net::Address::unix_path(server.substr(5)));
    service->servers_.push_back(address);
    return service;
  }
  if (server.starts_with("inet:")) server.remove_prefix(5);
  const std::size_t colon = server.rfind(':');
  if (colon == server.npos)
    return config_error("\"" + service->options_.server +
                        "\" is neither inet:host:port nor unix:path");
  POSTRIDER_TRY(const std::uint16_t port, parse_port(std::string(server.substr(colon + 1))));
  const std::string host(server.substr(0, colon));
  if (const auto address = net::Address::parse_ip(host, port)) {
    service->servers_.push_back(*address);
    return service;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed =
      ::getaddrinfo(host.empty() ? "localhost" : host.c_str(), nullptr, &hints, &list);
  if (failed != 0) {
    service->trouble_ = "host " + host + ": " + ::gai_strerror(failed);
    return service;
  }
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    service->servers_.push_back(net::Address::from_sockaddr(at->ai_addr, at->ai_addrlen));
    service->servers_.back().set_port(port);
  }
  ::freeaddrinfo(list);
  return service;
}

ev::Task<std::string> PolicyService::ask(ev::Loop& loop, const std::string& request) {
  if (!freed_) {
    loop_ = &loop;
    freed_.emplace(loop);
    idle_timer_.emplace(
        loop, [](void* self) { static_cast<PolicyService*>(self)->close_idle(); }, this);
  }
  const std::string bytes = request + "\n";
  for (std::int64_t tries = 1;; ++tries) {
    Result<std::string> action = co_await attempt(loop, bytes);
    if (action) co_return std::move(*action);
    const bool last = tries >= options_.try_limit || action.error().kind() == ErrorKind::cancelled;
    log::warning("problem talking to server " + options_.server + ": " + action.error().text());
    if (last) co_return options_.default_action;
    Result<void> slept = co_await ev::sleep_for(loop, options_.retry_delay);
    if (!slept) co_return options_.default_action;
  }
}

ev::Task<Result<std::string>> PolicyService::attempt(ev::Loop& loop, const std::string& bytes) {
  const ev::Deadline deadline = loop.after(options_.timeout);
  while (busy_ >= kMostConnections) {
    Result<void> woken = co_await freed_->wait(deadline, "a connection to a policy server");
    if (!woken) co_return woken.error();
  }
  const Place place(*this);
  while (true) {
    std::optional<Connection> connection = take_idle(loop);
    const bool used_before = connection.has_value();
    if (!connection) {
      Result<Connection> made = co_await connect(loop, deadline);
      if (!made) co_return made.error();
      connection = std::move(*made);
    }
    net::TcpStream& stream = *connection->stream;
    Result<void> sent = co_await stream.write(bytes, deadline);
    std::string action;
    Result<void> done = sent;
    while (done) { // attributes until an empty line
      Result<net::Stream::Line> line = co_await stream.read_line(kLongestAnswer, deadline);
      if (!line) {
        done = line.error();
      } else if (line->text.empty()) {
        if (action.empty()) done = Error(ErrorKind::protocol, "the answer has no action");
        break;
      } else if (line->text.starts_with("action=")) {
        action = trim(std::string_view(line->text).substr(7));
      } else if (line->text.find('=') == std::string::npos) {
        done = Error(ErrorKind::protocol, "the answer is no name=value");
      }
    }
    if (done) {
      ++connection->questions;
      keep(loop, std::move(*connection));
      co_return action;
    }
    // It was closed between two questions: that is no failure.
    if (!used_before || done.error().kind() != ErrorKind::closed) co_return done.error();
  }
}

ev::Task<Result<PolicyService::Connection>> PolicyService::connect(ev::Loop& loop,
                                                                   ev::Deadline deadline) {
  Error problem(ErrorKind::not_found, trouble_);
  for (const net::Address& server : servers_) {
    auto stream = co_await net::connect(loop, server, deadline);
    if (stream) {
      Connection made;
      made.stream = std::move(*stream);
      made.opened = loop.now();
      co_return made;
    }
    problem = stream.error();
  }
  co_return problem;
}

std::optional<PolicyService::Connection> PolicyService::take_idle(ev::Loop& loop) {
  while (!idle_.empty()) {
    Connection last = std::move(idle_.back());
    idle_.pop_back();
    if (last.stream->is_quiet() && loop.now() - last.opened < options_.max_ttl) return last;
  }
  return std::nullopt;
}

void PolicyService::keep(ev::Loop& loop, Connection connection) {
  if (!connection.stream->buffered().empty()) return; // it says more than it was asked
  if (options_.request_limit != 0 && connection.questions >= options_.request_limit) return;
  connection.used = loop.now();
  idle_.push_back(std::move(connection));
  if (!idle_timer_->armed()) idle_timer_->arm(loop.after(options_.max_idle));
}

void PolicyService::close_idle() {
  const SteadyTime now = loop_->now();
  std::erase_if(idle_, [&](const Connection& c) { return now - c.used >= options_.max_idle; });
  if (!idle_.empty()) idle_timer_->arm(ev::Deadline::at(idle_.front().used + options_.max_idle));
}

} // namespace postrider::smtpd
