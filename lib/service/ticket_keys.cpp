// SPDX-License-Identifier: MIT
#include "service/ticket_keys.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace postrider::service {

namespace {

bool is_good(const proto::TicketKeys& answer) {
  return answer.keys.size() <= proto::kMostTicketKeys &&
         std::all_of(answer.keys.begin(), answer.keys.end(),
                     [](const std::string& key) { return key.size() == proto::kTicketKeyBytes; });
}

} // namespace

TicketKeys::TicketKeys(ev::Loop& loop, const std::string& service, std::vector<std::string> sockets)
    : loop_(loop), service_(service),
      caller_(loop, {.name = service,
                     .sockets = sockets.empty() ? sockets_of(service) : std::move(sockets),
                     .protocol = std::string(proto::kTlsmgrProtocol),
                     .version = proto::kTlsmgrVersion,
                     .timeout = std::chrono::seconds(2)}) {}

ev::Task<std::vector<std::string>> TicketKeys::get() {
  if (to_unix_micros(loop_.clock().wall()) < known_.until) co_return known_.keys;
  proto::AskTicketKeys request;
  Result<Reply> reply = co_await caller_.call(request);
  if (reply) {
    Result<proto::TicketKeys> answer = reply->as<proto::TicketKeys>();
    if (answer && is_good(*answer))
      known_ = std::move(*answer);
    else
      log::warning(service_ + ": " + (answer ? "bad ticket keys" : answer.error().text()));
  }
  if (to_unix_micros(loop_.clock().wall()) >= known_.usable_until) known_.keys.clear();
  co_return known_.keys;
}

} // namespace postrider::service
