// SPDX-License-Identifier: MIT
#include "control.hpp"

#include <algorithm>
#include <fcntl.h>
#include <map>
#include <unistd.h>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "dispatch.hpp"
#include "finish.hpp"
#include "intake.hpp"
#include "store.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kScanPerPage = 20000; // index entries looked at for one answer
constexpr std::size_t kIndexPage = 500;
constexpr std::size_t kMostExamples = 10;

proto::Refused refuse(proto::Refusal why, std::string text) {
  proto::Refused refused;
  refused.why = why;
  refused.text = std::move(text);
  return refused;
}

std::string_view domain_of(std::string_view address) {
  const std::size_t at = address.rfind('@');
  return at == std::string_view::npos ? address : address.substr(at + 1);
}

bool address_matches(std::string_view pattern, std::string_view address) {
  if (pattern == "<>") return address.empty();
  if (!pattern.empty() && pattern.front() == '@')
    return iequals(pattern.substr(1), domain_of(address)) && !address.empty();
  return iequals(pattern, address);
}

bool contains(std::string_view text, std::string_view part) {
  return lowercase(text).find(lowercase(part)) != std::string::npos;
}

proto::Where where_of(const Message& message) {
  if (message.state.held) return proto::Where::held;
  switch (message.phase) {
  case Phase::arrived: return proto::Where::incoming;
  case Phase::active: return proto::Where::active;
  case Phase::storing:
  case Phase::resting: return proto::Where::deferred;
  }
  return proto::Where::active;
}

proto::Where where_of(queue::Folder folder) {
  return folder == queue::Folder::hold ? proto::Where::held : proto::Where::deferred;
}

proto::Fate fate_of(queue::Status status) {
  switch (status) {
  case queue::Status::open: return proto::Fate::open;
  case queue::Status::delivered: return proto::Fate::delivered;
  case queue::Status::bounced: return proto::Fate::bounced;
  case queue::Status::dropped: return proto::Fate::dropped;
  }
  return proto::Fate::open;
}

bool wants_where(const proto::Selector& select, proto::Where where) {
  return select.where.empty() ||
         std::find(select.where.begin(), select.where.end(), where) != select.where.end();
}

bool is_empty(const proto::Selector& select) { return select == proto::Selector{}; }

