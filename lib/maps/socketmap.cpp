// SPDX-License-Identifier: MIT
#include "maps/socketmap.hpp"

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

} // namespace

Result<std::unique_ptr<SocketMap>> SocketMap::open(std::string_view name) {
  const Error syntax(ErrorKind::config,
                     "write socketmap:inet:host:port:name or socketmap:unix:path:name");
  auto map = std::make_unique<SocketMap>();
  const std::size_t last = name.rfind(':');
  if (last == name.npos || last + 1 == name.size()) return syntax;
  map->name_ = name.substr(last + 1);
  const std::string_view server = name.substr(0, last);
  if (!server.starts_with("unix:") && (!server.starts_with("inet:") || server.rfind(':') <= 5))
    return syntax;
  auto opened = net::AskedServer::open(server, {kMostConnections, kIdleLimit, kAgeLimit, 0});
  if (!opened) return opened.error().in("socketmap");
  map->server_ = std::move(*opened);
  return map;
}

ev::Task<Answer> SocketMap::fetch(ev::Loop& loop, std::string_view key, ev::Deadline deadline) {
  const ev::Deadline until = deadline.earlier(loop.after(kTimeLimit));
  Result<net::AskedServer::Place> place = co_await server_->place(loop, until);
  if (!place) co_return place.error();
  const std::string payload = name_ + " " + std::string(key);
  const std::string question = std::to_string(payload.size()) + ":" + payload + ",";
  for (int attempt = 0;; ++attempt) {
    auto connection = server_->take_idle();
    if (!connection) {
      auto made = co_await server_->connect(loop, until);
      if (!made) co_return made.error();
      connection = std::move(*made);
    }
    Result<std::string> answer = co_await exchange(*connection->stream, question, until);
    if (answer) {
      server_->keep(std::move(*connection));
      co_return to_answer(*answer);
    }
    // The server was started anew, perhaps: what it does not know, it may be asked again.
    if (answer.error().kind() != ErrorKind::closed || attempt > 0) co_return answer.error();
    server_->forget_idle();
  }
}

} // namespace postrider::maps
