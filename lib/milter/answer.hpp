// SPDX-License-Identifier: MIT
// What a filter's answer means for the session. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "smtp/command.hpp"

namespace postrider::milter {

struct Verdict {
  enum class Kind {
    go_on,
    refuse,  // `refusal`; with 421 the session ends
    hold,    // go on, and keep the message in the hold queue
    discard, // say yes and keep nothing; filters hear no more of this message
  };
  Kind kind = Kind::go_on;
  smtp::Refusal refusal; // '\n' between the lines of its text

  Verdict() {}
  explicit Verdict(Kind k) : kind(k) {}
  Verdict(int code, std::string_view dsn, std::string_view text) : kind(Kind::refuse) {
    refusal.code = code;
    refusal.dsn = dsn;
    refusal.text = text;
  }
  bool goes_on() const { return kind == Kind::go_on; }
};

Verdict command_rejected();    // 550 5.7.1
Verdict service_unavailable(); // 451 4.7.1
Verdict closing_connection();  // 421 4.7.0

// milter_default_action: what trouble with a filter means.
enum class DefaultAction { tempfail, accept, reject, quarantine, shutdown };
std::optional<DefaultAction> parse_default_action(std::string_view text);
Verdict verdict_of(DefaultAction action);

// "550 5.7.1 text", lines with "550-" before the last one. Nothing when it is malformed: not 4xx or
// 5xx, lines that disagree, too long. "%%" stands for '%', and no byte of the text can end a line.
std::optional<smtp::Refusal> parse_reply(std::string_view text);

} // namespace postrider::milter
