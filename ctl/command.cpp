// SPDX-License-Identifier: MIT
#include "command.hpp"

#include <cstdio>

#include "base/clock.hpp"
#include "base/text_file.hpp"
#include "config/expand.hpp"
#include "config/main_cf.hpp"
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

} // namespace

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

Result<std::string> find_queue_directory(const Invocation& invocation) {
  const auto settings = load_settings(invocation);
  if (settings) return settings->text("queue_directory");
  const auto file = read_text_file(invocation.config_directory + "/main.cf");
  if (!file) return settings.error();
  const config::MainCf parsed = config::parse_main_cf(file->text);
  const config::Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    if (name == "config_directory") return invocation.config_directory;
    for (const config::Entry& entry : parsed.entries)
      if (entry.name == name) return entry.value;
    const config::Parameter* known = config::find_parameter(name);
    return known == nullptr ? std::nullopt : std::optional<std::string>(known->initial);
  };
  auto directory = config::expand("$queue_directory", lookup);
  if (!directory || !directory->starts_with('/')) return settings.error();
  complain("warning: " + settings.error().text());
  return directory;
}

std::int64_t now_micros() { return to_unix_micros(system_clock().wall()); }

} // namespace postrider::ctl
