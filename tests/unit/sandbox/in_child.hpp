// SPDX-License-Identifier: MIT
// A sandbox cannot be left: what happens in one is tried in a child process.
#pragma once

#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "config/settings.hpp"

namespace postrider::sandbox::test {

inline config::Settings settings_of(const std::string& main_cf,
                                    const std::string& directory = "/nonexistent/etc") {
  config::Findings findings;
  const config::Machine machine{.hostname = "host.example", .addresses = {}};
  auto out = config::Settings::parse(main_cf, {.config_directory = directory, .overrides = {}}, {},
                                     machine, findings);
  if (!out) std::abort();
  return std::move(*out);
}

// The exit status of `body` as a function of a child; 1000 + its number when a signal ended it.
template <typename Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return -1;
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

} // namespace postrider::sandbox::test
