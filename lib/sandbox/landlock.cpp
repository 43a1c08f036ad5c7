// SPDX-License-Identifier: MIT
#include "sandbox/landlock.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace postrider::sandbox {

namespace {

// What headers of Linux 6.1 do not have yet; the kernel's ABI, so the values stand.
constexpr std::uint64_t kTruncate = 1ULL << 14;  // ABI 3
constexpr std::uint64_t kIoctlDev = 1ULL << 15;  // ABI 5
constexpr std::uint64_t kBindTcp = 1ULL << 0;    // ABI 4
constexpr std::uint64_t kConnectTcp = 1ULL << 1; // ABI 4
constexpr std::uint64_t kAbstract = 1ULL << 0;   // ABI 6
constexpr std::uint64_t kSignal = 1ULL << 1;     // ABI 6
constexpr int kRulePort = 2;

struct RulesetAttributes {
  std::uint64_t files = 0;
  std::uint64_t ports = 0;
  std::uint64_t scopes = 0;
};
struct PortAttributes {
  std::uint64_t rights = 0;
  std::uint64_t port = 0;
};

constexpr std::uint64_t kFirst =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
    LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM;

std::uint64_t file_rights(int abi) {
  return kFirst | (abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) | (abi >= 3 ? kTruncate : 0) |
         (abi >= 5 ? kIoctlDev : 0);
}

constexpr std::uint64_t kOfFiles =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;

std::uint64_t rights_of(Access access) {
  constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  constexpr std::uint64_t kWrite = kRead | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
  switch (access) {
  case Access::append: return LANDLOCK_ACCESS_FS_WRITE_FILE;
  case Access::read: return kRead;
  case Access::write: return kWrite;
  case Access::own:
    return kWrite | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
           LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
           LANDLOCK_ACCESS_FS_REFER;
  }
  return 0;
}

Result<void> add_path(int ruleset, const std::string& path, std::uint64_t rights) {
  const Fd at(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!at && (errno == ENOENT || errno == EACCES)) return {}; // nothing to be reached
  if (!at) return Error::from_errno(path, errno);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = at.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    return Error::from_errno("landlock: " + path, errno);
  return {};
}

Result<void> add_port(int ruleset, std::uint16_t port, std::uint64_t rights) {
  const PortAttributes rule{.rights = rights, .port = port};
  if (::syscall(SYS_landlock_add_rule, ruleset, kRulePort, &rule, 0) != 0)
    return Error::from_errno("landlock: port " + std::to_string(port), errno);
  return {};
}

} // namespace

int landlock_abi() {
  const long abi =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

Result<Landlock> Landlock::prepare(const Reach& reach) {
  Landlock out;
  const int abi = landlock_abi();
  RulesetAttributes wanted;
  std::size_t size = sizeof wanted.files;
  if (!reach.files_open()) wanted.files = file_rights(abi);
  if (abi >= 4) {
    size += sizeof wanted.ports;
    wanted.ports = kBindTcp | (reach.any_port() ? 0 : kConnectTcp);
  }
  if (abi >= 6) {
    size += sizeof wanted.scopes;
    wanted.scopes = kAbstract | kSignal;
  }
  if (abi == 0 || (wanted.files | wanted.ports | wanted.scopes) == 0) return out;
  out.ruleset_ = Fd(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &wanted, size, 0)));
  if (!out.ruleset_) return Error::from_errno("landlock_create_ruleset", errno);
  if (wanted.files != 0) {
    for (const auto& [path, access] : reach.directories())
      POSTRIDER_TRY_VOID(add_path(out.ruleset_.get(), path, rights_of(access) & wanted.files));
    for (const auto& [path, access] : reach.files())
      POSTRIDER_TRY_VOID(
          add_path(out.ruleset_.get(), path, rights_of(access) & wanted.files & kOfFiles));
  }
  if (wanted.ports != 0) {
    // A source address without a port of its own (smtp_bind_address).
    POSTRIDER_TRY_VOID(add_port(out.ruleset_.get(), 0, kBindTcp));
    if (!reach.any_port())
      for (const std::uint16_t port : reach.ports())
        POSTRIDER_TRY_VOID(add_port(out.ruleset_.get(), port, kConnectTcp));
  }
  out.files_ = wanted.files != 0;
  out.bind_ = (wanted.ports & kBindTcp) != 0;
  out.ports_ = (wanted.ports & kConnectTcp) != 0;
  out.scopes_ = wanted.scopes != 0;
  return out;
}

Result<void> Landlock::enforce() {
  if (!ruleset_) return {};
  if (::syscall(SYS_landlock_restrict_self, ruleset_.get(), 0) != 0)
    return Error::from_errno("landlock_restrict_self", errno);
  ruleset_.reset();
  return {};
}

} // namespace postrider::sandbox
