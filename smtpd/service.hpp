// SPDX-License-Identifier: MIT
// All sessions of one smtpd process: admits clients, counts them, and lets them go when the process
// ends. Owns the connection to the queue that they share.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "config.hpp"
#include "daemon/program.hpp"
#include "ev/group.hpp"
#include "session.hpp"

namespace postrider::smtpd {

class Service final : public daemon::Service {
 public:
  static Result<std::unique_ptr<daemon::Service>> create(daemon::Context& context);
  Service(daemon::Context& context, std::shared_ptr<const Config> config);
  ~Service() override;

  void accept(daemon::Client client) override;
  void drain(daemon::Drain reason) override;
  void stop() override;
  bool reload(const config::Settings& settings) override;

 private:
  struct Open { // a session that goes on, as drain() sees it
    int fd;
    Session* session;
  };
  // Who it is and whether it may talk to us; a reply says why not. A question for maps::ask().
  static Result<Peer> identify(const Config& config, int fd);
  ev::RootTask identify_slowly(daemon::Client client, std::shared_ptr<const Config> config);
  void admit(daemon::Client client, Result<Peer> peer);
  std::string refusal_of(const Peer& peer);
  ev::RootTask serve(daemon::Client client, Peer peer, std::shared_ptr<const Config> config);
  ev::RootTask turn_away(daemon::Client client, Peer peer, std::string reply);
  void update_busy();

  daemon::Context& context_;
  std::shared_ptr<const Config> config_;
  submit::Submitter submitter_;
  Shared shared_;
  ev::Group group_;
  std::list<Open> open_;
  std::unordered_map<std::string, std::uint64_t> per_client_;
  bool busy_ = false;
};

} // namespace postrider::smtpd
