// SPDX-License-Identifier: MIT
#include "instance.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/ascii.hpp"
#include "sandbox/profile.hpp"

namespace postrider::master {

namespace {

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};

// Makes `path` unless it is there, with the mode, and for mail_owner when `owner` is given.
// A symbolic link in its place is refused: others may write where it stands.
Result<void> ensure_directory(const std::string& path, mode_t mode, const Owner* owner) {
  const bool made = ::mkdir(path.c_str(), mode) == 0;
  if (!made && errno != EEXIST) return Error::from_errno("mkdir " + path, errno);
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return Error::from_errno("open directory " + path, errno);
  struct stat now {};
  if (::fstat(fd.get(), &now) != 0) return Error::from_errno("stat " + path, errno);
  if (owner != nullptr && (now.st_uid != owner->uid || now.st_gid != owner->gid) &&
      ::fchown(fd.get(), owner->uid, owner->gid) != 0)
    return Error::from_errno("chown " + path, errno);
  if (owner == nullptr && now.st_uid != ::geteuid())
    return Error(ErrorKind::config, path + " belongs to another user");
  if ((now.st_mode & 07777) != mode && ::fchmod(fd.get(), mode) != 0)
    return Error::from_errno("chmod " + path, errno);
  return {};
}

// Directories above it are the administrator's; only the last one is made.
Result<void> ensure_top_directory(const std::string& path, const Owner* owner) {
  struct stat now {};
  if (::stat(path.c_str(), &now) == 0 && S_ISDIR(now.st_mode)) {
    // May stay closed to others, when no one else shall submit mail.
    if (owner != nullptr && now.st_uid != owner->uid &&
        ::chown(path.c_str(), owner->uid, owner->gid) != 0)
      return Error::from_errno("chown " + path, errno);
    return {};
  }
  return ensure_directory(path, 0755, owner);
}

// A database of a program that has a user of its own, made while it had another one of the suite's:
// it is given to it. Nothing else in there is touched.
Result<void> give_database(const std::string& path, const sandbox::Identity& owner,
                           const std::vector<uid_t>& suite) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat now {};
  if (!fd || ::fstat(fd.get(), &now) != 0) return {}; // not made yet
  const bool ours = S_ISREG(now.st_mode) && now.st_nlink == 1 &&
                    std::find(suite.begin(), suite.end(), now.st_uid) != suite.end();
  if (!ours || now.st_uid == owner.uid) return {};
  if (::fchown(fd.get(), owner.uid, owner.gid) != 0)
    return Error::from_errno("chown " + path, errno);
  return {};
}

// Several users have files in data_directory: each may make its own there, and remove no other's.
Result<void> share_data(const config::Settings& settings, const Owner& mail) {
  std::vector<uid_t> suite;
  for (const sandbox::Domain domain : sandbox::kDomains) {
    POSTRIDER_TRY(const sandbox::Identity user, sandbox::identity_of(domain, settings));
    suite.push_back(user.uid);
  }
  const std::string& path = settings.text("data_directory");
  struct stat now {};
  if (::stat(path.c_str(), &now) != 0) return Error::from_errno("stat " + path, errno);
  const mode_t mode = (now.st_mode & 07777) | 01770;
  if (now.st_gid != mail.gid && ::chown(path.c_str(), mail.uid, mail.gid) != 0)
    return Error::from_errno("chown " + path, errno);
  if (mode != (now.st_mode & 07777) && ::chmod(path.c_str(), mode) != 0)
    return Error::from_errno("chmod " + path, errno);
  for (const std::string_view program : sandbox::profiled_programs()) {
    const auto profile = sandbox::find_profile(program, settings);
    if (!profile || profile->databases.empty()) continue;
    POSTRIDER_TRY(const sandbox::Identity user, sandbox::identity_of(profile->domain, settings));
    for (const std::string& database : profile->databases)
      for (const char* ending : {"", "-lock"})
        POSTRIDER_TRY_VOID(give_database(database + ending, user, suite));
  }
  return {};
}

mode_t octal(std::int64_t digits) {
  mode_t out = 0;
  for (mode_t place = 1; digits > 0; digits /= 10, place *= 8)
    out += static_cast<mode_t>(digits % 10) * place;
  return out & 0777;
}

bool may_hold_log(const config::Settings& settings, const std::string& path) {
  for (const std::string& prefix : settings.words("maillog_file_prefixes"))
    if (path == prefix || path.starts_with(prefix.ends_with('/') ? prefix : prefix + "/"))
      return path.find("/../") == std::string::npos;
  return false;
}

} // namespace

