// SPDX-License-Identifier: MIT
// ClientCounts: what a client does, counted by anvil over all processes. One per process. Without
// anvil nothing is known of what other processes see, and nobody is refused for it.
#pragma once

#include <string>
#include <vector>

#include "proto/anvil.hpp"
#include "service/caller.hpp"

namespace postrider::service {

struct ClientCountsSetup {
  std::string service = "anvil"; // anvil_service_name
  Duration timeout = std::chrono::seconds(2);
  std::vector<std::string> sockets = {}; // for tests; empty: those of `service`
};

struct ClientCount {
  std::uint64_t connections = 0;
  std::uint64_t rate = 0;
};

class ClientCounts {
 public:
  ClientCounts(ev::Loop& loop, ClientCountsSetup setup);

  // WAITS, a moment at most. `service`: whose client it is, first column of master.cf. A connection
  // that was counted needs left(), whatever count() returned.
  ev::Task<Result<ClientCount>> count(const std::string& service, const std::string& client,
                                      proto::ClientEvent event);
  // The same for what has not happened yet: it counts when it does.
  ev::Task<Result<ClientCount>> look(const std::string& service, const std::string& client,
                                     proto::ClientEvent event);
  void left(const std::string& service, const std::string& client);

 private:
  ev::Task<Result<ClientCount>> ask(ev::Lent<proto::CountClient> request);

  Caller caller_;
};

} // namespace postrider::service
