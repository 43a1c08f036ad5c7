// SPDX-License-Identifier: MIT
// The sandbox of one process, from its profile and its configuration. Made with the rights that the
// process started with, entered when these are gone. What the kernel supports and cannot be done is
// an Error: the process must not start then. What the kernel lacks is not in the Level.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "config/settings.hpp"
#include "sandbox/landlock.hpp"
#include "sandbox/profile.hpp"

namespace postrider::sandbox {

// What is closed.
struct Level {
  bool files = false;       // all but what the profile reaches
  bool bind = false;        // TCP: no port to listen on
  bool ports = false;       // TCP: connects to those that the profile reaches
  bool scopes = false;      // abstract sockets, and signals to others
  bool never_calls = false; // kNever kills
  bool calls = false;       // all but those that the profile lists
};

class Sandbox {
 public:
  // `uid`: whose the process will be. Blocks (the file system).
  static Result<Sandbox> prepare(Profile profile, const config::Settings& settings, uid_t uid);

  // REQUIRES no_new_privs, and no threads. Afterwards this object only answers questions.
  Result<Level> enter();

  // Whether this process can go on with other settings: they reach nothing more than before.
  bool covers(const config::Settings& settings) const;
  // Whether a file that it reaches has been replaced by one that it does not.
  bool is_stale() const { return reach_.is_stale(); }
  const Profile& profile() const { return profile_; }

 private:
  Sandbox(Profile profile, Reach reach, Landlock landlock, uid_t uid)
      : profile_(std::move(profile)), reach_(std::move(reach)), landlock_(std::move(landlock)),
        uid_(uid) {}
  static Reach reach_of(const Profile& profile, const config::Settings& settings, uid_t uid);

  Profile profile_;
  Reach reach_;
  Landlock landlock_;
  uid_t uid_;
};

// "Landlock 7 (files, ports, scopes), seccomp": what this kernel has of it.
std::string describe_kernel();

} // namespace postrider::sandbox
