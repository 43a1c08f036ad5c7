// SPDX-License-Identifier: MIT
// Outlet: how the Reporter finds out where reports go, and gets them there. A seam: tests have one
// of their own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "daemon/program.hpp"
#include "dns/lookup.hpp"
#include "http/fetch.hpp"
#include "report.hpp"
#include "submit/submitter.hpp"

namespace postrider::tlsrpt {

class Outlet {
 public:
  virtual ~Outlet() = default;
  // WAITS. As parse_record() has them. Error not_found: the domain wants no reports; any other: DNS
  // does not say.
  virtual ev::Task<Result<std::vector<std::string>>> addresses(const std::string& domain,
                                                               ev::Deadline deadline) = 0;
  // WAITS until the message is in the queue; the text is its queue id.
  virtual ev::Task<Result<std::string>> mail(const Composed& message) = 0;
  // WAITS for the answer. Error: it was no success.
  virtual ev::Task<Result<std::string>> post(const std::string& url, const std::string& packed,
                                             ev::Deadline deadline) = 0;
};

struct NetworkOutletSetup {
  dns::Setup dns;
  dns::Families families;
  std::string ca_file; // tlsrpt_CAfile
  submit::Options submit;
  std::string hostname, mail_name;
};

class NetworkOutlet final : public Outlet {
 public:
  NetworkOutlet(ev::Loop& loop, ev::Offload& offload, NetworkOutletSetup setup);
  ev::Task<Result<std::vector<std::string>>> addresses(const std::string& domain,
                                                       ev::Deadline deadline) override;
  ev::Task<Result<std::string>> mail(const Composed& message) override;
  ev::Task<Result<std::string>> post(const std::string& url, const std::string& packed,
                                     ev::Deadline deadline) override;

 private:
  Result<void> begin(); // makes what is only needed once there is a report

  ev::Loop& loop_;
  ev::Offload& offload_;
  NetworkOutletSetup setup_;
  std::unique_ptr<dns::Resolver> resolver_;
  std::unique_ptr<submit::Submitter> submitter_;
  http::Fetcher fetcher_;
};

} // namespace postrider::tlsrpt
