// SPDX-License-Identifier: MIT
// What each program needs, and so what it is confined to: one Profile per program, in profiles.cpp.
// They stand here, not beside the programs, so that a test can enter exactly the sandbox of a
// program without being linked with it. Entries carry their reasons; what is left open says why.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "sandbox/calls.hpp"
#include "sandbox/domain.hpp"
#include "sandbox/reach.hpp"

namespace postrider::sandbox {

enum class Sockets {
  local,    // UNIX only
  internet, // TCP and UDP as well; never raw, packet or netlink sockets
};

struct Profile {
  std::string_view program;
  Domain domain = Domain::queue;
  std::vector<Domain> clients = {}; // whose processes may speak to its UNIX sockets, besides root
  Sockets sockets = Sockets::local;
  bool forks = false;                      // child processes of its own
  bool executes = false;                   // and other programs: no list of calls then
  std::vector<Calls> calls = {};           // empty: any but kNever
  std::vector<std::string> databases = {}; // LMDB files of its own, by path
  std::string_view open = {};              // what is not confined, and why
  // Adds to `reach` what the configuration asks for.
  void (*look_around)(const config::Settings& settings, Reach& reach) = nullptr;
};

// Nothing for a program that is not of the suite.
std::optional<Profile> find_profile(std::string_view program, const config::Settings& settings);
// Of a program that has none: nothing is confined but what no program may do.
Profile plain_profile(std::string_view program);
// All names that find_profile() knows.
std::vector<std::string_view> profiled_programs();

} // namespace postrider::sandbox
