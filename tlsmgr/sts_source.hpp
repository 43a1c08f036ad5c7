// SPDX-License-Identifier: MIT
// Where policies of MTA-STS come from: DNS and HTTPS (RFC 8461 sections 3.1 and 3.3). A seam: tests
// have a source of their own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dns/lookup.hpp"
#include "http/fetch.hpp"
#include "mail/sts.hpp"

namespace postrider::tlsmgr {

class StsSource {
 public:
  virtual ~StsSource() = default;
  // WAITS. The id that DNS announces now. Error not_found: none is announced; protocol: malformed;
  // timeout, busy: DNS does not say.
  virtual ev::Task<Result<std::string>> id(const std::string& domain, ev::Deadline deadline) = 0;
  // WAITS. The policy, fetched. Error protocol, limit: what came is no policy; refused: the
  // certificate of the host is no good; any other: the host does not give it.
  virtual ev::Task<Result<mail::StsPolicy>> policy(const std::string& domain,
                                                   ev::Deadline deadline) = 0;
};

struct NetworkSourceSetup {
  dns::Setup dns;
  std::string ca_file;      // mta_sts_CAfile
  std::uint16_t port = 443; // mta_sts_port
  dns::Families families;
};

class NetworkSource final : public StsSource {
 public:
  NetworkSource(ev::Loop& loop, NetworkSourceSetup setup);
  ev::Task<Result<std::string>> id(const std::string& domain, ev::Deadline deadline) override;
  ev::Task<Result<mail::StsPolicy>> policy(const std::string& domain,
                                           ev::Deadline deadline) override;

 private:
  Result<void> begin(); // makes the resolver when the first policy is asked for

  ev::Loop& loop_;
  NetworkSourceSetup setup_;
  std::unique_ptr<dns::Resolver> resolver_;
  http::Fetcher fetcher_;
};

} // namespace postrider::tlsmgr
