// SPDX-License-Identifier: MIT
// The parts of the table of attempts, and what they are written with.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <initializer_list>
#include <sys/types.h>

#include "attempts.hpp"

namespace postrider::evil {

const std::vector<Attempt>& tries_of_files();
const std::vector<Attempt>& tries_of_processes();
const std::vector<Attempt>& tries_of_sockets();
const std::vector<Attempt>& tries_of_the_kernel();

// The result of a call: 0 when it succeeded, or failed for want of something else than a right.
inline int outcome(long result, std::initializer_list<int> past = {}) {
  if (result >= 0) return 0;
  for (const int error : past)
    if (errno == error) return 0;
  return errno != 0 ? errno : EIO;
}

inline const std::string& text_of(const Target& target, std::string_view name) {
  static const std::string none = "/nonexistent";
  const auto found = target.find(name);
  return found == target.end() ? none : found->second;
}
inline const char* path_of(const Target& target, std::string_view name) {
  return text_of(target, name).c_str();
}
inline pid_t pid_of(const Target& target, std::string_view name) {
  return static_cast<pid_t>(std::atoi(path_of(target, name)));
}

} // namespace postrider::evil
