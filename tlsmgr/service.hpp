// SPDX-License-Identifier: MIT
// What tlsmgr answers: one Service per process, over service::Server.
#pragma once

#include "caches.hpp"
#include "daemon/program.hpp"
#include "service/server.hpp"
#include "sts_policies.hpp"

namespace postrider::tlsmgr {

struct StsOptions {
  std::string file; // empty: policies are not kept for long
  NetworkSourceSetup source;
  std::chrono::milliseconds fetch_timeout{60000};

  // Blocks: reads trust anchors and resolv.conf.
  static Result<StsOptions> load(const config::Settings& settings);
};

class Service final : public daemon::Service, private service::Handler {
 public:
  Service(ev::Loop& loop, CacheOptions caches, StsOptions sts);

  void accept(daemon::Client client) override { server_.accept(std::move(client)); }
  void drain(daemon::Drain reason) override;
  void stop() override;

 private:
  Result<void> take(service::Peer& peer, ipc::Frame& frame) override;
  ev::RootTask answer(service::Peer& peer, proto::AskPolicy request);
  void sweep();

  static constexpr std::chrono::minutes kSweepEvery{10};
  static constexpr std::chrono::seconds kSweepOn{1}; // while there is more

  ev::Loop& loop_;
  Caches caches_;
  NetworkSource source_;
  StsPolicies policies_;
  service::Server server_;
  ev::Timer sweep_timer_;
};

} // namespace postrider::tlsmgr
