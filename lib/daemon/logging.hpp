// SPDX-License-Identifier: MIT
// From settings to the log of a process (syslog_name, syslog_facility, log_format, maillog_file).
#pragma once

#include <string_view>

#include "base/log.hpp"
#include "config/settings.hpp"

namespace postrider::daemon {

// `log_fd`: the log file, borrowed; -1 when there is none. Without a master (`by_hand`) lines go to
// standard error.
log::Setup log_setup(const config::Settings& settings, std::string_view program, int log_fd,
                     bool by_hand, bool verbose);

} // namespace postrider::daemon
