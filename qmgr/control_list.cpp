// SPDX-License-Identifier: MIT
// Control: which messages there are, in memory and on the disk.
#include "control.hpp"

#include <algorithm>
#include <map>

#include "base/ascii.hpp"
#include "dispatch.hpp"
#include "intake.hpp"
#include "store.hpp"

namespace postrider::qmgr {

namespace {

constexpr std::size_t kScanPerPage = 20000; // index entries looked at for one answer

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

bool wants_where(const proto::Selector& select, proto::Where where) {
  return select.where.empty() ||
         std::find(select.where.begin(), select.where.end(), where) != select.where.end();
}

} // namespace

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

} // namespace postrider::qmgr
