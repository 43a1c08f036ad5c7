// SPDX-License-Identifier: MIT
// What an answer of smtp_header_checks and its like means: those actions of header_checks(5) and
// body_checks(5) that make sense when mail leaves. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postrider::smtpclient {

enum class Part : std::uint8_t { header, body };

struct Check {
  enum class Action : std::uint8_t { none, warn, info, replace, prepend, ignore, strip } action;
  std::string text;  // what was written behind it
  std::string wrong; // why it has no effect after all; for the log
};

// `table` is the parameter's name, for the messages.
Check parse_check(std::string_view answer, Part part, std::string_view table);
std::string_view name(Check::Action action); // as the log has it: "warning", "replace"

} // namespace postrider::smtpclient
