// SPDX-License-Identifier: MIT
// What tests do inside of the sandbox of a program.
#pragma once

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/prctl.h>
#include <unistd.h>

#include "in_child.hpp"
#include "sandbox/sandbox.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::sandbox::test {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true; // the search for leaks needs /proc and a process
#else
constexpr bool kSanitized = false;
#endif

// An instance in a scratch directory: etc/, spool/ with a file in it, data/.
struct Instance {
  Instance() { // one queue, one table, one file of somebody else
    for (const char* name : {"etc", "spool", "data", "elsewhere"})
      std::filesystem::create_directory(path(name));
    for (const char* name : {"etc/main.cf", "etc/table", "spool/message", "elsewhere/secret"})
      std::ofstream(path(name)) << "x y\n";
  }
  std::string path(const std::string& name) const { return directory.path() + "/" + name; }
  config::Settings settings(const std::string& more = "") const {
    return settings_of("queue_directory = " + path("spool") + "\ndata_directory = " + path("data") +
                           "\nmaillog_file = " + path("log") + "\n" + more,
                       path("etc"));
  }
  postrider::test::ScratchDir directory;
};

// Runs `body` in the sandbox of the program; its result is the child's exit status, 99 when the
// sandbox could not be entered.
template <typename Body>
int inside(const std::string& program, const config::Settings& settings, Body body) {
  return in_child([&] {
    auto profile = find_profile(program, settings);
    if (!profile || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 99;
    auto sandbox = Sandbox::prepare(std::move(*profile), settings, ::geteuid());
    if (!sandbox || !sandbox->enter()) return 99;
    return body();
  });
}

inline int error_of(long result) { return result < 0 ? errno : 0; }
inline int opened(const std::string& path, int flags) {
  return error_of(::open(path.c_str(), flags, 0600));
}

} // namespace postrider::sandbox::test
