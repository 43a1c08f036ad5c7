// SPDX-License-Identifier: MIT
// The content of a transaction that is forwarded, and its end.
#include "forward.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace postrider::smtpd {

namespace {

constexpr std::size_t kPiece = 64U << 10;

// Of several refusals the one that is said about all. Where what was refused can be queued the next
// time, a temporary one gives it that time; where it cannot, a permanent one would keep the others
// from their mail for ever.
const Answer* worst(const std::vector<const Answer*>& refusals, bool temporary_first) {
  const int wanted = temporary_first ? 4 : 5;
  for (const Answer* answer : refusals)
    if (answer->code / 100 == wanted) return answer;
  return refusals.front();
}

} // namespace

class Forwarding::ContentSink final : public Sink {
 public:
  ContentSink(Forwarding& forwarding, const submit::MakeHead& make_head, Content content)
      : all_(forwarding), make_head_(make_head), content_(std::move(content)) {}

  std::string& pending() override { return pending_; }
  bool wants_relief() const override { return pending_.size() > kPiece; }

  ev::Task<Result<void>> relieve() override {
    if (!begun_) begin();
    if (streams_) {
      if (const std::string head = std::exchange(unsaid_head_, {}); !head.empty())
        co_await all_.transfer_->content(head);
      co_await all_.transfer_->content(pending_);
    }
    Result<void> kept;
    if (keeps_) kept = spool_.append(pending_);
    pending_.clear();
    co_return kept;
  }

  ev::Task<Result<std::optional<queue::Id>>> reserve() override {
    co_return std::optional<queue::Id>(all_.id_);
  }

  ev::Task<Result<Answer>> commit(ev::Lent<const mail::ContentFacts> facts) override {
    Result<void> relieved = co_await relieve();
    if (!relieved) co_return relieved.error();
    if (content_.is_kept) {
      const std::optional<Answer> refusal = co_await all_.route_added();
      if (refusal) co_return *refusal;
      decide();
    }
    if (queues_) co_return co_await queue(all_.envelope_, facts);
    if (all_.late_) {
      co_await play_all(facts);
    } else {
      if (content_.is_kept) co_await play_content(*all_.transfer_);
      if (!error_) co_await all_.transfer_->finish();
      if (!error_) take_answers(*all_.transfer_);
    }
    if (error_) co_return *error_;
    co_return co_await settle(facts);
  }

 private:
  // With the first of the content; filters have said by then what they have to say.
  void begin() {
    begun_ = true;
    if (!content_.is_kept) decide();
    streams_ = !content_.is_kept && !queues_ && !all_.late_;
    keeps_ = !streams_ || !all_.queued_.empty() || (all_.passed_on() > 1 && all_.is_separate());
  }
  // Nothing of the content has been said yet, and nothing about the message changes any more.
  void decide() {
    queues_ = all_.is_for_queue();
    if (!queues_ && !all_.late_ && !all_.is_up_to_date()) all_.late_ = true;
    if (queues_ || all_.late_) all_.transfer_.reset();
    if (!queues_) unsaid_head_ = head_ = make_head_(all_.id_);
  }
  void take_answers(const forward::Transfer& transfer) {
    transfer.log();
    for (const forward::Transfer::Passed& passed : transfer.passed())
      settled_.push_back({passed.recipient, passed.answer});
  }
  // What was kept, behind what stands in front of it.
  ev::Task<void> play_content(forward::Transfer& transfer) {
    co_await transfer.content(head_);
    for (std::uint64_t at = 0; at < spool_.size();) {
      const Result<ByteView> piece = spool_.read(at, kPiece);
      if (!piece) {
        error_ = piece.error();
        co_return; // and no final dot
      }
      at += piece->size();
      co_await transfer.content(*piece);
    }
  }

  // smtpd_forward_check = data: what the client has said is said again.
  ev::Task<void> play_all(ev::Lent<const mail::ContentFacts> facts) {
    std::vector<std::vector<mail::Recipient>> groups(1);
    for (const mail::Recipient& recipient : all_.envelope_.recipients) {
      if (all_.queued_.count(recipient.address) > 0) continue;
      if (all_.rules().one_recipient && !groups.back().empty()) groups.emplace_back();
      groups.back().push_back(recipient);
    }
    for (const std::vector<mail::Recipient>& group : groups)
      if (!error_) co_await play(group, facts);
  }

