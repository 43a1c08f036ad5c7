// SPDX-License-Identifier: MIT
// The command line that master writes and that people use for tests by hand.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/settings.hpp"

namespace postrider::daemon {

struct Options {
  std::string config_directory;      // -c, else $MAIL_CONFIG, else the built-in one; absolute
  std::string service_name;          // -n
  std::string service_type = "unix"; // -t
  bool change_user = false;          // -u: give up root for mail_owner
  bool change_root = false;          // -j: chroot to the queue directory
  bool verbose = false;              // -v
  bool stdio = false;                // -S
  bool check = false;
  bool help = false;
  std::vector<config::Override> overrides; // -o name=value
  std::vector<std::string> words;          // behind them: "flags=DRX"
};

// Error config says what is wrong with the command line.
Result<Options> parse_options(int argc, const char* const* argv);
std::string usage(std::string_view program);

} // namespace postrider::daemon
