// SPDX-License-Identifier: MIT
// Where the content of one message goes: into the queue, to the next server while the client waits,
// through filters to either of these. Sinks stand one in front of another; what comes out of the
// last one is the reply to the final dot.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "ev/task.hpp"
#include "mail/envelope.hpp"
#include "smtp/command.hpp"
#include "submit/submitter.hpp"

namespace postrider::smtpd {

// The reply to a whole message: 250 promises delivery.
using Answer = smtp::Refusal;

class Sink {
 public:
  virtual ~Sink() = default;
  // Content goes in at the end of this, with CRLF line ends and without dot-stuffing; then call
  // relieve() when wants_relief() says so, so that memory stays bounded.
  virtual std::string& pending() = 0;
  virtual bool wants_relief() const = 0;
  virtual ev::Task<Result<void>> relieve() = 0;
  // The queue id, where there is one, ahead of commit(): for filters, which want to know it.
  virtual ev::Task<Result<std::optional<queue::Id>>> reserve();
  // All of the content is there; `facts` are its facts. WAITS until somebody else is responsible
  // for it, or has refused it. Error busy: the queue is full (452); any other: 451.
  virtual ev::Task<Result<Answer>> commit(ev::Lent<const mail::ContentFacts> facts) = 0;
};

// Makes a sink once the content begins. `make_head` makes what we put in front of it.
using OpenSink = std::function<std::unique_ptr<Sink>(const submit::MakeHead& make_head)>;

// The same for a part of the message that is queued after all; `envelope` outlives the sink.
using OpenQueue = std::function<std::unique_ptr<Sink>(const mail::Envelope& envelope,
                                                      const submit::MakeHead& make_head)>;

class QueueSink final : public Sink {
 public:
  QueueSink(submit::Submitter& submitter, const mail::Envelope& envelope,
            const submit::MakeHead& make_head)
      : message_(submitter, envelope, make_head) {}
  std::string& pending() override { return message_.pending(); }
  bool wants_relief() const override { return message_.wants_spill(); }
  ev::Task<Result<void>> relieve() override { return message_.spill(); }
  ev::Task<Result<std::optional<queue::Id>>> reserve() override;
  ev::Task<Result<Answer>> commit(ev::Lent<const mail::ContentFacts> facts) override;

 private:
  submit::Message message_;
};

} // namespace postrider::smtpd
