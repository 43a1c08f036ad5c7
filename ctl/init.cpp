// SPDX-License-Identifier: MIT
#include "init.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "command.hpp"
#include "config/master_cf.hpp"
#include "json.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

// Every instance has these, of type unix.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kServices{{
    {"submit",
     "unix  n       -       n       -       1       smtpd\n  -o smtpd_local_submission=yes"},
    {"qmgr", "unix  n       -       n       -       1       qmgr"},
    {"bounce", "unix  -       -       n       -       1       bounce"},
    {"tlsmgr", "unix  -       -       n       1000?   1       tlsmgr"},
    {"smtp", "unix  -       -       n       -       -       smtp"},
    {"relay", "unix  -       -       n       -       -       smtp"},
    {"lmtp", "unix  -       -       n       -       -       lmtp"},
    {"scache", "unix  -       -       n       -       1       scache"},
    {"tokenmgr", "unix  -       -       n       -       1       tokenmgr"},
    {"saslmgr", "unix  -       -       n       -       1       saslmgr"},
    {"tlsrpt", "unix  -       -       n       1000?   1       tlsrpt"},
    {"anvil", "unix  -       -       n       -       1       anvil"},
}};

constexpr const char* kDefaultListen = "127.0.0.1:2525";

// A value of main.cf: '$' doubled. Error when main.cf could not hold it.
Result<std::string> value_text(std::string_view what, std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20)
      return Error(ErrorKind::config, std::string(what) + ": holds a control character");
    if (c == '$') out.push_back('$');
    out.push_back(c);
  }
  return out;
}

Result<void> make_directory(const std::string& path, mode_t mode, const passwd* owner,
                            std::vector<std::string>& made) {
  if (::mkdir(path.c_str(), mode) != 0) {
    const int error = errno;
    struct stat now {};
    if (error != EEXIST || ::stat(path.c_str(), &now) != 0 || !S_ISDIR(now.st_mode))
      return Error::from_errno("mkdir " + path, error);
    return {};
  }
  if (::chmod(path.c_str(), mode) != 0) return Error::from_errno("chmod " + path, errno);
  if (owner != nullptr && ::lchown(path.c_str(), owner->pw_uid, owner->pw_gid) != 0)
    return Error::from_errno("chown " + path, errno);
  made.push_back(path);
  return {};
}

Result<void> write_new_file(const std::string& path, std::string_view text, mode_t mode,
                            const passwd* owner, std::vector<std::string>& made) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd && errno == EEXIST)
    return Error(ErrorKind::busy, path + " exists already; nothing was overwritten");
  if (!fd) return Error::from_errno("create " + path, errno);
  if (::fchmod(fd.get(), mode) != 0) return Error::from_errno("chmod " + path, errno);
  if (owner != nullptr && ::fchown(fd.get(), owner->pw_uid, owner->pw_gid) != 0)
    return Error::from_errno("chown " + path, errno);
  while (!text.empty()) {
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error::from_errno("write " + path, errno);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (auto closed = fd.close(); !closed) return closed.error().in(path);
  made.push_back(path);
  return {};
}

// The first directory on the way to `path` that a process of `owner` cannot pass.
std::string closed_directory(const std::string& path, const passwd& owner) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    struct stat now {};
    if (::stat(parent.c_str(), &now) != 0) continue;
    const mode_t needed = now.st_uid == owner.pw_uid   ? S_IXUSR
                          : now.st_gid == owner.pw_gid ? S_IXGRP
                                                       : S_IXOTH;
    if ((now.st_mode & needed) == 0) return parent;
  }
  return {};
}

std::string own_user_name() {
  const passwd* self = ::getpwuid(::geteuid());
  return self != nullptr ? self->pw_name : std::to_string(::geteuid());
}

// As root the programs must run as somebody else.
std::string owner_for_root(std::vector<std::string>& warnings) {
  if (::getpwnam("postrider") != nullptr) return "postrider";
  warnings.push_back(
      "there is no user postrider: mail_owner is nobody, who may own other things here; better "
      "make a user of its own (useradd --system postrider) and set mail_owner");
  return "nobody";
}

} // namespace

std::string file_system_trouble(const std::string& path) {
  struct statfs now {};
  if (::statfs(path.c_str(), &now) != 0) return {};
  switch (static_cast<unsigned long>(now.f_type)) {
  case 0x01021994: return "is on tmpfs: MAIL IN THE QUEUE IS LOST when this host restarts";
  case 0x858458f6: return "is on ramfs: MAIL IN THE QUEUE IS LOST when this host restarts";
  case 0x794c7630:
    return "is on overlayfs, as in a container without a volume: MAIL IN THE QUEUE IS LOST with "
           "the container";
  case 0x6969: return "is on NFS, whose locks and syncs the queue cannot rely on";
  case 0xff534d42:
  case 0xfe534d42: return "is on CIFS, whose locks and syncs the queue cannot rely on";
  default: return {};
  }
}

