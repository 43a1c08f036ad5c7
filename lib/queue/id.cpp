// SPDX-License-Identifier: MIT
#include "queue/id.hpp"

namespace postrider::queue {

namespace {
constexpr std::string_view kAlphabet = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
constexpr std::size_t kLength = 12; // 52^12 > 2^64
static_assert(kAlphabet.size() == 52);
} // namespace

std::string Id::text() const {
  std::string out(kLength, '0');
  std::uint64_t rest = number_;
  for (std::size_t i = kLength; i-- > 0; rest /= kAlphabet.size())
    out[i] = kAlphabet[rest % kAlphabet.size()];
  return out;
}

std::optional<Id> Id::parse(std::string_view text) {
  if (text.size() != kLength) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text) {
    const std::size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    if (__builtin_mul_overflow(number, std::uint64_t{kAlphabet.size()}, &number) ||
        __builtin_add_overflow(number, std::uint64_t{digit}, &number))
      return std::nullopt;
  }
  return Id(number);
}

} // namespace postrider::queue
