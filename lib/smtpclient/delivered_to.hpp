// SPDX-License-Identifier: MIT
// flags=D, O and R of master.cf: headers in front of the content that say where it is delivered,
// and the loop that Delivered-To gives away.
#pragma once

#include "smtpclient/content_reader.hpp"

namespace postrider::smtpclient {

// Whether the header of the content has a Delivered-To with `address`, in any case of letters. The
// first 1000 are looked at. Blocks on the local disk only.
Result<bool> was_delivered_to(const Content& content, std::string_view address);

// Lines with CR LF; empty without flags. `sender` may be the null sender.
std::string first_headers(const Options& options, const std::string& sender,
                          const std::string& recipient);

} // namespace postrider::smtpclient
