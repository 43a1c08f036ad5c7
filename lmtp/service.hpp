// SPDX-License-Identifier: MIT
// The lmtp agent as a service of the suite: one connection from qmgr at a time.
#pragma once

#include <memory>
#include <optional>

#include "daemon/program.hpp"
#include "smtpclient/agent.hpp"
#include "smtpclient/setup.hpp"

namespace postrider::lmtp {

class Service final : public daemon::Service {
 public:
  static Result<std::unique_ptr<daemon::Service>> create(daemon::Context& context,
                                                         smtpclient::ClientSetup setup);

  void accept(daemon::Client client) override;
  void drain(daemon::Drain reason) override;
  std::size_t pending() const override { return agent_->in_flight(); }
  void stop() override { agent_->stop(); }

 private:
  explicit Service(daemon::Context& context, smtpclient::ClientSetup setup)
      : context_(context), setup_(std::move(setup)) {}

  daemon::Context& context_;
  smtpclient::ClientSetup setup_;
  std::unique_ptr<dns::Resolver> resolver_;
  std::unique_ptr<smtpclient::Agent> agent_;
  std::optional<daemon::Client> client_; // counts while qmgr is connected
};

} // namespace postrider::lmtp