bool is_everything(const proto::Selector& select) {
  proto::Selector all;
  all.all = select.all;
  return select == all;
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

// --- the conversation --------------------------------------------------------------------------

bool Control::allowed(const ipc::Channel& channel, Right right) const {
  const std::uint32_t uid = channel.peer().uid;
  if (uid == 0 || uid == parts_.params.owner) return true;
  switch (right) {
  case Right::list: return parts_.params.may_list && parts_.params.may_list(uid);
  case Right::flush: return parts_.params.may_flush && parts_.params.may_flush(uid);
  case Right::everything: return false;
  }
  return false;
}

ev::Task<void> Control::serve(ipc::Channel& channel) {
  std::vector<queue::Place> opened; // contents that the client may still read
  while (true) {
    Result<ipc::Frame> frame = co_await channel.receive(parts_.loop.after(10min));
    if (!frame) break;
    Result<void> answered = co_await answer(channel, *frame, opened);
    if (!answered) {
      channel.send(refuse(proto::Refusal::no_sense, answered.error().text()));
      break;
    }
  }
  for (const queue::Place& place : opened)
    parts_.queue.close_content(place);
}

ev::Task<void> Control::serve_trigger(ipc::Channel& channel) {
  Result<ipc::Frame> frame = co_await channel.receive(parts_.loop.after(10s));
  if (!frame) co_return;
  Result<proto::Trigger> trigger = ipc::as<proto::Trigger>(*frame);
  if (!trigger || !allowed(channel, Right::flush)) co_return;
  if (trigger->kind == proto::TriggerKind::flush)
    flush({});
  else
    parts_.intake->look_at_disk();
}

void Control::flush(const std::string& domain) {
  parts_.dispatch->flush(domain);
  if (domain.empty()) parts_.intake->want_all();
  parts_.dispatch->pump();
}

ev::Task<Result<void>> Control::answer(ipc::Channel& channel, const ipc::Frame& frame,
                                       std::vector<queue::Place>& opened) {
  const auto not_allowed = [&](Right right) {
    if (allowed(channel, right)) return false;
    channel.send(refuse(proto::Refusal::not_allowed, "you are not allowed to do that"));
    return true;
  };
  const auto not_found = [&](const Error& error) {
    channel.send(refuse(proto::Refusal::not_found, error.text()));
  };
  if (frame.type == proto::ListQueue::kType || frame.type == proto::CountQueue::kType ||
      frame.type == proto::Act::kType) {
    // What was parked a moment ago must not be missing; a slow disk is no reason not to answer.
    Result<void> indexed = co_await parts_.store->wait_indexed(parts_.loop.after(2s));
    if (!indexed && indexed.error().kind() != ErrorKind::timeout) co_return indexed.error();
  }
  switch (frame.type) {
  case proto::ListQueue::kType: {
    POSTRIDER_CO_TRY(const auto request, decode<proto::ListQueue>(frame.body));
    if (!not_allowed(Right::list)) channel.send(list(request));
    co_return Result<void>();
  }
  case proto::CountQueue::kType: {
    POSTRIDER_CO_TRY(const auto request, decode<proto::CountQueue>(frame.body));
    if (!not_allowed(Right::list)) channel.send(count(request));
    co_return Result<void>();
  }
  case proto::AskStatus::kType: {
    POSTRIDER_CO_TRY(const auto request, decode<proto::AskStatus>(frame.body));
    if (!not_allowed(Right::list)) channel.send(status(request));
    co_return Result<void>();
  }
  case proto::Why::kType: {
    POSTRIDER_CO_TRY(const auto request, decode<proto::Why>(frame.body));
    if (not_allowed(Right::list)) co_return Result<void>();
    const auto found = why(request.id);
    if (found)
      channel.send(*found);
    else
      not_found(found.error());
    co_return Result<void>();
  }
  case proto::Cat::kType: {
    POSTRIDER_CO_TRY(const auto request, decode<proto::Cat>(frame.body));
    if (not_allowed(Right::everything)) co_return Result<void>();
    Fd fd;
    const auto found = cat(request.id, fd, opened);
    if (found)
      channel.send(*found, std::move(fd));
    else
      not_found(found.error());
    co_return Result<void>();
  }
  case proto::Act::kType: {
    POSTRIDER_CO_TRY(const proto::Act request, decode<proto::Act>(frame.body));
    const bool is_flush = request.action == proto::Action::flush;
    if (not_allowed(is_flush ? Right::flush : Right::everything)) co_return Result<void>();
    if (!is_flush && is_empty(request.select)) {
      channel.send(refuse(proto::Refusal::no_sense, "say which messages, or ALL"));
      co_return Result<void>();
    }
    const ev::Lent<const proto::Act> lent(request);
    Result<proto::Acted> acted = co_await act(lent);
    if (acted)
      channel.send(*acted);
    else
      channel.send(refuse(proto::Refusal::not_now, acted.error().text()));
    co_return Result<void>();
  }
  default: co_return Error(ErrorKind::protocol, "unknown request " + std::to_string(frame.type));
  }
}

// --- which messages ----------------------------------------------------------------------------

bool Control::matches(const proto::Selector& select, const Message& message) const {
  if (!wants_where(select, where_of(message))) return false;
  const queue::MessageState& state = message.state;
  if (!select.sender.empty() && !address_matches(select.sender, state.envelope.sender))
    return false;
  bool destination = select.destination.empty();
  bool recipient = select.recipient.empty();
  bool reason = select.reason.empty();
  for (std::size_t i = 0; i < state.recipients.size(); ++i) {
    if (queue::is_settled(state.recipients[i])) continue;
    const std::string& address = state.envelope.recipients[i].address;
    if (!destination && iequals(select.destination, domain_of(address))) destination = true;
    if (!recipient && address_matches(select.recipient, address)) recipient = true;
    if (!reason && contains(state.recipients[i].last.text, select.reason)) reason = true;
  }
  for (const auto& entry : message.entries)
    if (!destination && iequals(select.destination, entry->destination->nexthop))
      destination = true;
  return destination && recipient && reason;
}

bool Control::matches(const proto::Selector& select, const queue::IndexEntry& entry) {
  if (!wants_where(select, where_of(entry.folder))) return false;
  if (!select.sender.empty() && !address_matches(select.sender, entry.sender)) return false;
  if (!select.reason.empty() && !contains(entry.reason, select.reason)) return false;
  if (!select.destination.empty() &&
      std::none_of(entry.destinations.begin(), entry.destinations.end(),
                   [&](const std::string& d) { return iequals(d, select.destination); }))
    return false;
  if (select.recipient.empty() || address_matches(select.recipient, entry.first_recipient))
    return true;
  if (entry.open_recipients <= 1) return false;
  const auto waiting = read_waiting(queue::Id(entry.number));
  if (!waiting) return false;
  for (std::size_t i = 0; i < waiting->state.recipients.size(); ++i)
    if (!queue::is_settled(waiting->state.recipients[i]) &&
        address_matches(select.recipient, waiting->state.envelope.recipients[i].address))
      return true;
  return false;
}

std::vector<const Message*> Control::matching_in_memory(const proto::Selector& select,
                                                        queue::Id after) {
  std::vector<const Message*> found;
  for (const auto& [id, message] : parts_.intake->messages())
    if (id > after && matches(select, *message)) found.push_back(message.get());
  std::sort(found.begin(), found.end(),
            [](const Message* a, const Message* b) { return a->id() < b->id(); });
  return found;
}

Result<Control::OnDisk> Control::read_waiting(queue::Id id) {
  if (parts_.store->is_finished(id))
    return Error(ErrorKind::not_found, id.text() + " is not in the queue any more");
  for (const queue::Folder folder : {queue::Folder::deferred, queue::Folder::hold}) {
    const std::string path = parts_.queue.layout().file(folder, id);
    auto contents = queue::read_message_file(parts_.fs, path, queue::Check::envelope);
    if (contents) return OnDisk{std::move(contents->state), folder};
    if (contents.error().kind() != ErrorKind::not_found) return contents.error();
  }
  return Error(ErrorKind::not_found, id.text() + " is not in the queue");
}

// --- views -------------------------------------------------------------------------------------

proto::QueueItem Control::item_of(const Message& message, std::uint32_t recipients) const {
  const queue::MessageState& state = message.state;
  proto::QueueItem item;
  item.id = message.id().text();
  item.where = where_of(message);
  item.size = state.facts.size;
  item.arrival = state.envelope.arrival;
  item.next_try = message.phase == Phase::active ? 0 : queue::due_at(state);
  item.sender = state.envelope.sender;
  for (std::size_t i = 0; i < state.recipients.size(); ++i) {
    if (queue::is_settled(state.recipients[i])) continue;
    ++item.open_recipients;
    const std::string& address = state.envelope.recipients[i].address;
    if (item.recipients.size() < recipients)
      item.recipients.push_back({address, state.recipients[i].last.text});
    if (item.reason.empty()) item.reason = state.recipients[i].last.text;
    const std::string domain(domain_of(address));
    if (item.destinations.size() < 16 &&
        std::find(item.destinations.begin(), item.destinations.end(), domain) ==
            item.destinations.end())
      item.destinations.push_back(domain);
  }
  if (state.held && !state.hold_reason.empty()) item.reason = state.hold_reason;
  return item;
}

proto::QueueItem Control::item_of(const queue::IndexEntry& entry, std::uint32_t recipients) {
  proto::QueueItem item;
  item.id = queue::Id(entry.number).text();
  item.where = where_of(entry.folder);
  item.size = entry.size;
  item.arrival = entry.arrival;
  item.next_try = entry.due;
  item.sender = entry.sender;
  item.open_recipients = entry.open_recipients;
  item.destinations = entry.destinations;
  item.reason = entry.reason;
  if (recipients > 1 && entry.open_recipients > 1) {
    if (const auto waiting = read_waiting(queue::Id(entry.number)); waiting) {
      const queue::MessageState& state = waiting->state;
      for (std::size_t i = 0; i < state.recipients.size(); ++i)
        if (!queue::is_settled(state.recipients[i]) && item.recipients.size() < recipients)
          item.recipients.push_back(
              {state.envelope.recipients[i].address, state.recipients[i].last.text});
    }
  }
  if (item.recipients.empty() && recipients > 0)
    item.recipients.push_back({entry.first_recipient, entry.reason});
  return item;
}

proto::QueuePage Control::list(const proto::ListQueue& request) {
  proto::QueuePage page;
  page.stale = parts_.queue.index_is_stale();
  const std::uint32_t limit = std::clamp(request.limit, 1U, proto::kMostPerPage);
  const std::uint32_t recipients = std::min(request.recipients, 1000U);
  if (!request.select.ids.empty()) {
    for (const std::string& text : request.select.ids) {
      if (page.items.size() >= limit) break;
      const auto id = queue::Id::parse(text);
      if (!id) continue;
      if (const Message* message = parts_.intake->find(*id)) {
        if (matches(request.select, *message)) page.items.push_back(item_of(*message, recipients));
      } else if (auto entry = parts_.queue.index().find(*id); entry && *entry) {
        if (matches(request.select, **entry)) page.items.push_back(item_of(**entry, recipients));
      }
    }
    return page;
  }
  const queue::Id after = queue::Id::parse(request.after).value_or(queue::Id());
  struct Row {
    queue::Id id;
    const Message* message = nullptr;
    const queue::IndexEntry* entry = nullptr;
  };
  std::vector<queue::IndexEntry> waiting;
  queue::Id scanned = after;
  bool exhausted = false;
  for (std::size_t seen = 0; !exhausted && seen < kScanPerPage && waiting.size() <= limit;) {
    auto some = parts_.queue.index().page(scanned, kIndexPage);
    if (!some || some->empty()) {
      exhausted = true;
      break;
    }
    seen += some->size();
    exhausted = some->size() < kIndexPage;
    for (queue::IndexEntry& entry : *some) {
      scanned = queue::Id(entry.number);
      if (parts_.intake->find(scanned) != nullptr || !matches(request.select, entry)) continue;
      waiting.push_back(std::move(entry));
    }
  }
  std::vector<Row> rows;
  for (const Message* message : matching_in_memory(request.select, after))
    if (exhausted || message->id() <= scanned)
      rows.push_back({.id = message->id(), .message = message});
  for (const queue::IndexEntry& entry : waiting)
    rows.push_back({.id = queue::Id(entry.number), .entry = &entry});
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.id < b.id; });
  page.more = rows.size() > limit || !exhausted;
  if (rows.size() > limit) {
    rows.resize(limit);
    scanned = rows.back().id;
  }
  if (page.more) page.next = scanned.text();
  for (const Row& row : rows)
    page.items.push_back(row.message != nullptr ? item_of(*row.message, recipients)
                                                : item_of(*row.entry, recipients));
  return page;
}

