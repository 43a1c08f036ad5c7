// SPDX-License-Identifier: MIT
// What happened to a message since it was read or written, as the ledger has it: one mark behind
// the other, kept with each active message so that the ledger can be written anew from memory.
// Internal to the queue.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.hpp"
#include "queue/journal.hpp"
#include "queue/ledger.hpp"
#include "queue/state.hpp"

namespace postrider::queue {

inline std::uint8_t number_of(EventKind kind) { return static_cast<std::uint8_t>(kind); }

// Of a segment as a whole.
inline MarkKey key_of(const SegmentInfo& info) { return {Id(info.loan), info.segment, info.tag}; }

void put_mark(std::string& out, std::uint8_t kind, ByteView body);
void put_events(std::string& out, const std::vector<Event>& events);
std::vector<Event> to_events(ByteView marks);

// Visits the marks put_mark() wrote.
template <typename Visit>
void each_mark(ByteView marks, Visit visit) {
  while (!marks.empty()) {
    const auto kind = static_cast<std::uint8_t>(marks[0]);
    const std::uint32_t length = get_le<std::uint32_t>(marks.substr(1));
    visit(kind, marks.substr(5, length));
    marks.remove_prefix(5 + length);
  }
}

} // namespace postrider::queue
