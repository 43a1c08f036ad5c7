// SPDX-License-Identifier: MIT
// Control: what qmgr as a whole does.
#include "control.hpp"

#include <algorithm>

#include "dispatch.hpp"
#include "intake.hpp"

namespace postrider::qmgr {

proto::StatusAnswer Control::status(const proto::AskStatus& request) {
  proto::StatusAnswer answer;
  answer.accepting = parts_.intake->accepting();
  answer.refuse_reason = parts_.intake->refuse_reason();
  answer.incoming = parts_.intake->arrived();
  answer.active = parts_.intake->messages().size();
  if (auto size = parts_.queue.index().size(); size) answer.deferred = *size;
  for (const char letter : queue::shard_letters())
    if (auto names =
            parts_.fs.list(parts_.queue.layout().folder(queue::Folder::hold) + "/" + letter);
        names)
      answer.held += names->size();
  answer.deferred -= std::min(answer.deferred, answer.held);
  answer.in_flight = parts_.dispatch->in_flight();
  answer.accepted = parts_.counters.accepted;
  answer.delivered = parts_.counters.delivered;
  answer.bounced = parts_.counters.bounced;
  answer.deferrals = parts_.counters.deferrals;
  answer.segments = static_cast<std::uint32_t>(parts_.queue.pool().segments().size());
  answer.live_segments = parts_.queue.pool().live_segments();
  answer.lent_segments = parts_.queue.pool().lent_segments();
  const queue::Ledger& ledger = parts_.queue.ledger();
  answer.ledger_bytes = ledger.bytes_used();
  answer.ledger_lag = ledger.position() - ledger.synced();
  answer.index_stale = parts_.queue.index_is_stale();
  answer.free_bytes = parts_.intake->free_bytes();
  std::vector<const Destination*> all;
  for (const auto& [name, transport] : parts_.dispatch->transports()) {
    for (const auto& [key, destination] : transport->destinations)
      all.push_back(destination.get());
    for (const auto& agent : transport->agents) {
      proto::AgentStatus line;
      line.transport = name;
      line.pid = static_cast<std::uint32_t>(std::max<pid_t>(agent->pid(), 0));
      line.capacity = agent->capacity();
      line.in_flight = agent->in_flight();
      answer.agents.push_back(std::move(line));
    }
  }
  const auto weight = [](const Destination* d) { return d->queued() + d->in_flight; };
  const std::size_t limit =
      std::min<std::size_t>(std::min(request.destinations, 1000U), all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(limit), all.end(),
                    [&](const Destination* a, const Destination* b) {
                      return std::pair(a->state == State::dead, weight(a)) >
                             std::pair(b->state == State::dead, weight(b));
                    });
  all.resize(limit);
  for (const Destination* destination : all) {
    proto::DestinationStatus line;
    line.transport = destination->transport.name;
    line.nexthop = destination->nexthop;
    line.messages = destination->queued();
    line.in_flight = destination->in_flight;
    line.window = destination->window.size();
    line.dead = destination->state != State::ready;
    line.probe_at = line.dead ? destination->probe_at : 0;
    if (line.dead) line.reason = destination->reason.text;
    answer.destinations.push_back(std::move(line));
  }
  return answer;
}

} // namespace postrider::qmgr
