// SPDX-License-Identifier: MIT
#include "maps/socketmap.hpp"

#include <algorithm>
#include <netdb.h>

#include "base/ascii.hpp"
#include "base/log.hpp"

namespace postrider::maps {

namespace {

constexpr std::size_t kMostDigits = 6; // of a netstring's length
constexpr std::size_t kMostReason = 200;

Error bad_answer(std::string_view what) {
  return {ErrorKind::protocol, "socketmap server: " + std::string(what)};
}

// WAITS for one netstring and takes it off the stream.
ev::Task<Result<std::string>> read_netstring(net::Stream& stream, ev::Deadline deadline) {
  while (true) {
    const ByteView input = stream.buffered();
    const std::size_t colon = input.substr(0, kMostDigits + 1).find(':');
    if (colon == ByteView::npos && input.size() > kMostDigits)
      co_return bad_answer("the answer is no netstring");
    if (colon != ByteView::npos) {
      const auto length = parse_decimal(input.substr(0, colon));
      if (!length) co_return bad_answer("the answer is no netstring");
      if (*length > SocketMap::kLongestAnswer)
        co_return Error(ErrorKind::limit, "socketmap server: the answer is too long");
      const auto size = static_cast<std::size_t>(*length);
      if (input.size() > colon + 1 + size) {
        if (input[colon + 1 + size] != ',') co_return bad_answer("the answer is no netstring");
        std::string payload(input.substr(colon + 1, size));
        stream.consume(colon + 1 + size + 1);
        co_return payload;
      }
    }
    Result<void> more = co_await stream.fill(deadline);
    if (!more) co_return more.error();
  }
}

Answer to_answer(std::string_view payload) {
  const std::size_t space = payload.find(' ');
  const std::string_view word = payload.substr(0, space);
  const std::string_view rest = space == payload.npos ? "" : payload.substr(space + 1);
  if (word == "NOTFOUND") return std::optional<std::string>();
  if (word == "OK") {
    if (rest.find_first_of(std::string_view("\0\r\n", 3)) != rest.npos)
      return bad_answer("the answer holds a zero byte or a line end");
    return std::optional(std::string(rest));
  }
  const std::string why =
      trim(rest).empty() ? "" : ": " + log::printable(trim(rest).substr(0, kMostReason));
  if (word == "TEMP") return Error(ErrorKind::busy, "socketmap server temporary error" + why);
  if (word == "TIMEOUT") return Error(ErrorKind::timeout, "socketmap server timeout error" + why);
  if (word == "PERM") return Error(ErrorKind::config, "socketmap server permanent error" + why);
  return bad_answer("unknown error");
}

// One question and its answer. An Error means that the connection is useless.
ev::Task<Result<std::string>> exchange(net::Stream& stream, const std::string& question,
                                       ev::Deadline deadline) {
  Result<void> sent = co_await stream.write(question, deadline);
  if (!sent) co_return sent.error();
  co_return co_await read_netstring(stream, deadline);
}

Result<std::uint16_t> parse_port(const std::string& text) {
  if (const auto number = parse_decimal(text)) {
    if (*number >= 1 && *number <= 65535) return static_cast<std::uint16_t>(*number);
  } else if (const servent* service = ::getservbyname(text.c_str(), "tcp")) {
    return ntohs(static_cast<std::uint16_t>(service->s_port));
  }
  return Error(ErrorKind::config, "socketmap: \"" + text.substr(0, 60) + "\" is no port");
}

} // namespace

class SocketMap::Place {
 public:
  explicit Place(SocketMap& map) : map_(map) { ++map_.busy_; }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    --map_.busy_;
    map_.freed_->notify_one();
  }

 private:
  SocketMap& map_;
};

Result<std::unique_ptr<SocketMap>> SocketMap::open(std::string_view name) {
  const Error syntax(ErrorKind::config,
                     "write socketmap:inet:host:port:name or socketmap:unix:path:name");
  auto map = std::make_unique<SocketMap>();
  const std::size_t last = name.rfind(':');
  if (last == name.npos || last + 1 == name.size()) return syntax;
  map->name_ = name.substr(last + 1);
  std::string_view server = name.substr(0, last);
  if (server.starts_with("unix:")) {
    POSTRIDER_TRY(const net::Address address, net::Address::unix_path(server.substr(5)));
    map->servers_.push_back(address);
    return map;
  }
  if (!server.starts_with("inet:")) return syntax;
  server.remove_prefix(5);
  const std::size_t colon = server.rfind(':');
  if (colon == server.npos || colon == 0) return syntax;
  POSTRIDER_TRY(const std::uint16_t port, parse_port(std::string(server.substr(colon + 1))));
  const std::string host(server.substr(0, colon));
  if (const auto address = net::Address::parse_ip(host, port)) {
    map->servers_.push_back(*address);
    return map;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (failed != 0) {
    map->trouble_ = "host " + host + ": " + ::gai_strerror(failed);
    return map;
  }
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    map->servers_.push_back(net::Address::from_sockaddr(at->ai_addr, at->ai_addrlen));
    map->servers_.back().set_port(port);
  }
  ::freeaddrinfo(list);
  return map;
}

ev::Task<Answer> SocketMap::fetch(ev::Loop& loop, std::string_view key, ev::Deadline deadline) {
  const ev::Deadline until = deadline.earlier(loop.after(kTimeLimit));
  if (!freed_) {
    freed_.emplace(loop);
    idle_timer_.emplace(loop, &on_timer, this);
  }
  while (busy_ >= kMostConnections) {
    Result<void> woken = co_await freed_->wait(until, "a connection to a socketmap server");
    if (!woken) co_return woken.error();
  }
  const Place place(*this);
  const std::string payload = name_ + " " + std::string(key);
  const std::string question = std::to_string(payload.size()) + ":" + payload + ",";
  for (int attempt = 0;; ++attempt) {
    std::optional<Connection> connection = take_idle(loop);
    if (!connection) {
      Result<Connection> made = co_await connect(loop, until);
      if (!made) co_return made.error();
      connection = std::move(*made);
    }
    Result<std::string> answer = co_await exchange(*connection->stream, question, until);
    if (answer) {
      keep(loop, std::move(*connection));
      co_return to_answer(*answer);
    }
    // The server was started anew, perhaps: what it does not know, it may be asked again.
    if (answer.error().kind() != ErrorKind::closed || attempt > 0) co_return answer.error();
    idle_.clear();
  }
}

ev::Task<Result<SocketMap::Connection>> SocketMap::connect(ev::Loop& loop, ev::Deadline deadline) {
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

std::optional<SocketMap::Connection> SocketMap::take_idle(ev::Loop& loop) {
  while (!idle_.empty()) {
    Connection last = std::move(idle_.back());
    idle_.pop_back();
    if (last.stream->is_quiet() && loop.now() - last.opened < kAgeLimit) return last;
  }
  return std::nullopt;
}

void SocketMap::keep(ev::Loop& loop, Connection connection) {
  if (!connection.stream->buffered().empty()) return; // it says more than it was asked
  connection.used = loop.now();
  idle_.push_back(std::move(connection));
  loop_ = &loop;
  if (!idle_timer_->armed()) idle_timer_->arm(loop.after(kIdleLimit));
}

void SocketMap::close_idle() {
  const SteadyTime now = loop_->now();
  std::erase_if(idle_, [&](const Connection& c) { return now - c.used >= kIdleLimit; });
  if (!idle_.empty()) idle_timer_->arm(ev::Deadline::at(idle_.front().used + kIdleLimit));
}

} // namespace postrider::maps
