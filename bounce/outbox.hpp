// SPDX-License-Identifier: MIT
// Hands reports to qmgr's intake, as smtpd does with fresh mail.
#pragma once

#include <string>

#include "service.hpp"
#include "submit/submitter.hpp"

namespace postrider::bounce {

class QueueOutbox final : public Outbox {
 public:
  QueueOutbox(ev::Loop& loop, ev::Offload& offload, FileSystem& fs, submit::Options options,
              std::string hostname, std::string mail_name);
  void start() { submitter_.start(); }
  ev::Task<Result<queue::Id>> submit(const Composed& report) override;

 private:
  ev::Loop& loop_;
  submit::Submitter submitter_;
  std::string hostname_;
  std::string mail_name_;
};

} // namespace postrider::bounce
