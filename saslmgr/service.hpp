// SPDX-License-Identifier: MIT
// saslmgr's side of lib/proto/saslmgr.hpp: takes logins of smtpd's clients to workers, and keeps
// count of failures.
#pragma once

#include <unordered_map>

#include "config/settings.hpp"
#include "failures.hpp"
#include "service/server.hpp"
#include "workers.hpp"

namespace postrider::saslmgr {

struct Options {
  WorkerSetup worker;
  WorkerLimits limits;             // smtpd_sasl_time_limit
  std::uint64_t failure_limit = 0; // smtpd_sasl_failure_limit
  Duration failure_time{};         // smtpd_sasl_failure_time
  // Error config names the parameter.
  static Result<Options> load(const config::Settings& settings);
};

class Service final : public daemon::Service, private service::Handler {
 public:
  static constexpr std::size_t kMostLogins = 4096; // that wait for their clients
  static constexpr Duration kLongestLogin = std::chrono::minutes(10);

  Service(ev::Loop& loop, const Options& options, Workers::Make make);

  void accept(daemon::Client client) override { server_.accept(std::move(client)); }
  void drain(daemon::Drain reason) override { server_.drain(reason); }
  void stop() override;
  std::size_t logins() const { return logins_.size(); }

 private:
  // From the first question to the last answer; between them it waits for the client.
  struct Login {
    service::Peer* peer = nullptr;
    std::shared_ptr<WorkerProcess> worker;
    std::string mechanism;
    std::string prefix;
    SteadyTime since{};
    bool answering = false; // a step is under way
  };

  Result<void> take(service::Peer& peer, ipc::Frame& frame) override;
  void left(service::Peer& peer) override;

  ev::RootTask list(service::Peer& peer, proto::ListMechanisms request);
  ev::RootTask begin(service::Peer& peer, proto::BeginLogin request);
  ev::RootTask step(service::Peer& peer, proto::StepLogin request);
  // WAITS for the worker's answer, and says on the way whether an account may be tried.
  ev::Task<Result<Answer>> converse(Workers::Lease& lease, ev::Lent<const Login> login);
  // What becomes of it: counts, logs, keeps or forgets the login.
  proto::LoginAnswer conclude(std::uint64_t login, Result<Answer>& answer);
  void forget(std::uint64_t login);
  void forget_old();

  ev::Loop& loop_;
  Failures failures_;
  Workers workers_;
  std::unordered_map<std::uint64_t, Login> logins_;
  std::uint64_t next_login_ = 1;
  service::Server server_;
};

} // namespace postrider::saslmgr
