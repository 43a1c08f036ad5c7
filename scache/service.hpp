// SPDX-License-Identifier: MIT
// scache's side of lib/proto/scache.hpp: the store, a watch on each idle connection, statistics.
// Connections are never read: one that becomes readable was closed by its server, or the server
// speaks where it should be silent, and is dropped. One whose time is over is sent QUIT, if that
// goes in one write. Waits for nothing.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>

#include "proto/scache.hpp"
#include "service/server.hpp"
#include "store.hpp"

namespace postrider::scache {

struct Options {
  Store::Limits limits;
  Duration status_time = std::chrono::seconds(600); // between two reports of the hit rates
  Duration max_idle = std::chrono::seconds(100);    // without a request
  // All but the number of connections, which is not a parameter.
  void load(const config::Settings& settings);
};

class Service final : public daemon::Service, private service::Handler {
 public:
  // `retire` is called when nobody has asked anything for max_idle and nothing is kept.
  Service(ev::Loop& loop, const Options& options, std::function<void()> retire);
  ~Service() override;

  void accept(daemon::Client client) override { server_.accept(std::move(client)); }
  void drain(daemon::Drain reason) override;
  void stop() override;
  // In place: what is kept would be lost, and agents that are replaced leave theirs here.
  bool reload(const config::Settings& settings) override;

 private:
  struct Watched { // an idle connection and who is told about it
    Watched(Service& o, std::uint64_t i) : owner(o), id(i) {}
    Service& owner;
    std::uint64_t id;
    std::unique_ptr<ev::FdWatch> watch;
  };
  Result<void> take(service::Peer& peer, ipc::Frame& frame) override;
  Result<void> save(service::Peer& peer, proto::Save request, Fd fd);
  void find(service::Peer& peer, const proto::Find& request);
  void watch(std::uint64_t id, int fd);
  void spoke_or_closed(std::uint64_t id);
  void say_goodbye(std::vector<Connection> connections);
  void expire();
  void arm();
  void report();
  void look_idle();

  ev::Loop& loop_;
  Options options_;
  std::function<void()> retire_;
  service::Server server_;
  Store store_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Watched>> watches_;
  ev::Timer expiry_, status_, idle_;
  SteadyTime last_request_;
  WallTime counted_since_;
};

} // namespace postrider::scache
