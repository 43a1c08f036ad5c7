// SPDX-License-Identifier: MIT
// Attempts on files: mail, keys, passwords, configuration, other processes' memory, descriptors
// that are opened a second time with more rights.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tries.hpp"

namespace postrider::evil {

namespace {

int try_open(const char* path, int flags) {
  const int fd = ::open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600);
  const int result = outcome(fd, {EEXIST, ENXIO, EISDIR, ETXTBSY});
  if (fd >= 0) ::close(fd);
  return result;
}

int try_make(const std::string& path) {
  const int result = try_open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL);
  if (result == 0) ::unlink(path.c_str());
  return result;
}

// What is no directory: whoever may not write to where it stands hears of that first.
int try_remove(const std::string& path) { return outcome(::rmdir(path.c_str()), {ENOTDIR}); }

int reopen(int fd, int flags) {
  return try_open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags);
}

} // namespace

const std::vector<Attempt>& tries_of_files() {
  static const std::vector<Attempt> all = {
      {"read_message_file", "qmgr",
       [](const Target& t) { return try_open(path_of(t, "message"), O_RDONLY); }},
      {"write_message_file", "qmgr",
       [](const Target& t) { return try_open(path_of(t, "message"), O_WRONLY); }},
      {"read_segment", "qmgr",
       [](const Target& t) { return try_open(path_of(t, "segment"), O_RDONLY); }},
      {"write_segment", "qmgr",
       [](const Target& t) { return try_open(path_of(t, "segment"), O_WRONLY); }},
      {"write_ledger", "qmgr",
       [](const Target& t) { return try_open(path_of(t, "ledger"), O_WRONLY); }},
      {"list_queue", "qmgr",
       [](const Target& t) {
         DIR* directory = ::opendir(path_of(t, "messages"));
         if (directory == nullptr) return errno;
         ::closedir(directory);
         return 0;
       }},
      {"make_message_file", "qmgr",
       [](const Target& t) { return try_make(text_of(t, "messages") + "/evil"); }},
      {"remove_message_file", "qmgr",
       [](const Target& t) { return try_remove(text_of(t, "message")); }},
      {"rename_message_file", "qmgr",
       [](const Target& t) {
         const std::string from = text_of(t, "messages") + "/evil";
         return outcome(::rename(from.c_str(), (from + "2").c_str()), {ENOENT});
       }},
      {"link_message_file", "qmgr",
       [](const Target& t) {
         const std::string to = text_of(t, "messages") + "/evil-link";
         const int result = outcome(::link(path_of(t, "message"), to.c_str()));
         if (result == 0) ::unlink(to.c_str());
         return result;
       }},
      {"symlink_in_queue", "qmgr",
       [](const Target& t) {
         const std::string to = text_of(t, "messages") + "/evil-link";
         const int result = outcome(::symlink("/etc/passwd", to.c_str()));
         if (result == 0) ::unlink(to.c_str());
         return result;
       }},
      {"directory_in_queue", "qmgr",
       [](const Target& t) {
         const std::string to = text_of(t, "messages") + "/evil-directory";
         const int result = outcome(::mkdir(to.c_str(), 0700));
         if (result == 0) ::rmdir(to.c_str());
         return result;
       }},
      {"truncate_message_file", "qmgr",
       [](const Target& t) {
         struct stat facts {};
         if (::stat(path_of(t, "message"), &facts) != 0) return errno;
         return outcome(::truncate(path_of(t, "message"), facts.st_size));
       }},
      {"chmod_message_file", "qmgr",
       [](const Target& t) { return outcome(::chmod(path_of(t, "message"), 0600)); }},
      {"chown_message_file", "qmgr",
       [](const Target& t) { // to whom it belongs: only its owner may
         struct stat facts {};
         if (::stat(path_of(t, "message"), &facts) != 0) return errno;
         return outcome(::chown(path_of(t, "message"), facts.st_uid, static_cast<gid_t>(-1)));
       }},
      {"touch_message_file", "qmgr",
       [](const Target& t) { return outcome(::utimes(path_of(t, "message"), nullptr)); }},
      {"mark_message_file", "qmgr",
       [](const Target& t) {
         return outcome(::setxattr(path_of(t, "message"), "user.evil", "x", 1, 0),
                        {EOPNOTSUPP, ENOSPC});
       }},
      {"remove_socket", "qmgr",
       [](const Target& t) { return try_remove(text_of(t, "queue") + "/private/smtp"); }},
      {"make_socket_directory_file", "qmgr",
       [](const Target& t) { return try_make(text_of(t, "queue") + "/private/evil-name"); }},
      {"read_key_of_certificate", "",
       [](const Target& t) { return try_open(path_of(t, "key"), O_RDONLY); }},
      {"read_password_database", "saslmgr",
       [](const Target& t) { return try_open(path_of(t, "accounts"), O_RDONLY); }},
      {"read_secret_of_another_user", "",
       [](const Target& t) { return try_open(path_of(t, "secret"), O_RDONLY); }},
      {"read_ticket_keys", "tlsmgr",
       [](const Target& t) { return try_open(path_of(t, "ticket_keys"), O_RDONLY); }},
      {"write_ticket_keys", "tlsmgr",
       [](const Target& t) { return try_open(path_of(t, "ticket_keys"), O_RDWR); }},
      {"make_file_in_data_directory", "tlsmgr tlsrpt tokenmgr saslmgr",
       [](const Target& t) { return try_make(text_of(t, "data") + "/evil"); }},
      {"read_shadow", "", [](const Target&) { return try_open("/etc/shadow", O_RDONLY); }},
      {"write_main_cf", "",
       [](const Target& t) { return try_open(path_of(t, "main_cf"), O_WRONLY); }},
      {"make_file_beside_main_cf", "",
       [](const Target& t) { return try_make(text_of(t, "config") + "/evil-new"); }},
      {"write_program", "", [](const Target&) { return try_open("/proc/self/exe", O_WRONLY); }},
      {"make_file_in_tmp", "saslmgr",
       [](const Target&) { return try_make("/tmp/postrider-evil-" + std::to_string(::getpid())); }},
      {"make_file_in_etc", "", [](const Target&) { return try_make("/etc/postrider-evil"); }},
      {"make_device", "",
       [](const Target& t) {
         const std::string path = text_of(t, "data") + "/evil-device";
         const int result = outcome(::mknod(path.c_str(), S_IFCHR | 0600, 0x103));
         if (result == 0) ::unlink(path.c_str());
         return result;
       }},
      {"open_disk", "", [](const Target&) { return try_open("/dev/mem", O_RDONLY); }},
      {"memory_of_qmgr", "",
       [](const Target& t) {
         return try_open(("/proc/" + text_of(t, "pid_qmgr") + "/mem").c_str(), O_RDONLY);
       }},
      {"memory_of_smtpd", "",
       [](const Target& t) {
         return try_open(("/proc/" + text_of(t, "pid_smtpd") + "/mem").c_str(), O_RDWR);
       }},
      {"memory_of_master", "",
       [](const Target& t) {
         return try_open(("/proc/" + text_of(t, "pid_master") + "/mem").c_str(), O_RDONLY);
       }},
      {"own_memory_as_a_file", "",
       [](const Target&) { return try_open("/proc/self/mem", O_RDWR); }},
      {"environment_of_master", "",
       [](const Target& t) {
         return try_open(("/proc/" + text_of(t, "pid_master") + "/environ").c_str(), O_RDONLY);
       }},
      {"descriptors_of_qmgr", "",
       [](const Target& t) {
         DIR* directory = ::opendir(("/proc/" + text_of(t, "pid_qmgr") + "/fd").c_str());
         if (directory == nullptr) return errno;
         ::closedir(directory);
         return 0;
       }},
      {"a_descriptor_of_qmgr", "",
       [](const Target& t) {
         return try_open(("/proc/" + text_of(t, "pid_qmgr") + "/fd/0").c_str(), O_RDONLY);
       }},
      {"oom_score_of_itself", "",
       [](const Target&) { return try_open("/proc/self/oom_score_adj", O_WRONLY); }},
      {"reopen_log_for_reading", "qmgr", [](const Target&) { return reopen(5, O_RDONLY); }},
      {"reopen_log_for_more", "qmgr", // it opens the log anew after a rotation
       [](const Target&) { return reopen(5, O_RDWR); }},
      {"reopen_status_for_reading", "", [](const Target&) { return reopen(3, O_RDONLY); }},
      {"reopen_lifeline_for_writing", "", [](const Target&) { return reopen(4, O_WRONLY); }},
      {"file_by_handle", "",
       [](const Target&) {
         struct {
           unsigned bytes = 8;
           int type = 1;
           char data[8] = {};
         } handle;
         return outcome(::syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY),
                        {ESTALE, EINVAL});
       }},
      {"open_beyond_rules", "",
       [](const Target&) { // O_PATH gives no rights, a descriptor of it might
         const int fd = ::open("/proc/self/root/etc/shadow", O_PATH | O_CLOEXEC);
         if (fd < 0) return errno;
         return reopen(fd, O_RDONLY);
       }},
  };
  return all;
}

} // namespace postrider::evil
