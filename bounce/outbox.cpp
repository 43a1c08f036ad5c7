// SPDX-License-Identifier: MIT
#include "outbox.hpp"

namespace postrider::bounce {

QueueOutbox::QueueOutbox(ev::Loop& loop, ev::Offload& offload, FileSystem& fs,
                         submit::Options options, std::string hostname, std::string mail_name)
    : loop_(loop), submitter_(loop, offload, fs, std::move(options)),
      hostname_(std::move(hostname)), mail_name_(std::move(mail_name)) {}

ev::Task<Result<queue::Id>> QueueOutbox::submit(const Composed& report) {
  const submit::MakeHead head = [this](queue::Id id) {
    return "Received: by " + hostname_ + " (" + mail_name_ + ")\r\n\tid " + id.text() + "; " +
           rfc5322_date(loop_.clock().wall()) + "\r\n";
  };
  submit::Message message(submitter_, report.envelope, head);
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