Result<std::string> main_cf_text(const Instance& instance) {
  POSTRIDER_TRY(const std::string directory, value_text("DIR", instance.directory));
  POSTRIDER_TRY(const std::string relayhost, value_text("--relayhost", instance.relayhost));
  POSTRIDER_TRY(const std::string myhostname, value_text("--myhostname", instance.myhostname));
  POSTRIDER_TRY(const std::string user, value_text("--user", instance.user));
  POSTRIDER_TRY(std::string log, value_text("--log", instance.log));
  if (log.empty()) log = directory + "/log/postrider.log";
  std::string out = "# Parameters of this instance: see postrider.cf(5); `postrider conf -d` shows "
                    "all defaults.\n"
                    "# After a change: postrider -c " +
                    instance.directory +
                    " reload\n"
                    "\n"
                    "queue_directory = " +
                    directory +
                    "/spool\n"
                    "data_directory = " +
                    directory +
                    "/data\n"
                    "maillog_file = " +
                    log +
                    "\n"
                    "maillog_file_prefixes = " +
                    directory +
                    "/log, /var, /dev/stdout\n"
                    "mail_owner = " +
                    user + "\n";
  if (myhostname.empty())
    out +=
        "# The full name of this host, in greetings and headers:\n#myhostname = mail.example.com\n";
  else
    out += "myhostname = " + myhostname + "\n";
  out += "\n# Clients that may send through this instance; default: this host only.\n"
         "#mynetworks = 127.0.0.0/8, [::1]/128\n";
  out += "\n# Where all mail goes; without it, to the MX hosts of each domain.\n";
  out += relayhost.empty() ? "#relayhost = [smtp.example.com]:587\n"
                           : "relayhost = " + relayhost + "\n";
  if (!instance.main_lines.empty()) out += "\n" + instance.main_lines;
  return out;
}

Result<std::string> master_cf_text(const Instance& instance) {
  std::vector<std::string> listen = instance.listen;
  if (listen.empty() && instance.master_lines.empty()) listen.push_back(kDefaultListen);
  std::string out =
      "# Services of this instance: see postrider-master.cf(5).\n"
      "# service            type  private unpriv  chroot  wakeup  limit   command + arguments\n";
  const auto row = [&out](std::string_view name, std::string_view rest) {
    out.append(name);
    out.append(name.size() < 20 ? 20 - name.size() : 1, ' ');
    out.append("  ").append(rest).append("\n");
  };
  for (const std::string& at : listen) {
    if (at.empty() || at.find_first_of(" \t\r\n#,{}=") != std::string::npos)
      return Error(ErrorKind::config, "--listen \"" + shown(at, 60) + "\": expected ADDRESS:PORT");
    row(at, "inet  n       -       n       -       -       smtpd");
  }
  out += instance.master_lines;
  const config::MasterCf theirs = config::parse_master_cf(instance.master_lines);
  for (const auto& [name, rest] : kServices) {
    const bool named = std::any_of(theirs.services.begin(), theirs.services.end(),
                                   [&](const config::ServiceEntry& s) {
                                     return s.type == config::ServiceType::unix_ && s.name == name;
                                   });
    if (!named) row(name, rest);
  }
  const config::MasterCf parsed = config::parse_master_cf(out);
  if (!parsed.errors.empty()) return Error(ErrorKind::config, "--listen: " + parsed.errors.front());
  return out;
}

Result<Made> make_instance(const Instance& wanted) {
  Made out;
  Instance instance = wanted;
  const bool root = ::geteuid() == 0;
  if (instance.user.empty()) instance.user = root ? owner_for_root(out.warnings) : own_user_name();
  const passwd* owner = ::getpwnam(instance.user.c_str());
  if (owner == nullptr)
    return Error(ErrorKind::config, "--user " + shown(instance.user) + ": there is no such user");
  if (root && owner->pw_uid == 0)
    return Error(ErrorKind::config, "--user root: mail must belong to a user without privileges");
  if (!root && owner->pw_uid != ::geteuid())
    return Error(ErrorKind::config, "--user " + instance.user + ": only root can give it away");
  const passwd copy = *owner;

  // Everything that can be wrong is found out before anything is made.
  POSTRIDER_TRY(const std::string main_cf, main_cf_text(instance));
  POSTRIDER_TRY(const std::string master_cf, master_cf_text(instance));
  const std::string& directory = instance.directory;
  if (::access((directory + "/main.cf").c_str(), F_OK) == 0)
    return Error(ErrorKind::busy, directory + "/main.cf exists already; nothing was changed");

  const passwd* give = root ? &copy : nullptr;
  POSTRIDER_TRY_VOID(make_directory(directory, 0755, nullptr, out.made));
  POSTRIDER_TRY_VOID(make_directory(directory + "/spool", 0755, give, out.made));
  POSTRIDER_TRY_VOID(make_directory(directory + "/data", 0700, give, out.made));
  POSTRIDER_TRY_VOID(make_directory(directory + "/log", 0755, give, out.made));
  POSTRIDER_TRY_VOID(write_new_file(directory + "/master.cf", master_cf, 0644, nullptr, out.made));
  for (const InstanceFile& file : instance.files)
    POSTRIDER_TRY_VOID(write_new_file(directory + "/" + file.name, file.text,
                                      file.secret ? 0600 : 0644, file.secret ? give : nullptr,
                                      out.made));
  POSTRIDER_TRY_VOID(write_new_file(directory + "/main.cf", main_cf, 0644, nullptr, out.made));

  const std::string trouble = file_system_trouble(directory + "/spool");
  if (!trouble.empty()) out.warnings.push_back(directory + "/spool " + trouble);
  if (root) {
    const std::string closed = closed_directory(directory + "/spool/", copy);
    if (!closed.empty())
      out.warnings.push_back(closed + " is closed to " + instance.user +
                             ", as whom the programs run: chmod a+x " + closed);
  }
  return out;
}

} // namespace postrider::ctl
