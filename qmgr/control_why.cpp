// SPDX-License-Identifier: MIT
// Control: one message, and what it waits for.
#include "control.hpp"

#include <fcntl.h>
#include <map>

#include "dispatch.hpp"
#include "intake.hpp"
#include "store.hpp"

namespace postrider::qmgr {

namespace {

proto::Fate fate_of(queue::Status status) {
  switch (status) {
  case queue::Status::open: return proto::Fate::open;
  case queue::Status::delivered: return proto::Fate::delivered;
  case queue::Status::bounced: return proto::Fate::bounced;
  case queue::Status::dropped: return proto::Fate::dropped;
  }
  return proto::Fate::open;
}

std::string gate_text(mail::Gate gate, const queue::MessageState& state) {
  switch (gate) {
  case mail::Gate::none: return "nothing: it may go at once";
  case mail::Gate::retry_timer: return "the time of the next try has not come";
  case mail::Gate::destination_backed_off: return "its destination could not be reached";
  case mail::Gate::concurrency_full: return "its destination has as many deliveries as it may";
  case mail::Gate::rate_limit: return "its destination gets mail at a limited rate";
  case mail::Gate::held:
    return "held" + (state.hold_reason.empty() ? std::string() : ": " + state.hold_reason);
  case mail::Gate::tls_policy: return "its TLS policy cannot be met";
  case mail::Gate::no_agent: return "its transport has no process that could deliver it";
  case mail::Gate::queue_full: return "it waits on the disk for room in memory";
  }
  return {};
}

} // namespace

proto::WhyAnswer Control::explain(const queue::MessageState& state, proto::Where where,
                                  const Message* message) {
  proto::WhyAnswer answer;
  const mail::Envelope& envelope = state.envelope;
  answer.id = state.id.text();
  answer.where = where;
  answer.hold_reason = state.hold_reason;
  answer.strikes = state.strikes;
  answer.sender = envelope.sender;
  answer.arrival = envelope.arrival;
  const RetryLimits& retry = parts_.params.retry;
  answer.expires =
      envelope.arrival +
      (envelope.sender.empty() ? std::min(retry.bounce_lifetime, retry.lifetime) : retry.lifetime);
  answer.size = state.facts.size;
  answer.message_id = envelope.message_id;
  if (!envelope.client_address.empty())
    answer.client = envelope.client_name + "[" + envelope.client_address + "]";
  std::map<std::uint32_t, const Entry*> entries;
  if (message != nullptr)
    for (const auto& entry : message->entries)
      if (entry->errand == Errand::deliver)
        for (const std::uint32_t index : entry->recipients)
          entries[index] = entry.get();
  constexpr std::size_t kMostRecipients = 1000;
  for (std::uint32_t i = 0; i < state.recipients.size(); ++i) {
    if (answer.recipients.size() >= kMostRecipients) break;
    const queue::RecipientState& one = state.recipients[i];
    proto::WhyRecipient line;
    line.address = envelope.recipients[i].address;
    line.fate = fate_of(one.status);
    line.attempts = one.attempts;
    line.in_doubt = one.in_doubt;
    line.next_try = one.next_try;
    line.last = one.last;
    line.gate = one.gate;
    if (!queue::is_settled(one)) {
      if (state.held) line.gate = mail::Gate::held;
      line.gate_text = gate_text(line.gate, state);
      if (message != nullptr && message->phase == Phase::arrived) {
        line.gate = mail::Gate::queue_full;
        line.gate_text = "it waits for room among the active messages";
      }
      if (const auto found = entries.find(i); found != entries.end()) {
        const Dispatch::Standing standing = parts_.dispatch->standing(*found->second);
        line.in_flight = standing.in_flight;
        line.gate = standing.gate;
        line.gate_text = standing.text;
        line.next_try = 0;
      }
      if (const auto route = parts_.around.route(line.address, envelope); route) {
        line.transport = route->transport;
        line.nexthop = route->nexthop;
      }
    }
    answer.recipients.push_back(std::move(line));
  }
  return answer;
}

Result<proto::WhyAnswer> Control::why(const std::string& text) {
  const auto id = queue::Id::parse(text);
  if (!id) return Error(ErrorKind::not_found, "that is not a queue id");
  if (const Message* message = parts_.intake->find(*id))
    return explain(message->state, where_of(*message), message);
  POSTRIDER_TRY(OnDisk waiting, read_waiting(*id));
  // The index knows of a suspension that the file does not.
  if (auto entry = parts_.queue.index().find(*id); entry && *entry) {
    for (queue::RecipientState& one : waiting.state.recipients) {
      if (queue::is_settled(one)) continue;
      if (one.next_try < (*entry)->due) {
        one.next_try = (*entry)->due;
        if (one.gate == mail::Gate::none) one.gate = mail::Gate::retry_timer;
      }
      if (one.last.text.empty()) one.last.text = (*entry)->reason;
    }
  }
  return explain(waiting.state, where_of(waiting.folder), nullptr);
}

Result<proto::CatAnswer> Control::cat(const std::string& text, Fd& fd,
                                      std::vector<queue::Place>& opened) {
  const auto id = queue::Id::parse(text);
  if (!id) return Error(ErrorKind::not_found, "that is not a queue id");
  const auto fill = [&](const queue::MessageState& state, proto::Where where) {
    proto::CatAnswer answer;
    answer.id = id->text();
    answer.content_offset = state.content_offset;
    answer.size = state.facts.size;
    answer.header_size = state.facts.header_size;
    answer.where = where;
    answer.envelope = state.envelope;
    return answer;
  };
  if (const Message* message = parts_.intake->find(*id)) {
    if (opened.size() >= 64) return Error(ErrorKind::limit, "too many contents at once");
    const queue::Place& place = message->state.place;
    POSTRIDER_TRY(fd,
                  parts_.queue.open_content(
                      place, *id, parts_.queue.folder_of(*id).value_or(queue::Folder::incoming)));
    opened.push_back(place);
    return fill(message->state, where_of(*message));
  }
  POSTRIDER_TRY(OnDisk waiting, read_waiting(*id));
  POSTRIDER_TRY(fd, parts_.fs.open(parts_.queue.layout().file(waiting.folder, *id), O_RDONLY));
  return fill(waiting.state, where_of(waiting.folder));
}

} // namespace postrider::qmgr
