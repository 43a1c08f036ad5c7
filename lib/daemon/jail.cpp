// SPDX-License-Identifier: MIT
#include "daemon/jail.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

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

// None to be had from a file that is executed either, nor kept for a child. Where root may not
// change the bounding set (a container that has no CAP_SETPCAP), no_new_privs alone does that.
Result<void> drop_capabilities() {
  constexpr int kMost = 64; // of 41 today
  for (int capability = 0; capability < kMost; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL && errno != EPERM)
      return Error::from_errno("prctl(PR_CAPBSET_DROP)", errno);
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
    return Error::from_errno("prctl(PR_CAP_AMBIENT)", errno);
  return {};
}

Result<void> become(const sandbox::Identity& user, bool all_groups) {
  std::vector<gid_t> groups = {user.mail_group};
  if (user.gid != user.mail_group) groups.insert(groups.begin(), user.gid);
  if (all_groups && !user.name.empty()) {
    std::array<gid_t, 256> more{};
    int count = more.size();
    if (::getgrouplist(user.name.c_str(), user.gid, more.data(), &count) >= 0)
      groups.insert(groups.end(), more.begin(), more.begin() + count);
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  }
  if (::setgroups(groups.size(), groups.data()) != 0) return Error::from_errno("setgroups", errno);
  if (::setresgid(user.gid, user.gid, user.gid) != 0) return Error::from_errno("setresgid", errno);
  if (::setresuid(user.uid, user.uid, user.uid) != 0) return Error::from_errno("setresuid", errno);
  if (::setuid(0) == 0) return Error(ErrorKind::io, "root could be regained after setresuid");
  return {};
}

// An ordinary user has none, unless the service manager left some.
Result<bool> has_no_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capset, &header, &data) != 0) return Error::from_errno("capset", errno);
  if (::syscall(SYS_capget, &header, &data) != 0) return Error::from_errno("capget", errno);
  return (data[0].effective | data[0].permitted | data[0].inheritable | data[1].effective |
          data[1].permitted | data[1].inheritable) == 0;
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

Result<std::uint16_t> enter_jail(const Jail& jail, sandbox::Sandbox& sandbox) {
  std::uint16_t reached = 0;
  POSTRIDER_TRY_VOID(set_limits());
  reached |= proto::kJailLimits;
  const bool was_root = ::geteuid() == 0;
  if (was_root && jail.change_root) {
    if (::chroot(jail.root_directory.c_str()) != 0 || ::chdir("/") != 0)
      return Error::from_errno("chroot " + jail.root_directory, errno);
    reached |= proto::kJailChroot;
  }
  if (was_root && jail.change_user) {
    POSTRIDER_TRY_VOID(drop_capabilities());
    POSTRIDER_TRY_VOID(become(jail.identity, jail.all_groups));
    reached |= proto::kJailUser;
    if (!jail.identity.shared) reached |= proto::kJailOwnUser;
  }
  if (::geteuid() != 0) {
    POSTRIDER_TRY(const bool none, has_no_capabilities());
    if (!none) return Error(ErrorKind::io, "capabilities cannot be given up");
    reached |= proto::kJailCapabilities;
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return Error::from_errno("prctl(PR_SET_NO_NEW_PRIVS)", errno);
  reached |= proto::kJailNoNewPrivileges;
  if (::prctl(PR_SET_DUMPABLE, kMayHideFromTracers ? 0 : 1, 0, 0, 0) != 0)
    return Error::from_errno("prctl(PR_SET_DUMPABLE)", errno);
  if (kMayHideFromTracers) reached |= proto::kJailNotDumpable;
  POSTRIDER_TRY(const sandbox::Level level, sandbox.enter());
  if (level.files) reached |= proto::kJailFiles;
  if (level.bind) reached |= proto::kJailBind;
  if (level.ports) reached |= proto::kJailPorts;
  if (level.scopes) reached |= proto::kJailScopes;
  if (level.never_calls) reached |= proto::kJailNeverCalls;
  if (level.calls) reached |= proto::kJailCalls;
  return reached;
}

std::string describe_jail(std::uint16_t bits) {
  constexpr std::array<std::pair<std::uint16_t, std::string_view>, 13> kWords = {{
      {proto::kJailLimits, "limits"},
      {proto::kJailUser, "user"},
      {proto::kJailOwnUser, "own_user"},
      {proto::kJailCapabilities, "no_capabilities"},
      {proto::kJailChroot, "chroot"},
      {proto::kJailNoNewPrivileges, "no_new_privs"},
      {proto::kJailNotDumpable, "not_dumpable"},
      {proto::kJailFiles, "files"},
      {proto::kJailBind, "bind"},
      {proto::kJailPorts, "ports"},
      {proto::kJailScopes, "scopes"},
      {proto::kJailNeverCalls, "killing_calls"},
      {proto::kJailCalls, "listed_calls"},
  }};
  std::string out;
  for (const auto& [bit, word] : kWords)
    if ((bits & bit) != 0) (out += out.empty() ? "" : ", ") += word;
  return out.empty() ? "none" : out;
}

} // namespace postrider::daemon
