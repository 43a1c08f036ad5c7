// SPDX-License-Identifier: MIT
// Queue ids. An id is the number of the loan under which its record was written and a sequence
// number within that loan. A loan number is the wall clock in milliseconds, or the last number plus
// one when the clock has not moved on; the last number is kept in the segment headers. So ids are
// never used twice, not even when the clock steps back. As text an id is 12 letters of
// "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz" (no vowels: no words), like Postfix's
// long queue ids.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace postrider::queue {

class Id {
 public:
  static constexpr int kSequenceBits = 22; // 4 million records fit no 32 MiB segment
  Id() = default;
  explicit constexpr Id(std::uint64_t number) : number_(number) {}
  static constexpr Id make(std::uint64_t loan, std::uint32_t sequence) {
    return Id((loan << kSequenceBits) | sequence);
  }
  // Anything but exactly 12 letters of the alphabet is nullopt: ids come from the command line too.
  static std::optional<Id> parse(std::string_view text);

  constexpr std::uint64_t number() const { return number_; }
  constexpr std::uint64_t loan() const { return number_ >> kSequenceBits; }
  constexpr std::uint32_t sequence() const {
    return static_cast<std::uint32_t>(number_ & ((1U << kSequenceBits) - 1));
  }
  std::string text() const;
  constexpr auto operator<=>(const Id&) const = default;

 private:
  std::uint64_t number_ = 0;
};

} // namespace postrider::queue

template <>
struct std::hash<postrider::queue::Id> {
  std::size_t operator()(const postrider::queue::Id& id) const noexcept {
    return static_cast<std::size_t>(id.number() * 0x9e3779b97f4a7c15ULL);
  }
};
