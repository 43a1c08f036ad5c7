// SPDX-License-Identifier: MIT
#include "outbox.hpp"

#include "maps/ask.hpp"

namespace postrider::bounce {

namespace {

constexpr std::chrono::seconds kPatience{100}; // for the tables' answers about one recipient

} // namespace

QueueOutbox::QueueOutbox(ev::Loop& loop, ev::Offload& offload, FileSystem& fs,
                         submit::Options options, route::Rewriter rewriter, std::string hostname,
                         std::string mail_name)
    : loop_(loop), submitter_(loop, offload, fs, std::move(options)),
      rewriter_(std::move(rewriter)), hostname_(std::move(hostname)),
      mail_name_(std::move(mail_name)) {}

ev::Task<Result<queue::Id>> QueueOutbox::submit(const Composed& report) {
  const submit::MakeHead head = [this](queue::Id id) {
    return "Received: by " + hostname_ + " (" + mail_name_ + ")\r\n\tid " + id.text() + "; " +
           rfc5322_date(loop_.clock().wall()) + "\r\n";
  };
  using Recipients = std::vector<mail::Recipient>;
  mail::Envelope envelope = report.envelope;
  const mail::Recipient to = envelope.recipients.front();
  const std::function<Result<Recipients>()> question = [&] { return rewriter_.readdressed(to); };
  Result<Recipients> found =
      co_await maps::ask<Recipients>(loop_, question, loop_.after(kPatience));
  if (!found) co_return found.error();
  envelope.recipients = std::move(*found);
  submit::Message message(submitter_, envelope, head);
  message.pending() = report.content;
  if (message.wants_spill()) {
    Result<void> spilled = co_await message.spill();
    if (!spilled) co_return spilled.error();
  }
  const ev::Lent<const mail::ContentFacts> facts(report.facts);
  Result<queue::Id> id = co_await message.commit(facts);
  co_return id;
}

} // namespace postrider::bounce
