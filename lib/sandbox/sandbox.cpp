// SPDX-License-Identifier: MIT
#include "sandbox/sandbox.hpp"

#include "sandbox/filter.hpp"

namespace postrider::sandbox {

Reach Sandbox::reach_of(const Profile& profile, const config::Settings& settings, uid_t uid) {
  Reach reach(settings, uid);
  if (profile.look_around == nullptr) { // not of the suite
    reach.leave_files_open();
    reach.connect_anywhere();
    return reach;
  }
  reach_system(reach);
  reach_log(reach, settings, false);
  profile.look_around(settings, reach);
  for (const std::string& path : profile.databases)
    reach_database(reach, path);
  return reach;
}

Result<Sandbox> Sandbox::prepare(Profile profile, const config::Settings& settings, uid_t uid) {
  Reach reach = reach_of(profile, settings, uid);
  POSTRIDER_TRY(Landlock landlock, Landlock::prepare(reach));
  return Sandbox(std::move(profile), std::move(reach), std::move(landlock), uid);
}

#if defined(POSTRIDER_NO_SANDBOX) // to measure what it costs; the levels in status say so
Result<Level> Sandbox::enter() { return Level{}; }
std::string describe_kernel() { return "none: built to measure without it"; }
#else
Result<Level> Sandbox::enter() {
  POSTRIDER_TRY_VOID(landlock_.enforce());
  Level level{.files = landlock_.closes_files(),
              .bind = landlock_.closes_binding(),
              .ports = landlock_.closes_ports(),
              .scopes = landlock_.closes_scopes()};
  if (!has_filters()) return level;
  POSTRIDER_TRY_VOID(
      filter_calls(profile_, reports_only() ? Unlisted::reported : Unlisted::refused));
  level.never_calls = true;
  level.calls = !profile_.calls.empty() && !reports_only();
  return level;
}

std::string describe_kernel() {
  const int abi = landlock_abi();
  const std::string landlock = abi == 0 ? std::string("no Landlock")
                                        : "Landlock " + std::to_string(abi) + " (files" +
                                              (abi >= 4 ? ", ports" : "") +
                                              (abi >= 6 ? ", scopes)" : ")");
  return landlock + (has_filters() ? ", seccomp" : ", no seccomp");
}
#endif

bool Sandbox::covers(const config::Settings& settings) const {
  return reach_of(profile_, settings, uid_) == reach_;
}

} // namespace postrider::sandbox
