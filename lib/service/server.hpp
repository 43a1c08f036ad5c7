// SPDX-License-Identifier: MIT
// Server: the accepting side of a helper service (scache, tlsmgr, tokenmgr): clients, Hello, frames
// handed to a Handler one by one. One Server per process. Clients are programs of the suite under
// root's or our own user id; others are refused. A client that misbehaves loses its connection, and
// nobody else notices.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "daemon/program.hpp"
#include "ev/group.hpp"
#include "ipc/channel.hpp"

namespace postrider::service {

// One client. Tasks that answer later are spawned in `tasks`; they may use `channel` until they
// end, and are cancelled when the client has gone.
class Peer {
 public:
  Peer(ev::Loop& loop, daemon::Client accepted, ipc::Limits limits)
      : channel(loop, std::move(accepted.fd), limits), tasks(loop), client(std::move(accepted)) {}
  ipc::Channel channel;
  ev::Group tasks;
  const daemon::Client client; // counts as long as it is there
};

class Handler {
 public:
  virtual ~Handler() = default;
  // One frame; never waits. An Error ends the conversation, and is logged.
  virtual Result<void> take(Peer& peer, ipc::Frame& frame) = 0;
  // The client has gone and its tasks have ended. Whatever is kept for it goes now.
  virtual void left(Peer&) {}
};

struct ServerSetup {
  std::string protocol; // for Hello
  std::uint32_t version = 1;
  std::size_t most_tasks = 4096;     // of one client; reading its requests waits for room
  std::size_t most_connections = 64; // of one process
  ipc::Limits limits{.frame = 1024 * 1024, .unsent = 16 * 1024 * 1024, .descriptors = 64};
};

class Server final : public daemon::Service {
 public:
  // `handler` outlives the Server.
  Server(ev::Loop& loop, Handler& handler, ServerSetup setup);
  ~Server() override;

  void accept(daemon::Client client) override;
  // Clients without unanswered requests are let go at once, others behind their answers; each
  // connects again, to the next process.
  void drain(daemon::Drain reason) override;
  void stop() override;
  std::size_t clients() const { return peers_.size(); }

 private:
  ev::RootTask serve(std::shared_ptr<Peer> peer);
  ev::Task<Result<void>> converse(Peer& peer);
  ev::RootTask let_go(std::shared_ptr<Peer> peer);

  ev::Loop& loop_;
  Handler& handler_;
  ServerSetup setup_;
  std::list<std::shared_ptr<Peer>> peers_;
  bool draining_ = false;
  ev::Group group_;
};

} // namespace postrider::service
