// SPDX-License-Identifier: MIT
// What may be shown to somebody: in a log, on a terminal, in a report. Pure.
#pragma once

#include <string_view>

namespace postrider {

// `character` is one character of UTF-8. True when it does something to whatever shows it: controls
// (C0, DEL, C1), what begins a line for some readers (U+2028, U+2029), and what turns the direction
// of the text behind it (U+202A to U+202E, U+2066 to U+2069).
bool is_control_character(std::string_view character);

} // namespace postrider
