// SPDX-License-Identifier: MIT
#include "sink.hpp"

namespace postrider::smtpd {

ev::Task<Result<std::optional<queue::Id>>> Sink::reserve() { co_return std::optional<queue::Id>(); }

ev::Task<Result<std::optional<queue::Id>>> QueueSink::reserve() {
  Result<queue::Id> id = co_await message_.reserve();
  if (!id) co_return id.error();
  co_return std::optional<queue::Id>(*id);
}

ev::Task<Result<Answer>> QueueSink::commit(ev::Lent<const mail::ContentFacts> facts) {
  Result<queue::Id> id = co_await message_.commit(facts);
  if (!id) co_return id.error();
  co_return Answer{250, "2.0.0", "Ok: queued as " + id->text()};
}

} // namespace postrider::smtpd
