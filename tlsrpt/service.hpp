// SPDX-License-Identifier: MIT
// tlsrpt's side of lib/proto/tlsrpt.hpp: counts, answers, and has a Reporter that sends.
#pragma once

#include "accounts.hpp"
#include "outlet.hpp"
#include "reporter.hpp"
#include "service/server.hpp"

namespace postrider::tlsrpt {

struct Options {
  std::string file;
  std::uint64_t most_domains = 0; // tlsrpt_domain_limit
  ReporterSetup reporter;
  NetworkOutletSetup outlet;
  // Blocks: reads trust anchors and resolv.conf. Error config names the parameter.
  static Result<Options> load(const config::Settings& settings);
};

class Service final : public daemon::Service, private service::Handler {
 public:
  static constexpr std::size_t kPage = 256 * 1024; // bytes of accounts in one answer

  Service(ev::Loop& loop, Accounts accounts, ReporterSetup reporter,
          std::unique_ptr<Outlet> outlet);

  void accept(daemon::Client client) override { server_.accept(std::move(client)); }
  // What is counted meanwhile still counts; the successor sends.
  void drain(daemon::Drain reason) override;
  void stop() override;

 private:
  Result<void> take(service::Peer& peer, ipc::Frame& frame) override;
  void count(const proto::TlsEvent& event);
  proto::Accounts list(const proto::AskAccounts& request);
  ev::RootTask answer(service::Peer& peer, proto::SendReport request);

  ev::Loop& loop_;
  Accounts accounts_;
  std::unique_ptr<Outlet> outlet_;
  Reporter reporter_;
  service::Server server_;
  bool full_ = false; // the last event was lost
};

} // namespace postrider::tlsrpt
