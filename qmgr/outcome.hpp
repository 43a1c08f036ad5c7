// SPDX-License-Identifier: MIT
// Outcomes that no agent told: qmgr's own. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mail/outcome.hpp"

namespace postrider::qmgr {

mail::Outcome own_outcome(mail::Verdict verdict, std::string_view dsn, std::string text,
                          std::int64_t at);

// "5.1.1 text", as nexthop of error:, retry: and discard: the code that the administrator wrote, in
// the class that fits the verdict; else `initial`.
mail::Outcome outcome_of_text(mail::Verdict verdict, std::string_view text,
                              std::string_view initial, std::int64_t at);

} // namespace postrider::qmgr
