// SPDX-License-Identifier: MIT
#include "net/asked_server.hpp"

#include <algorithm>
#include <netdb.h>

#include "base/ascii.hpp"
#include "net/host.hpp"

namespace postrider::net {

namespace {

Result<std::uint16_t> parse_port(const std::string& text) {
  if (const auto number = parse_decimal(text)) {
    if (*number >= 1 && *number <= 65535) return static_cast<std::uint16_t>(*number);
  } else if (const servent* service = ::getservbyname(text.c_str(), "tcp")) {
    return ntohs(static_cast<std::uint16_t>(service->s_port));
  }
  return Error(ErrorKind::config, "\"" + text.substr(0, 60) + "\" is no port");
}

} // namespace

AskedServer::Place::~Place() {
  if (server_ == nullptr) return;
  --server_->busy_;
  server_->freed_->notify_one();
}

Result<std::unique_ptr<AskedServer>> AskedServer::open(std::string_view address,
                                                       const Limits& limits) {
  auto server = std::make_unique<AskedServer>(limits);
  if (address.starts_with("unix:")) {
    POSTRIDER_TRY(const Address path, Address::unix_path(address.substr(5)));
    server->addresses_.push_back(path);
    return server;
  }
  const std::size_t colon = address.rfind(':');
  if (!address.starts_with("inet:") || colon <= 5)
    return Error(ErrorKind::config, "\"" + std::string(address.substr(0, 200)) +
                                        "\" is neither inet:host:port nor unix:path");
  POSTRIDER_TRY(const std::uint16_t port, parse_port(std::string(address.substr(colon + 1))));
  Host host = find_host(std::string(address.substr(5, colon - 5)), port);
  server->addresses_ = std::move(host.addresses);
  server->trouble_ = std::move(host.trouble);
  return server;
}

void AskedServer::use(ev::Loop& loop) {
  if (loop_ != nullptr) return;
  loop_ = &loop;
  freed_.emplace(loop);
  idle_timer_.emplace(
      loop, [](void* self) { static_cast<AskedServer*>(self)->close_idle(); }, this);
}

ev::Task<Result<AskedServer::Place>> AskedServer::place(ev::Loop& loop, ev::Deadline deadline) {
  use(loop);
  while (busy_ >= limits_.connections) {
    Result<void> woken = co_await freed_->wait(deadline, "a connection to a server that is asked");
    if (!woken) co_return woken.error();
  }
  co_return Place(*this);
}

std::optional<AskedServer::Connection> AskedServer::take_idle() {
  while (!idle_.empty()) {
    Connection last = std::move(idle_.back());
    idle_.pop_back();
    if (last.stream->is_quiet() && loop_->now() - last.opened < limits_.age) return last;
  }
  return std::nullopt;
}

ev::Task<Result<AskedServer::Connection>> AskedServer::connect(ev::Loop& loop,
                                                               ev::Deadline deadline) {
  Error problem(ErrorKind::not_found, trouble_);
  for (const Address& address : addresses_) {
    auto stream = co_await net::connect(loop, address, deadline);
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

void AskedServer::keep(Connection connection) {
  if (!connection.stream->buffered().empty()) return; // it says more than it was asked
  ++connection.questions;
  if (limits_.questions != 0 && connection.questions >= limits_.questions) return;
  connection.used = loop_->now();
  idle_.push_back(std::move(connection));
  if (!idle_timer_->armed()) idle_timer_->arm(loop_->after(limits_.idle));
}

void AskedServer::close_idle() {
  const SteadyTime now = loop_->now();
  std::erase_if(idle_, [&](const Connection& c) { return now - c.used >= limits_.idle; });
  if (!idle_.empty()) idle_timer_->arm(ev::Deadline::at(idle_.front().used + limits_.idle));
}

} // namespace postrider::net