proto::QueueCounts Control::count(const proto::CountQueue& request) {
  proto::QueueCounts counts;
  counts.stale = parts_.queue.index_is_stale();
  const std::uint32_t limit = std::clamp(request.limit, 1U, 10000U);
  std::map<std::string, proto::CountLine> lines;
  const auto add = [&](const std::string& name, std::uint64_t active, std::uint64_t waiting) {
    proto::CountLine& line = lines[name];
    line.name = name;
    line.active += active;
    line.waiting += waiting;
  };
  for (const auto& [id, message] : parts_.intake->messages()) {
    if (request.by == proto::CountBy::where) {
      add(std::string(proto::to_string(where_of(*message))), 1, 0);
      continue;
    }
    const proto::QueueItem item = item_of(*message, 0);
    if (request.by == proto::CountBy::reason)
      add(item.reason, 1, 0);
    else
      for (const std::string& name : item.destinations)
        add(name, 1, 0);
  }
  queue::Index& index = parts_.queue.index();
  switch (request.by) {
  case proto::CountBy::where:
    if (auto size = index.size(); size) add("waiting on disk", 0, *size);
    break;
  case proto::CountBy::destination:
    if (auto some = index.destinations(limit); some)
      for (const queue::Tally& tally : *some)
        add(tally.name, 0, tally.messages);
    break;
  case proto::CountBy::reason:
    if (auto some = index.reasons(limit); some)
      for (const queue::Tally& tally : *some)
        add(tally.name, 0, tally.messages);
    break;
  }
  for (auto& [name, line] : lines)
    counts.lines.push_back(std::move(line));
  std::stable_sort(counts.lines.begin(), counts.lines.end(), [](const auto& a, const auto& b) {
    return a.active + a.waiting > b.active + b.waiting;
  });
  if (counts.lines.size() > limit) counts.lines.resize(limit);
  return counts;
}

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

