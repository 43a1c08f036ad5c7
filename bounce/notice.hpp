// SPDX-License-Identifier: MIT
// A notice to the postmaster about a session that went wrong (notify_classes): the transcript that
// an agent kept. Pure.
//
// The sender is the double-bounce address, whose mail is never returned and never the subject of
// another notice.
#pragma once

#include "report.hpp"

namespace postrider::bounce {

// `send_to` is the whole address: error_notice_recipient. `now.audience` is not looked at.
Composed compose(const proto::Notice& notice, const std::string& send_to,
                 const Letterhead& letterhead, const Circumstances& now);

} // namespace postrider::bounce
