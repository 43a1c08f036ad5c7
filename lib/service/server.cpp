// SPDX-License-Identifier: MIT
#include "service/server.hpp"

#include <algorithm>
#include <unistd.h>

#include "base/log.hpp"
#include "ipc/colleagues.hpp"

namespace postrider::service {

Server::Server(ev::Loop& loop, Handler& handler, ServerSetup setup)
    : loop_(loop), handler_(handler), setup_(std::move(setup)), group_(loop) {}

Server::~Server() {
  for (const std::shared_ptr<Peer>& peer : peers_)
    peer->tasks.tear_down();
  group_.tear_down();
}

void Server::accept(daemon::Client client) {
  const uid_t uid = ipc::peer_credentials(client.fd.get()).uid;
  if (!ipc::is_colleague(uid)) {
    log::warning("refused a client of uid " + std::to_string(uid));
    return;
  }
  auto peer = std::make_shared<Peer>(loop_, std::move(client), setup_.limits);
  const pid_t pid = peer->channel.peer().pid;
  if (std::count_if(peers_.begin(), peers_.end(), [&](const auto& other) {
        return other->channel.peer().pid == pid;
      }) >= static_cast<std::ptrdiff_t>(setup_.most_connections)) {
    log::warning("client process " + std::to_string(pid) + " is sent away: too many connections");
    return peer->client.accuse(pid);
  }
  peers_.push_back(peer);
  group_.spawn(serve(std::move(peer)), "client");
}

ev::RootTask Server::serve(std::shared_ptr<Peer> peer) {
  ipc::Hello hello;
  hello.protocol = setup_.protocol;
  hello.version = setup_.version;
  peer->channel.send(hello);
  Result<void> ended = co_await converse(*peer);
  const bool misbehaved =
      ended.error().kind() == ErrorKind::protocol || ended.error().kind() == ErrorKind::limit;
  if (misbehaved) {
    log::warning("client process " + std::to_string(peer->channel.peer().pid) +
                 " is sent away: " + ended.error().text());
    peer->client.accuse(peer->channel.peer().pid);
  }
  peers_.remove(peer);
  peer->tasks.close();
  peer->tasks.cancel();
  peer->channel.close();
  Result<void> empty = co_await peer->tasks.wait_empty(ev::Deadline::never());
  if (!empty) peer->tasks.tear_down(); // the process ends
  handler_.left(*peer);
}

// Always ends with an Error.
ev::Task<Result<void>> Server::converse(Peer& peer) {
  while (true) {
    Result<ipc::Frame> frame = co_await peer.channel.receive(ev::Deadline::never());
    if (!frame) co_return frame.error();
    Result<void> taken = handler_.take(peer, *frame);
    if (!taken) co_return taken.error();
    while (peer.tasks.size() >= setup_.most_tasks) {
      // Nobody may keep us busy without end; the answers that it waits for make room.
      Result<void> room = co_await peer.tasks.wait_empty(ev::Deadline::never());
      if (!room) co_return room.error();
    }
  }
}

void Server::drain(daemon::Drain) {
  if (draining_) return;
  draining_ = true;
  for (const std::shared_ptr<Peer>& peer : peers_)
    group_.spawn(let_go(peer), "leaving client");
}

ev::RootTask Server::let_go(std::shared_ptr<Peer> peer) {
  Result<void> empty = co_await peer->tasks.wait_empty(ev::Deadline::never());
  if (empty) peer->channel.close();
}

void Server::stop() {
  group_.close();
  group_.cancel();
}

} // namespace postrider::service
