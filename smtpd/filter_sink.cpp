// SPDX-License-Identifier: MIT
#include "filter_sink.hpp"

#include "base/log.hpp"
#include "mail/header.hpp"

namespace postrider::smtpd {

FilterSink::FilterSink(SessionFilters& filters, mail::Envelope& envelope, OpenSink open,
                       const submit::MakeHead& make_head)
    : filters_(filters), envelope_(envelope), make_head_(make_head),
      finished_([this](queue::Id) { return head_; }), next_(open(finished_)) {}

ev::Task<Result<void>> FilterSink::relieve() {
  Result<void> kept = content_.append(pending_);
  pending_.clear();
  co_return kept;
}

ev::Task<Result<std::optional<queue::Id>>> FilterSink::reserve() { return next_->reserve(); }

ev::Task<Result<Answer>> FilterSink::commit(ev::Lent<const mail::ContentFacts>) {
  Result<void> kept = co_await relieve();
  if (!kept) co_return kept.error();
  Result<std::optional<queue::Id>> id = co_await next_->reserve();
  if (!id) co_return id.error();
  const std::string queued = *id ? (*id)->text() : std::string();
  filters_.set_id(queued);
  std::string head = make_head_(id->value_or(queue::Id()));
  Result<milter::Draft> draft = milter::Draft::parse(std::move(head), content_, envelope_);
  if (!draft && draft.error().kind() == ErrorKind::limit)
    co_return Answer{552, "5.3.4", "Error: message header too large"};
  if (!draft) co_return draft.error();
  const std::optional<smtp::Refusal> refusal = co_await filters_.message(*draft);
  if (refusal) co_return *refusal;
  if (!filters_.discards() && envelope_.recipients.empty())
    log::event("milter-discard", queued, "milter-discard: milters left no recipient", {});
  if (filters_.discards() || envelope_.recipients.empty())
    co_return Answer{250, "2.0.0", queued.empty() ? "Ok" : "Ok: queued as " + queued};
  Result<Answer> answer = co_await hand_on(*draft);
  co_return answer;
}

ev::Task<Result<Answer>> FilterSink::hand_on(milter::Draft& draft) {
  head_ = draft.head();
  mail::ContentScanner scanner; // of the body alone: with_head() puts the two together
  while (true) {
    const Result<ByteView> piece = draft.read_body(scanner.facts().size, kPiece);
    if (!piece) co_return piece.error();
    if (piece->empty()) break;
    scanner.feed(*piece);
    next_->pending().append(*piece);
    if (!next_->wants_relief()) continue;
    Result<void> relieved = co_await next_->relieve();
    if (!relieved) co_return relieved.error();
  }
  const mail::ContentFacts facts = scanner.facts();
  Result<Answer> answer = co_await next_->commit(facts);
  co_return answer;
}

} // namespace postrider::smtpd
