// SPDX-License-Identifier: MIT
// In front of the queue: a copy of the envelope, once it is complete, is rewritten as main.cf's
// tables say (route/rewriter.hpp); the content goes straight through.
#pragma once

#include "route/rewriter.hpp"
#include "sink.hpp"

namespace postrider::smtpd {

class EnvelopeSink final : public Sink {
 public:
  // All of these outlive it. `make_head` may complete the envelope.
  EnvelopeSink(ev::Loop& loop, submit::Submitter& submitter, route::Rewriter& rewriter,
               const mail::Envelope& envelope, const submit::MakeHead& make_head);

  std::string& pending() override { return next_.pending(); }
  bool wants_relief() const override { return next_.wants_relief(); }
  ev::Task<Result<void>> relieve() override;
  ev::Task<Result<std::optional<queue::Id>>> reserve() override { return next_.reserve(); }
  ev::Task<Result<Answer>> commit(ev::Lent<const mail::ContentFacts> facts) override;

 private:
  ev::Task<Result<void>> rewrite();

  ev::Loop& loop_;
  route::Rewriter& rewriter_;
  const mail::Envelope& envelope_;
  mail::Envelope rewritten_;
  bool is_rewritten_ = false;
  submit::MakeHead make_head_;
  QueueSink next_;
};

} // namespace postrider::smtpd
