// SPDX-License-Identifier: MIT
#include "smtpclient/status_filter.hpp"

#include "base/ascii.hpp"
#include "mail/status.hpp"

namespace postrider::smtpclient {

using mail::Verdict;

std::string filter_key(const mail::Outcome& outcome) { return outcome.dsn + " " + outcome.text; }

Result<mail::Outcome> filtered(const mail::Outcome& outcome, std::string_view answer) {
  const std::string_view status = mail::leading_status(answer);
  const std::string_view text = trim(answer.substr(status.size()));
  const bool success = !status.empty() && status.front() == '2';
  if (status.empty() || success != (outcome.verdict == Verdict::delivered))
    return Error(ErrorKind::protocol, "bad status code: " + std::string(answer));
  if (text.empty()) return Error(ErrorKind::protocol, "no text: " + std::string(answer));
  mail::Outcome out = outcome;
  out.dsn = status;
  out.text = text;
  if (status.front() == '5') out.verdict = Verdict::bounced;
  if (status.front() == '4' && outcome.verdict == Verdict::bounced) out.verdict = Verdict::deferred;
  return out;
}

} // namespace postrider::smtpclient
