// SPDX-License-Identifier: MIT
// POSTRIDER_CHECK is for our own mistakes: it aborts with context, in release builds too. Never use
// it on input. `unreachable` closes a switch that names every enumerator.
#pragma once

#include <string_view>

namespace postrider {

[[noreturn]] void check_failed(const char* what, const char* file, int line,
                               std::string_view detail = {});

} // namespace postrider

#define POSTRIDER_CHECK(condition, ...)                                                            \
  (static_cast<bool>(condition)                                                                    \
       ? void(0)                                                                                   \
       : ::postrider::check_failed(#condition, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__))

#define POSTRIDER_UNREACHABLE() ::postrider::check_failed("unreachable", __FILE__, __LINE__)
