// SPDX-License-Identifier: MIT
// The log: one sink per process, chosen once at start. Lines have Postfix's form,
//   Nov 21 07:27:18 host postrider/smtp[123]: 4Q...: to=<a@b>, ...
// or, with Format::json, are one JSON object each. Lines are gathered and written once per turn of
// the event loop (flush), at once for warning and above. Bytes outside printable ASCII/UTF-8 are
// escaped, so that no peer can forge a line.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.hpp"

namespace postrider::log {

enum class Level { debug, info, warning, error, fatal, panic };
enum class Format { text, json };
enum class Target { stderr_only, syslog, descriptor };

struct Setup {
  std::string tag = "postrider/unknown"; // syslog_name/program
  Target target = Target::stderr_only;
  Format format = Format::text;
  int descriptor = 2; // for Target::descriptor; borrowed
  int facility = 2;   // syslog(3) facility number; 2 is mail
  std::string syslog_socket = "/dev/log";
  bool verbose = false; // whether debug lines are written
};

void start(Setup setup);
bool verbose();

void write(Level level, std::string_view text);
inline void debug(std::string_view t) {
  if (verbose()) write(Level::debug, t);
}
inline void info(std::string_view t) { write(Level::info, t); }
inline void warning(std::string_view t) { write(Level::warning, t); }
inline void error(std::string_view t) { write(Level::error, t); }

// One event of a message's life: "ID: name=value, name=value (comment)". In JSON the pairs become
// members next to "event" and "id". `text` is the line as people read it; `fields` feed JSON only.
using Field = std::pair<std::string_view, std::string_view>;
void event(std::string_view name, std::string_view id, std::string_view text,
           std::initializer_list<Field> fields);

// Writes what was gathered. The loop calls it once per turn.
void flush();

// Environment is wrong at start: logs, waits a second (so that a supervisor can pace us), exits 1.
[[noreturn]] void fatal(std::string_view text);

// Text made safe for one log line: control bytes become '?', invalid UTF-8 becomes '?'.
std::string printable(std::string_view text);

} // namespace postrider::log
