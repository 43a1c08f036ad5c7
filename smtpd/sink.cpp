// SPDX-License-Identifier: MIT
#include "sink.hpp"

namespace postrider::smtpd {

ev::Task<Result<Answer>> QueueSink::commit(ev::Lent<const mail::ContentFacts> facts) {
  Result<queue::Id> id = co_await message_.commit(facts);
  if (!id) co_return id.error();
  co_return Answer{250, "2.0.0", "Ok: queued as " + id->text()};
}

} // namespace postrider::smtpd
