// SPDX-License-Identifier: MIT
#include "daemon/jail.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/child_status.hpp"

namespace postrider::daemon {

namespace {

// LeakSanitizer traces its own process at exit, which a process that is not dumpable forbids. The
// change of user already makes it so: such a build takes that back.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMayHideFromTracers = false;
#else
constexpr bool kMayHideFromTracers = true;
#endif

Result<void> set_limits() {
  raise_descriptor_limit(0);
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0)
    return Error::from_errno("setrlimit(RLIMIT_CORE)", errno);
  return {};
}

Result<void> become(const passwd& user, bool all_groups) {
  const gid_t group = user.pw_gid;
  if (all_groups ? ::initgroups(user.pw_name, group) != 0 : ::setgroups(1, &group) != 0)
    return Error::from_errno("setgroups", errno);
  if (::setresgid(group, group, group) != 0) return Error::from_errno("setresgid", errno);
  if (::setresuid(user.pw_uid, user.pw_uid, user.pw_uid) != 0)
    return Error::from_errno("setresuid", errno);
  if (user.pw_uid != 0 && ::setuid(0) == 0)
    return Error(ErrorKind::io, "root could be regained after setresuid");
  return {};
}

} // namespace

std::uint64_t raise_descriptor_limit(std::uint64_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_max < wanted) {
    const rlimit more{wanted, wanted};
    if (::setrlimit(RLIMIT_NOFILE, &more) == 0) return wanted; // root only, below fs.nr_open
  }
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0 && ::getrlimit(RLIMIT_NOFILE, &limit) != 0)
      return 0;
  }
  return limit.rlim_cur;
}

Result<std::uint16_t> enter_jail(const Jail& jail) {
  std::uint16_t reached = 0;
  POSTRIDER_TRY_VOID(set_limits());
  reached |= proto::kJailLimits;
  if (::geteuid() == 0) {
    const passwd* user = nullptr;
    if (jail.change_user) { // before chroot, which hides the user database
      user = ::getpwnam(jail.owner.c_str());
      if (user == nullptr) return Error(ErrorKind::config, "mail_owner: no user " + jail.owner);
      if (user->pw_uid == 0) return Error(ErrorKind::config, "mail_owner must not be root");
    }
    if (jail.change_root) {
      if (::chroot(jail.root_directory.c_str()) != 0 || ::chdir("/") != 0)
        return Error::from_errno("chroot " + jail.root_directory, errno);
      reached |= proto::kJailChroot;
    }
    if (user != nullptr) {
      POSTRIDER_TRY_VOID(become(*user, jail.all_groups));
      reached |= proto::kJailUser;
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return Error::from_errno("prctl(PR_SET_NO_NEW_PRIVS)", errno);
  reached |= proto::kJailNoNewPrivileges;
  if (::prctl(PR_SET_DUMPABLE, kMayHideFromTracers ? 0 : 1, 0, 0, 0) != 0)
    return Error::from_errno("prctl(PR_SET_DUMPABLE)", errno);
  if (kMayHideFromTracers) reached |= proto::kJailNotDumpable;
  return reached;
}

std::string describe_jail(std::uint16_t bits) {
  constexpr std::array<std::pair<std::uint16_t, std::string_view>, 5> kWords = {{
      {proto::kJailLimits, "limits"},
      {proto::kJailUser, "user"},
      {proto::kJailChroot, "chroot"},
      {proto::kJailNoNewPrivileges, "no_new_privs"},
      {proto::kJailNotDumpable, "not_dumpable"},
  }};
  std::string out;
  for (const auto& [bit, word] : kWords)
    if ((bits & bit) != 0) (out += out.empty() ? "" : ", ") += word;
  return out.empty() ? "none" : out;
}

} // namespace postrider::daemon
