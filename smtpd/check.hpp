// SPDX-License-Identifier: MIT
// smtpd --check, which `postrider check` asks about each line of master.cf: everything that a start
// reads, and nothing of what it does.
#pragma once

#include "base/result.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

// Error config says what is wrong, and where. Blocks on the disk and on look-ups of host names.
Result<void> check(const config::Settings& settings);

} // namespace postrider::smtpd
