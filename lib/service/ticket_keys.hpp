// SPDX-License-Identifier: MIT
// TicketKeys: the keys of session tickets that all server processes have, of tlsmgr. One per
// process. Without tlsmgr, once the keys in hand are too old, sessions are not resumed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proto/tlsmgr.hpp"
#include "service/caller.hpp"

namespace postrider::service {

class TicketKeys {
 public:
  // `service`: tlsmgr_service_name. `sockets` is for tests; empty: those of the service.
  TicketKeys(ev::Loop& loop, const std::string& service, std::vector<std::string> sockets = {});

  // WAITS, a moment at most, when there may be a newer key. The newest first, 64 bytes each.
  ev::Task<std::vector<std::string>> get();

 private:
  ev::Loop& loop_;
  std::string service_;
  Caller caller_;
  proto::TicketKeys known_;
};

} // namespace postrider::service
