// SPDX-License-Identifier: MIT
// TlsrptCollector: tells the tlsrpt service what this process saw of the TLS of recipient domains.
// One per process. An event never waits and never matters to mail: without the service it is lost.
#pragma once

#include <string>
#include <vector>

#include "proto/tlsrpt.hpp"
#include "service/caller.hpp"

namespace postrider::service {

struct TlsrptSetup {
  std::string service = "tlsrpt";        // tlsrpt_service_name
  std::vector<std::string> sockets = {}; // for tests; empty: those of `service`
};

class TlsrptCollector {
 public:
  TlsrptCollector(ev::Loop& loop, TlsrptSetup setup);
  // Texts that are too long are cut.
  void tell(proto::TlsEvent event);

 private:
  Caller caller_;
};

// Within the bounds of the protocol: what is too long is cut, and a "..." says so. Pure.
void fit(proto::TlsEvent& event);
// Error protocol: not within the bounds, or not something that fit() could have made.
Result<void> check(const proto::TlsEvent& event);

} // namespace postrider::service