  ev::Task<void> play(const std::vector<mail::Recipient>& group,
                      ev::Lent<const mail::ContentFacts> facts) {
    forward::Transfer transfer(all_.servers_, all_.route_->targets, all_.envelope_, all_.asking());
    const mail::ContentFacts whole = submit::with_head(*facts, head_);
    std::vector<Answer> answers;
    Answer answer = co_await transfer.mail_to_all(whole, group, answers);
    bool refused = !forward::is_yes(answer);
    if (refused) answers.assign(group.size(), answer);
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (forward::is_yes(answers[i])) continue;
      refused = true;
      settled_.push_back({group[i], answers[i]});
    }
    // All or nobody, where nobody else would have those that were refused (F6).
    if (transfer.passed().empty() || (refused && !all_.rules().queues_rest)) co_return;
    answer = co_await transfer.data();
    if (answer.code != 354) {
      for (const forward::Transfer::Passed& passed : transfer.passed())
        settled_.push_back({passed.recipient, answer});
      co_return;
    }
    co_await play_content(transfer);
    if (error_) co_return;
    co_await transfer.finish();
    take_answers(transfer);
  }

  // One answer for all of them (F5).
  ev::Task<Result<Answer>> settle(ev::Lent<const mail::ContentFacts> facts) {
    std::vector<const Answer*> taken, refused;
    mail::Envelope rest = all_.envelope_;
    rest.recipients.clear();
    for (const mail::Recipient& recipient : all_.envelope_.recipients)
      if (all_.queued_.count(recipient.address) > 0) rest.recipients.push_back(recipient);
    for (const Settled& one : settled_) {
      (forward::is_yes(one.answer) ? taken : refused).push_back(&one.answer);
      if (!forward::is_yes(one.answer)) rest.recipients.push_back(one.recipient);
    }
    if (taken.empty()) co_return *worst(refused, all_.rules().queues_rest);
    if (rest.recipients.empty()) co_return *taken.back();
    Result<Answer> queued = co_await queue(rest, facts);
    if (!queued) {
      log::warning(all_.id_.text() + ": " + std::to_string(taken.size()) +
                   " recipients have the message; the client will send it again for " +
                   std::to_string(rest.recipients.size()) +
                   " others, because it cannot be queued: " + queued.error().text());
      co_return queued.error();
    }
    queued->text = "Ok: passed on for " + std::to_string(taken.size()) + ", " +
                   queued->text.substr(4) + " for " + std::to_string(rest.recipients.size());
    co_return queued;
  }

  ev::Task<Result<Answer>> queue(ev::Lent<const mail::Envelope> rest,
                                 ev::Lent<const mail::ContentFacts> facts) {
    const std::unique_ptr<Sink> sink = content_.open_queue(*rest, make_head_);
    for (std::uint64_t at = 0; at < spool_.size();) {
      const Result<ByteView> piece = spool_.read(at, kPiece);
      if (!piece) co_return piece.error();
      at += piece->size();
      sink->pending().append(*piece);
      Result<void> relieved;
      if (sink->wants_relief()) relieved = co_await sink->relieve();
      if (!relieved) co_return relieved.error();
    }
    co_return co_await sink->commit(facts);
  }

  Forwarding& all_;
  const submit::MakeHead& make_head_;
  const Content content_;
  bool begun_ = false;
  bool queues_ = false;
  bool streams_ = false;
  bool keeps_ = false;
  std::string pending_;
  std::string head_, unsaid_head_;
  milter::Spool spool_;
  std::vector<Settled> settled_;
  std::optional<Error> error_; // of the spool
};

std::unique_ptr<Sink> Forwarding::sink(const submit::MakeHead& make_head, Content content) {
  return std::make_unique<ContentSink>(*this, make_head, std::move(content));
}

} // namespace postrider::smtpd