Result<InstanceLock> InstanceLock::take(const std::string& path,
                                        std::chrono::milliseconds patience) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return Error::from_errno("open " + path, errno);
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) return Error::from_errno(path, errno);
  // It will be written to.
  if (!S_ISREG(facts.st_mode) || facts.st_nlink != 1)
    return Error(ErrorKind::config, path + " is no file of its own: remove it");
  constexpr auto kPause = std::chrono::milliseconds(20);
  int locked = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  for (; locked != 0 && errno == EWOULDBLOCK && patience > kPause; patience -= kPause) {
    std::this_thread::sleep_for(kPause);
    locked = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  }
  if (locked != 0) {
    const int error = errno;
    if (error != EWOULDBLOCK) return Error::from_errno("lock " + path, error);
    char text[24] = {};
    const ssize_t size = ::pread(fd.get(), text, sizeof text - 1, 0);
    const std::string holder(
        trim(std::string_view(text, size > 0 ? static_cast<std::size_t>(size) : 0)));
    return Error(ErrorKind::busy, "the mail system is already running" +
                                      (holder.empty() ? "" : ": process " + holder));
  }
  return InstanceLock(std::move(fd));
}

Result<void> InstanceLock::write_pid() {
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::fchmod(fd_.get(), 0644) != 0 || ::ftruncate(fd_.get(), 0) != 0 ||
      ::pwrite(fd_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return Error::from_errno("write the pid file", errno);
  return {};
}

void InstanceLock::clear_pid() {
  if (::ftruncate(fd_.get(), 0) != 0) {
  } // a stale number in an unlocked file misleads nobody
}

std::string pid_path(const config::Settings& settings) {
  return settings.text("process_id_directory") + "/master.pid";
}

Result<void> prepare_directories(const config::Settings& settings, bool root) {
  Owner mail;
  if (root) {
    POSTRIDER_TRY(const sandbox::Identity owner,
                  sandbox::identity_of(sandbox::Domain::queue, settings));
    mail = {owner.uid, owner.gid};
  }
  const Owner* owner = root ? &mail : nullptr;
  const std::string& queue = settings.text("queue_directory");
  POSTRIDER_TRY_VOID(ensure_top_directory(queue, owner));
  POSTRIDER_TRY_VOID(ensure_top_directory(settings.text("data_directory"), owner));
  if (root) POSTRIDER_TRY_VOID(share_data(settings, mail));
  if (::chdir(queue.c_str()) != 0) return Error::from_errno("chdir " + queue, errno);
  // Open to the group that all programs of the suite are in; services look who asks.
  POSTRIDER_TRY_VOID(ensure_directory("private", root ? 0710 : 0700, owner));
  POSTRIDER_TRY_VOID(ensure_directory("public", 0755, owner));
  // Owned by root when master is root's, so that no worker can put another lock in its place.
  const Owner self{::geteuid(), ::getegid()};
  return ensure_directory(settings.text("process_id_directory"), 0755, root ? &self : nullptr);
}

Result<Fd> open_log_file(const config::Settings& settings, bool foreground, bool root) {
  const std::string& path = settings.text("maillog_file");
  if (path.empty()) return Fd();
  if (!may_hold_log(settings, path))
    return Error(ErrorKind::config, "maillog_file = " + path + ": not below maillog_file_prefixes");
  if (path == "/dev/stdout" || path == "/dev/stderr") {
    if (!foreground) return Error(ErrorKind::config, "maillog_file = " + path + ": use start-fg");
    return Fd(::fcntl(path == "/dev/stdout" ? 1 : 2, F_DUPFD_CLOEXEC, 3));
  }
  const mode_t mode = octal(settings.number("maillog_file_permissions"));
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
  Fd fd(::open(path.c_str(), kFlags | O_CREAT | O_EXCL, mode));
  if (fd) {
    if (::fchmod(fd.get(), mode) != 0) return Error::from_errno("chmod " + path, errno);
    // Workers that stay through a reload open it anew after a rotation.
    if (root) {
      POSTRIDER_TRY(const sandbox::Identity owner,
                    sandbox::identity_of(sandbox::Domain::queue, settings));
      if (::fchown(fd.get(), owner.uid, owner.gid) != 0)
        return Error::from_errno("chown " + path, errno);
    }
    return fd;
  }
  if (errno == EEXIST) fd = Fd(::open(path.c_str(), kFlags));
  if (!fd) return Error::from_errno("open " + path, errno);
  return fd;
}

} // namespace postrider::master
