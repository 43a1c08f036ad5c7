// SPDX-License-Identifier: MIT
#include "envelope_sink.hpp"

#include <unordered_set>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "maps/ask.hpp"

namespace postrider::smtpd {

namespace {

constexpr std::chrono::seconds kPatience{100}; // for all answers about one recipient

// One recipient once. What the client asked for makes a difference: who wants a report gets it.
class Seen {
 public:
  bool add(const mail::Recipient& r) {
    return keys_.insert(lowercase(r.address) + "\n" + r.orcpt + "\n" + std::to_string(r.notify))
        .second;
  }

 private:
  std::unordered_set<std::string> keys_;
};

} // namespace

EnvelopeSink::EnvelopeSink(ev::Loop& loop, submit::Submitter& submitter, route::Rewriter& rewriter,
                           const mail::Envelope& envelope, const submit::MakeHead& make_head)
    : loop_(loop), rewriter_(rewriter), envelope_(envelope),
      make_head_([this, &make_head](queue::Id id) {
        std::string head = make_head(id);
        rewritten_.message_id = envelope_.message_id;
        return head;
      }),
      next_(submitter, rewritten_, make_head_) {}

ev::Task<Result<void>> EnvelopeSink::relieve() {
  Result<void> rewritten = co_await rewrite();
  if (!rewritten) co_return rewritten.error();
  Result<void> relieved = co_await next_.relieve();
  co_return relieved;
}

ev::Task<Result<Answer>> EnvelopeSink::commit(ev::Lent<const mail::ContentFacts> facts) {
  Result<void> rewritten = co_await rewrite();
  if (!rewritten) {
    log::warning(rewritten.error().text() + " -- message not accepted, try again later");
    if (rewritten.error().kind() == ErrorKind::limit)
      co_return Answer{451, "4.6.0", "Alias expansion error"};
    co_return Answer{451, "4.3.0", "Error: queue file write error"};
  }
  Result<Answer> answer = co_await next_.commit(facts);
  co_return std::move(answer);
}

ev::Task<Result<void>> EnvelopeSink::rewrite() {
  if (is_rewritten_) co_return Result<void>();
  is_rewritten_ = true;
  rewritten_ = envelope_;
  const std::function<Result<route::Rewriter::Sender>()> question = [&] {
    return rewriter_.sender(envelope_.sender);
  };
  Result<route::Rewriter::Sender> sender =
      co_await maps::ask<route::Rewriter::Sender>(loop_, question, loop_.after(kPatience));
  if (!sender) co_return sender.error();
  rewritten_.sender = std::move(sender->address);
  rewritten_.recipients.clear();

  using Recipients = std::vector<mail::Recipient>;
  Seen seen;
  const auto add = [&](Recipients& found) {
    for (mail::Recipient& one : found)
      if (seen.add(one)) rewritten_.recipients.push_back(std::move(one));
  };
  for (const mail::Recipient& recipient : envelope_.recipients) {
    const std::function<Result<Recipients>()> about = [&] {
      return rewriter_.recipients(recipient);
    };
    Result<Recipients> found = co_await maps::ask<Recipients>(loop_, about, loop_.after(kPatience));
    if (!found) co_return found.error();
    add(*found);
  }
  const std::string copies[] = {rewriter_.always_copy(), sender->copy.value_or("")};
  for (const std::string& to : copies) {
    if (to.empty()) continue;
    const std::function<Result<Recipients>()> about = [&] { return rewriter_.copies(to); };
    Result<Recipients> found = co_await maps::ask<Recipients>(loop_, about, loop_.after(kPatience));
    if (!found) co_return found.error();
    add(*found);
  }
  co_return Result<void>();
}

} // namespace postrider::smtpd
