// SPDX-License-Identifier: MIT
#include "queue/marks.hpp"

namespace postrider::queue {

void put_mark(std::string& out, std::uint8_t kind, ByteView body) {
  out.push_back(static_cast<char>(kind));
  put_le<std::uint32_t>(out, static_cast<std::uint32_t>(body.size()));
  out.append(body);
}

std::vector<Event> to_events(ByteView marks) {
  std::vector<Event> out;
  each_mark(marks, [&](std::uint8_t kind, ByteView body) {
    if (auto event = decode_event(kind, body)) out.push_back(std::move(*event));
  });
  return out;
}

void put_events(std::string& out, const std::vector<Event>& events) {
  for (const Event& event : events)
    put_mark(out, number_of(event.kind), encode_event(event));
}

} // namespace postrider::queue
