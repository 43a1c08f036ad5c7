// SPDX-License-Identifier: MIT
#include "message.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace postrider::qmgr {

void EntryList::push_back(Entry& entry) {
  entry.next = nullptr;
  entry.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &entry;
  last_ = &entry;
  ++size_;
}

void EntryList::push_front(Entry& entry) {
  entry.previous = nullptr;
  entry.next = first_;
  (first_ != nullptr ? first_->previous : last_) = &entry;
  first_ = &entry;
  ++size_;
}

void EntryList::remove(Entry& entry) {
  (entry.previous != nullptr ? entry.previous->next : first_) = entry.next;
  (entry.next != nullptr ? entry.next->previous : last_) = entry.previous;
  entry.next = entry.previous = nullptr;
  --size_;
}

Entry& Message::add_entry() {
  auto entry = std::make_unique<Entry>();
  entry->message = this;
  entry->index = entries.size();
  entries.push_back(std::move(entry));
  return *entries.back();
}

void Message::remove_entry(Entry& entry) {
  const std::size_t index = entry.index;
  if (index + 1 != entries.size()) {
    std::swap(entries[index], entries.back());
    entries[index]->index = index;
  }
  entries.pop_back();
}

bool has_notify(const mail::Recipient& recipient, mail::NotifyBit bit) {
  return (recipient.notify & bit) != 0;
}

void log_active(const Message& message, const mail::LogStyle& style) {
  const std::string size = std::to_string(message.state.facts.size);
  const auto& all = message.state.envelope.recipients;
  const std::string count = std::to_string(
      std::count_if(all.begin(), all.end(), [](const auto& one) { return !one.expanded; }));
  const std::string sender = mail::log_address(message.state.envelope.sender, style);
  std::string line;
  line.reserve(64 + sender.size());
  line.append("from=<").append(sender).append(">, size=").append(size);
  line.append(", nrcpt=").append(count).append(" (queue active)");
  log::event("active", message.id().text(), line,
             {{"from", sender}, {"size", size}, {"nrcpt", count}});
}

void log_removed(const Message& message) {
  log::event("removed", message.id().text(), "removed", {});
}

void log_expired(const Message& message, const mail::LogStyle& style) {
  const std::string sender = mail::log_address(message.state.envelope.sender, style);
  log::event("expired", message.id().text(),
             "from=<" + sender + ">, status=expired, returned to sender",
             {{"from", sender}, {"status", "expired"}});
}

void log_recipient(const Message& message, std::uint32_t recipient, const mail::Outcome& outcome,
                   std::int64_t now, const mail::LogStyle& style) {
  const mail::Envelope& envelope = message.state.envelope;
  mail::Delays delays;
  delays.before_queue = message.entered - envelope.arrival;
  delays.in_queue = now - message.entered;
  mail::log_delivery(message.id().text(), envelope.recipients[recipient], outcome, delays, 0,
                     style);
}

} // namespace postrider::qmgr
