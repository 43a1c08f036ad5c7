// SPDX-License-Identifier: MIT
// Hands reports to qmgr's intake, as smtpd does with fresh mail. The sender whom a report goes to
// may have another address by canonical_maps, or be an alias: it is rewritten like any recipient,
// but without copies.
#pragma once

#include <string>

#include "route/rewriter.hpp"
#include "service.hpp"
#include "submit/submitter.hpp"

namespace postrider::bounce {

class QueueOutbox final : public Outbox {
 public:
  QueueOutbox(ev::Loop& loop, ev::Offload& offload, FileSystem& fs, submit::Options options,
              route::Rewriter rewriter, std::string hostname, std::string mail_name);
  void start() { submitter_.start(); }
  ev::Task<Result<queue::Id>> submit(const Composed& report) override;

 private:
  ev::Loop& loop_;
  submit::Submitter submitter_;
  route::Rewriter rewriter_;
  std::string hostname_;
  std::string mail_name_;
};

} // namespace postrider::bounce
