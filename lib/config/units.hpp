// SPDX-License-Identifier: MIT
// Values with units, as administrators write them. Pure; nothing overflows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postrider::config {

// "30s", "5d", "50ms"; without a unit, default_unit (s, m, h, d, w) counts. Milliseconds.
std::optional<std::int64_t> parse_time(std::string_view text, char default_unit);
// "65536", "32m": k, m, g are powers of 1024.
std::optional<std::int64_t> parse_size(std::string_view text);
std::optional<bool> parse_flag(std::string_view text); // yes, no; case does not matter
// Decimal, no sign, at most 2^63-1.
std::optional<std::int64_t> parse_number(std::string_view text);

// "300s", "50ms": the shortest exact form.
std::string show_time(std::int64_t milliseconds);

} // namespace postrider::config
