// SPDX-License-Identifier: MIT
#include "command.hpp"

#include <cstdio>

#include "base/clock.hpp"
#include "json.hpp"

namespace postrider::ctl {

namespace {

int status_of(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::timeout: return exit_try_again;
  case ErrorKind::closed: return exit_unavailable;
  case ErrorKind::refused: return exit_not_allowed;
  case ErrorKind::protocol: return exit_protocol;
  case ErrorKind::limit: return exit_usage;
  case ErrorKind::cancelled: return exit_failed;
  case ErrorKind::busy: return exit_try_again;
  case ErrorKind::io: return exit_error;
  case ErrorKind::not_found: return exit_not_found;
  case ErrorKind::config: return exit_config;
  }
  return exit_failed;
}

}  // namespace

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void complain(std::string_view text) {
  std::fprintf(stderr, "postrider: %.*s\n", static_cast<int>(text.size()), text.data());
}

int fail(const Invocation& invocation, int status, std::string_view text) {
  if (invocation.json) print(json::of_error(text) + "\n");
  complain(text);
  return status;
}

int fail(const Invocation& invocation, const Error& error) {
  return fail(invocation, status_of(error.kind()), error.text());
}

Result<config::Settings> load_settings(const Invocation& invocation) {
  config::Findings findings;
  auto settings = config::Settings::load({.config_directory = invocation.config_directory,
                                          .overrides = {},
                                          .process_name = "postrider"},
                                         findings);
  if (!settings) return settings.error();
  if (!findings.errors.empty()) return Error(ErrorKind::config, findings.errors.front());
  return settings;
}

std::int64_t now_micros() { return to_unix_micros(system_clock().wall()); }

}  // namespace postrider::ctl
