// SPDX-License-Identifier: MIT
// smtp_delivery_status_filter: what is said about a recipient may be replaced by what a table says
// of "5.1.1 text". Success stays success; temporary and permanent failure may be exchanged. The
// server's own words stay as they are in reports. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "mail/outcome.hpp"

namespace postrider::smtpclient {

std::string filter_key(const mail::Outcome& outcome);
// `answer` is "4.2.1 other text". Error protocol: it is not, or of a class that is not allowed.
Result<mail::Outcome> filtered(const mail::Outcome& outcome, std::string_view answer);

} // namespace postrider::smtpclient