// --- one message -------------------------------------------------------------------------------

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
      if (const auto route = parts_.around.route(line.address, envelope.sender); route) {
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

// --- actions -----------------------------------------------------------------------------------

namespace {

Intake::Wish wish_of(proto::Action action) {
  switch (action) {
  case proto::Action::flush:
  case proto::Action::retry: return Intake::Wish::retry;
  case proto::Action::hold: return Intake::Wish::hold;
  case proto::Action::release: return Intake::Wish::release;
  case proto::Action::requeue: return Intake::Wish::requeue;
  case proto::Action::remove: return Intake::Wish::drop;
  }
  return Intake::Wish::none;
}

// Would the action change a message that stands there?
bool applies(proto::Action action, proto::Where where) {
  switch (action) {
  case proto::Action::flush:
  case proto::Action::retry: return where == proto::Where::deferred;
  case proto::Action::hold: return where != proto::Where::held;
  case proto::Action::release: return where == proto::Where::held;
  case proto::Action::requeue:
  case proto::Action::remove: return true;
  }
  return true;
}

} // namespace

ev::Task<Result<proto::Acted>> Control::act(ev::Lent<const proto::Act> request) {
  proto::Acted acted;
  const proto::Selector& select = request->select;
  const proto::Action action = request->action;
  const Intake::Wish wish = wish_of(action);
  if (action == proto::Action::flush && !request->dry_run)
    parts_.dispatch->flush(select.destination);
  if (action == proto::Action::flush && is_everything(select)) {
    // All at once, without a list of a million ids.
    if (auto size = parts_.queue.index().size(); size) acted.matched = *size;
    acted.changed = acted.matched;
    if (!request->dry_run) parts_.intake->want_all();
    parts_.dispatch->pump();
    co_return std::move(acted);
  }
  const std::string reason =
      request->reason.empty() ? "held by the operator" : request->reason.substr(0, 512);
  std::vector<queue::Id> chosen;
  const auto choose = [&](queue::Id id, proto::Where where, bool in_delivery) {
    ++acted.matched;
    if (acted.examples.size() < kMostExamples) acted.examples.push_back(id.text());
    if (!applies(action, where)) return;
    ++acted.changed;
    if (in_delivery) ++acted.in_delivery;
    chosen.push_back(id);
  };
  if (!select.ids.empty()) {
    for (const std::string& text : select.ids) {
      const auto id = queue::Id::parse(text);
      bool found = false;
      if (id) {
        if (const Message* message = parts_.intake->find(*id)) {
          found = matches(select, *message);
          if (found) choose(*id, where_of(*message), message->in_flight > 0);
        } else if (const auto waiting = read_waiting(*id); waiting) {
          const queue::IndexEntry entry = queue::make_entry(waiting->state, waiting->folder, {});
          proto::Selector rest = select;
          rest.destination.clear();
          found = matches(rest, entry);
          if (found) choose(*id, where_of(waiting->folder), false);
        }
      }
      if (!found) ++acted.not_found;
    }
  } else {
    for (const Message* message : matching_in_memory(select, queue::Id()))
      choose(message->id(), where_of(*message), message->in_flight > 0);
    queue::Id after;
    while (true) {
      auto page = parts_.queue.index().page(after, kIndexPage);
      if (!page) co_return page.error();
      for (const queue::IndexEntry& entry : *page) {
        after = queue::Id(entry.number);
        if (parts_.intake->find(after) == nullptr && matches(select, entry))
          choose(after, where_of(entry.folder), false);
      }
      if (page->size() < kIndexPage) break;
      // Others get their turn between two pages.
      Result<void> slept = co_await ev::SleepUntil(parts_.loop, parts_.loop.after(0ms));
      if (!slept) co_return slept.error();
    }
  }
  if (request->dry_run) co_return std::move(acted);
  for (const queue::Id id : chosen)
    parts_.intake->wish(id, wish, reason);
  if (!chosen.empty())
    log::info("operator: " + std::to_string(chosen.size()) + " messages: " +
              (action == proto::Action::remove    ? "delete"
               : action == proto::Action::hold    ? "hold"
               : action == proto::Action::release ? "release"
               : action == proto::Action::requeue ? "requeue"
                                                  : "retry"));
  // The answer comes when it is done, or nearly: what is shown next should be true.
  const SteadyTime limit = parts_.loop.now() + 5s;
  bool settled = false;
  while (!settled && parts_.loop.now() < limit) {
    Result<void> slept = co_await ev::SleepUntil(parts_.loop, parts_.loop.after(20ms));
    if (!slept) break;
    settled = parts_.intake->wishes() == 0 && parts_.store->waiting() == 0 &&
              parts_.store->jobs() == 0 && !parts_.queue.index_needs_write();
  }
  co_return std::move(acted);
}

} // namespace postrider::qmgr
