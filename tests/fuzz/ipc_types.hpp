// SPDX-License-Identifier: MIT
// Messages between our processes: what was understood is the same when it was written and read
// again.
#pragma once

#include "base/fields.hpp"
#include "target.hpp"

namespace postrider::fuzz {

template <typename Message>
void round_trip(ByteView body) {
  const auto read = decode<Message>(body);
  if (!read) {
    POSTRIDER_CHECK(read.error().kind() == ErrorKind::protocol && !read.error().text().empty());
    return;
  }
  const std::string written = encode(*read);
  const auto again = decode<Message>(written);
  POSTRIDER_CHECK(again && encode(*again) == written);
}

template <typename... Messages>
struct Types {
  static constexpr std::size_t kCount = sizeof...(Messages);
  static void run(std::size_t which, ByteView body) {
    constexpr void (*kAll[])(ByteView) = {&round_trip<Messages>...};
    kAll[which % kCount](body);
  }
};

} // namespace postrider::fuzz
