// SPDX-License-Identifier: MIT
// What a sub-command of `postrider` is, and how it ends. Exit statuses are those of sysexits(3), so
// that scripts and mail programs can tell "not running" from "no such message".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "arguments.hpp"
#include "base/result.hpp"
#include "config/settings.hpp"

namespace postrider::ctl {

enum Exit : int {
  exit_ok = 0,
  exit_failed = 1, // what was asked for did not happen, or `check` found something
  exit_usage = 64,
  exit_not_found = 66,
  exit_unavailable = 69, // the suite, or the part of it that would answer, is not running
  exit_error = 74,       // the system failed a call
  exit_try_again = 75,
  exit_protocol = 76,
  exit_not_allowed = 77,
  exit_config = 78,
};

class Invocation {
 public:
  explicit Invocation(std::string directory) : config_directory(std::move(directory)) {}
  std::string config_directory; // absolute
  Arguments arguments;
  bool json = false;
  bool has(const std::string& name) const { return arguments.has(name); }
  std::string value(const std::string& name) const { return arguments.value(name); }
  const std::vector<std::string>& words() const { return arguments.words(); }
};

struct Command {
  std::string_view name;
  std::string_view synopsis; // after the name
  std::string_view about;
  std::vector<Option> options;
  int (*run)(const Invocation&);
};

const std::vector<Command>& queue_commands();     // queue why cat
const std::vector<Command>& action_commands();    // flush retry hold release requeue delete
const std::vector<Command>& lifecycle_commands(); // start start-fg stop reload status
const std::vector<Command>& config_commands();    // init import check conf version
const std::vector<Command>& map_commands();       // map
const std::vector<Command>& sts_commands();       // sts
const std::vector<Command>& tlsrpt_commands();    // tlsrpt
const std::vector<Command>& reference_commands(); // outcomes tls
const Command& tls_command();
const Command& import_command();

// Prints "postrider: text" to standard error, or with --json {"error": ...} to standard output, and
// returns the status that suits the kind.
int fail(const Invocation& invocation, const Error& error);
int fail(const Invocation& invocation, int status, std::string_view text);

// main.cf with all defaults; errors become one Error that names file and line.
Result<config::Settings> load_settings(const Invocation& invocation);

// Where the sockets are. A suite that runs can be asked, and stopped, while main.cf has a mistake.
Result<std::string> find_queue_directory(const Invocation& invocation);

void print(std::string_view text);    // to standard output
void complain(std::string_view text); // "postrider: text" to standard error
std::int64_t now_micros();

} // namespace postrider::ctl
