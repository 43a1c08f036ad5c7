// SPDX-License-Identifier: MIT
#include "daemon/logging.hpp"

#include <algorithm>
#include <array>

namespace postrider::daemon {

namespace {

// RFC 5424 section 6.2.1.
int facility_number(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, int>, 20> kFacilities = {{
      {"kern", 0},      {"user", 1},    {"mail", 2},    {"daemon", 3},  {"auth", 4},
      {"syslog", 5},    {"lpr", 6},     {"news", 7},    {"uucp", 8},    {"cron", 9},
      {"authpriv", 10}, {"ftp", 11},    {"local0", 16}, {"local1", 17}, {"local2", 18},
      {"local3", 19},   {"local4", 20}, {"local5", 21}, {"local6", 22}, {"local7", 23},
  }};
  const auto* found = std::find_if(kFacilities.begin(), kFacilities.end(),
                                   [&](const auto& entry) { return entry.first == name; });
  return found == kFacilities.end() ? 2 : found->second;
}

} // namespace

log::Setup log_setup(const config::Settings& settings, std::string_view program, int log_fd,
                     bool by_hand, bool verbose) {
  log::Setup setup;
  setup.tag = settings.text("syslog_name") + "/" + std::string(program);
  setup.format = settings.text("log_format") == "json" ? log::Format::json : log::Format::text;
  setup.facility = facility_number(settings.text("syslog_facility"));
  setup.verbose = verbose;
  if (by_hand) {
    setup.target = log::Target::stderr_only;
  } else if (!settings.text("maillog_file").empty() && log_fd >= 0) {
    setup.target = log::Target::descriptor;
    setup.descriptor = log_fd;
  } else {
    setup.target = log::Target::syslog;
  }
  return setup;
}

} // namespace postrider::daemon
