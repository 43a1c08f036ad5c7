// SPDX-License-Identifier: MIT
#include "message.hpp"

#include <algorithm>
#include <cstdio>

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

std::string format_delay(std::int64_t micros) {
  micros = std::max<std::int64_t>(micros, 0);
  char text[32];
  if (micros >= 10'000'000) {
    std::snprintf(text, sizeof text, "%lld",
                  static_cast<long long>((micros + 500'000) / 1'000'000));
  } else if (micros >= 1'000'000) {
    std::snprintf(text, sizeof text, "%.1f", static_cast<double>(micros) / 1e6);
  } else {
    std::snprintf(text, sizeof text, "%.2f", static_cast<double>(micros) / 1e6);
  }
  std::string out = text;
  if (out.find('.') != std::string::npos) {
    while (out.back() == '0')
      out.pop_back();
    if (out.back() == '.') out.pop_back();
  }
  return out;
}

void log_active(const Message& message) {
  const std::string size = std::to_string(message.state.facts.size);
  const std::string count = std::to_string(message.state.recipients.size());
  const std::string& sender = message.state.envelope.sender;
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

void log_expired(const Message& message) {
  const std::string& sender = message.state.envelope.sender;
  log::event("expired", message.id().text(),
             "from=<" + sender + ">, status=expired, returned to sender",
             {{"from", sender}, {"status", "expired"}});
}

void log_recipient(const Message& message, std::uint32_t recipient, std::string_view dsn,
                   std::string_view status, std::string_view text, std::int64_t now) {
  const mail::Recipient& to = message.state.envelope.recipients[recipient];
  const std::int64_t arrival = message.state.envelope.arrival;
  const std::string delay = format_delay(now - arrival);
  const std::string delays =
      format_delay(message.entered - arrival) + "/" + format_delay(now - message.entered) + "/0/0";
  std::string line = "to=<" + to.address + ">";
  line += ", relay=none, delay=" + delay + ", delays=" + delays;
  line.append(", dsn=").append(dsn).append(", status=").append(status);
  line.append(" (").append(text).append(")");
  log::event("delivery", message.id().text(), line,
             {{"to", to.address},
              {"relay", "none"},
              {"delay", delay},
              {"delays", delays},
              {"dsn", dsn},
              {"status", status},
              {"text", text}});
}

} // namespace postrider::qmgr
