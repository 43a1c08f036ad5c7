// SPDX-License-Identifier: MIT
// anvil's side of lib/proto/anvil.hpp: the counts, who told which connections, statistics. Waits
// for nothing.
#pragma once

#include <memory>
#include <unordered_map>

#include "counts.hpp"
#include "service/server.hpp"

namespace postrider::anvil {

struct Options {
  Counts::Limits limits;
  Duration status_time = std::chrono::seconds(600); // between two reports of the highest counts
  void load(const config::Settings& settings);
};

class Service final : public daemon::Service, private service::Handler {
 public:
  Service(ev::Loop& loop, const Options& options);
  ~Service() override;

  void accept(daemon::Client client) override { server_.accept(std::move(client)); }
  void drain(daemon::Drain reason) override { server_.drain(reason); }
  void stop() override;
  // In place: what is counted would be lost.
  bool reload(const config::Settings& settings) override;

 private:
  using Connections = std::unordered_map<std::string, std::uint64_t>; // by client
  Result<void> take(service::Peer& peer, ipc::Frame& frame) override;
  void left(service::Peer& peer) override;
  Result<void> count(service::Peer& peer, const proto::CountClient& request);
  Result<void> disconnect(service::Peer& peer, const proto::ClientLeft& message);
  void expire();
  void arm();
  void report();

  ev::Loop& loop_;
  Options options_;
  service::Server server_;
  Counts counts_;
  std::unordered_map<const service::Peer*, Connections> told_;
  ev::Timer expiry_, status_;
};

} // namespace postrider::anvil
