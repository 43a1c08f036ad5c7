// SPDX-License-Identifier: MIT
// shows: syslog_facility syslog_name
#include "daemon/logging.hpp"

#include <gtest/gtest.h>

namespace postrider::daemon {
namespace {

log::Setup setup(const std::string& main_cf, int log_fd = -1, bool by_hand = false) {
  config::Findings findings;
  const config::Machine machine{.hostname = "a.example"};
  auto settings =
      config::Settings::parse(main_cf, {.config_directory = "/nowhere"}, {}, machine, findings);
  EXPECT_TRUE(findings.errors.empty());
  return log_setup(*settings, "smtp", log_fd, by_hand, false);
}

TEST(LogSetup, NamesAndFacility) {
  EXPECT_EQ(setup("").tag, "postrider/smtp");
  EXPECT_EQ(setup("").facility, 2); // mail
  EXPECT_EQ(setup("syslog_name = mail/out").tag, "mail/out/smtp");
  EXPECT_EQ(setup("syslog_facility = local3").facility, 19);
  EXPECT_EQ(setup("syslog_facility = daemon").facility, 3);
}

TEST(LogSetup, WhereItGoes) {
  EXPECT_EQ(setup("").target, log::Target::syslog);
  EXPECT_EQ(setup("maillog_file = /var/log/x", 5).target, log::Target::descriptor);
  EXPECT_EQ(setup("maillog_file = /var/log/x", 5).descriptor, 5);
  EXPECT_EQ(setup("maillog_file = /var/log/x", 5, true).target, log::Target::stderr_only);
  EXPECT_EQ(setup("log_format = json").format, log::Format::json);
}

} // namespace
} // namespace postrider::daemon
