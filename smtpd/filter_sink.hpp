// SPDX-License-Identifier: MIT
// The sink that shows a message to the filters before it goes on: the content waits in a Spool; at
// its end the filters see it, one after the other, and what they leave of it goes into the next
// sink, as a whole new content with facts of its own.
#pragma once

#include "filters.hpp"
#include "milter/spool.hpp"
#include "sink.hpp"

namespace postrider::smtpd {

class FilterSink final : public Sink {
 public:
  // All outlive it but `open`, which makes the sink behind.
  FilterSink(SessionFilters& filters, mail::Envelope& envelope, OpenSink open,
             const submit::MakeHead& make_head);

  std::string& pending() override { return pending_; }
  bool wants_relief() const override { return pending_.size() > kPiece; }
  ev::Task<Result<void>> relieve() override;
  ev::Task<Result<std::optional<queue::Id>>> reserve() override;
  ev::Task<Result<Answer>> commit(ev::Lent<const mail::ContentFacts> facts) override;

 private:
  static constexpr std::size_t kPiece = 64U << 10;
  ev::Task<Result<Answer>> hand_on(milter::Draft& draft);

  SessionFilters& filters_;
  mail::Envelope& envelope_;
  const submit::MakeHead& make_head_;
  submit::MakeHead finished_; // gives head_
  std::string head_;          // the whole header, once the filters have seen it
  std::unique_ptr<Sink> next_;
  std::string pending_;
  milter::Spool content_;
};

} // namespace postrider::smtpd
