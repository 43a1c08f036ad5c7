// SPDX-License-Identifier: MIT
#include "outcome.hpp"

#include "mail/status.hpp"

namespace postrider::qmgr {

mail::Outcome own_outcome(mail::Verdict verdict, std::string_view dsn, std::string text,
                          std::int64_t at) {
  mail::Outcome outcome;
  outcome.verdict = verdict;
  outcome.dsn = dsn;
  outcome.text = std::move(text);
  outcome.host = "none";
  outcome.at = at;
  return outcome;
}

mail::Outcome outcome_of_text(mail::Verdict verdict, std::string_view text,
                              std::string_view initial, std::int64_t at) {
  std::string dsn(initial);
  const std::string_view code = mail::leading_status(text);
  if (!code.empty()) {
    dsn = mail::with_class(code, initial.front());
    text.remove_prefix(code.size());
    while (!text.empty() && text.front() == ' ')
      text.remove_prefix(1);
  }
  return own_outcome(verdict, dsn, std::string(text), at);
}

} // namespace postrider::qmgr
