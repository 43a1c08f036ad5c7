// SPDX-License-Identifier: MIT
// What tlsmgr answers: one Service per process, over service::Server.
#pragma once

#include "caches.hpp"
#include "daemon/program.hpp"
#include "service/server.hpp"

namespace postrider::tlsmgr {

class Service final : public daemon::Service, private service::Handler {
 public:
  Service(ev::Loop& loop, CacheOptions caches);

  void accept(daemon::Client client) override { server_.accept(std::move(client)); }
  void drain(daemon::Drain reason) override;
  void stop() override;

 private:
  Result<void> take(service::Peer& peer, ipc::Frame& frame) override;
  void sweep();

  static constexpr std::chrono::minutes kSweepEvery{10};
  static constexpr std::chrono::milliseconds kSweepOn{50}; // while there is more

  ev::Loop& loop_;
  Caches caches_;
  service::Server server_;
  ev::Timer sweep_timer_;
};

} // namespace postrider::tlsmgr
