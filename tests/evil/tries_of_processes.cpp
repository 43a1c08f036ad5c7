// SPDX-License-Identifier: MIT
// Attempts on other processes, on programs to run, on identity and limits.
#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tries.hpp"

namespace postrider::evil {

namespace {

// A program that runs instead is seen by its end: the one that tells results is gone.
char* kTrueArguments[] = {const_cast<char*>("true"), nullptr};
char* kNoEnvironment[] = {nullptr};

int signal_to(const Target& t, std::string_view whom) {
  return outcome(::kill(pid_of(t, whom), SIGWINCH)); // does nothing to who gets it
}

int raise_limit(int which) {
  rlimit limit{};
  ::getrlimit(static_cast<__rlimit_resource_t>(which), &limit);
  if (limit.rlim_max == RLIM_INFINITY) return ENOSYS; // nothing to raise
  limit.rlim_max += 1;
  limit.rlim_cur = limit.rlim_max;
  return outcome(::setrlimit(static_cast<__rlimit_resource_t>(which), &limit));
}

int clone_with(unsigned long flags) {
  const long pid = ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  if (pid > 0) ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return outcome(pid);
}

int peek(const Target& t, std::string_view whom) {
  char byte = 0;
  iovec here{.iov_base = &byte, .iov_len = 1};
  iovec there{.iov_base = reinterpret_cast<void*>(0x1000), .iov_len = 1};
  return outcome(::process_vm_readv(pid_of(t, whom), &here, 1, &there, 1, 0), {EFAULT});
}

} // namespace

const std::vector<Attempt>& tries_of_processes() {
  static const std::vector<Attempt> all = {
      {"execute", "",
       [](const Target&) {
         return outcome(::execve("/bin/true", kTrueArguments, kNoEnvironment));
       }},
      {"execute_shell", "",
       [](const Target&) {
         char* arguments[] = {const_cast<char*>("sh"), const_cast<char*>("-c"),
                              const_cast<char*>("exit 0"), nullptr};
         return outcome(::execve("/bin/sh", arguments, kNoEnvironment));
       }},
      {"execute_from_memory", "",
       [](const Target&) {
         const int fd = ::memfd_create("evil", 0);
         if (fd < 0) return errno;
         const int from = ::open("/bin/true", O_RDONLY | O_CLOEXEC);
         char piece[4096] = "\x7f"
                            "ELF";
         long n = 4096;
         while (n > 0 && ::write(fd, piece, static_cast<std::size_t>(n)) == n)
           n = from < 0 ? 0 : ::read(from, piece, sizeof piece);
         return outcome(
             ::syscall(SYS_execveat, fd, "", kTrueArguments, kNoEnvironment, AT_EMPTY_PATH),
             {ENOEXEC});
       }},
      {"fork", "tlsmgr tokenmgr saslmgr", [](const Target&) { return clone_with(0); }},
      {"fork_by_clone3", "tlsmgr tokenmgr saslmgr",
       [](const Target&) {
         unsigned long long arguments[11] = {};
         arguments[4] = SIGCHLD;
         const long pid = ::syscall(SYS_clone3, arguments, sizeof arguments);
         if (pid == 0) ::_exit(0);
         if (pid > 0) ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
         return outcome(pid);
       }},
      {"new_user_namespace", "", [](const Target&) { return clone_with(CLONE_NEWUSER); }},
      {"new_mount_namespace", "", [](const Target&) { return clone_with(CLONE_NEWNS); }},
      {"unshare_user", "", [](const Target&) { return outcome(::unshare(CLONE_NEWUSER)); }},
      {"unshare_files_view", "", [](const Target&) { return outcome(::unshare(CLONE_NEWNS)); }},
      {"unshare_network", "", [](const Target&) { return outcome(::unshare(CLONE_NEWNET)); }},
      {"enter_namespace", "",
       [](const Target&) { return outcome(::setns(0, CLONE_NEWNET), {EINVAL}); }},
      {"trace_qmgr", "",
       [](const Target& t) {
         const pid_t pid = pid_of(t, "pid_qmgr");
         const long traced = ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr);
         if (traced == 0) ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
         return outcome(traced);
       }},
      {"be_traced", "",
       [](const Target&) { return outcome(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }},
      {"read_memory_of_qmgr", "", [](const Target& t) { return peek(t, "pid_qmgr"); }},
      {"read_memory_of_smtpd", "", [](const Target& t) { return peek(t, "pid_smtpd"); }},
      {"read_memory_of_master", "", [](const Target& t) { return peek(t, "pid_master"); }},
      {"write_memory_of_qmgr", "",
       [](const Target& t) {
         char byte = 0;
         iovec here{.iov_base = &byte, .iov_len = 1};
         iovec there{.iov_base = reinterpret_cast<void*>(0x1000), .iov_len = 1};
         return outcome(::process_vm_writev(pid_of(t, "pid_qmgr"), &here, 1, &there, 1, 0),
                        {EFAULT});
       }},
      {"take_descriptor_of_qmgr", "",
       [](const Target& t) {
         const long handle = ::syscall(SYS_pidfd_open, pid_of(t, "pid_qmgr"), 0);
         if (handle < 0) return errno;
         return outcome(::syscall(SYS_pidfd_getfd, handle, 0, 0));
       }},
      {"compare_with_qmgr", "",
       [](const Target& t) {
         return outcome(
             ::syscall(SYS_kcmp, ::getpid(), pid_of(t, "pid_qmgr"), 1 /* memory */, 0, 0));
       }},
      {"signal_master", "", [](const Target& t) { return signal_to(t, "pid_master"); }},
      {"signal_qmgr", "", [](const Target& t) { return signal_to(t, "pid_qmgr"); }},
      {"signal_smtpd", "", [](const Target& t) { return signal_to(t, "pid_smtpd"); }},
      {"signal_with_data", "",
       [](const Target& t) {
         return outcome(::sigqueue(pid_of(t, "pid_qmgr"), SIGWINCH, sigval{}));
       }},
      {"signal_thread_of_qmgr", "",
       [](const Target& t) {
         const pid_t pid = pid_of(t, "pid_qmgr");
         return outcome(::syscall(SYS_tgkill, pid, pid, SIGWINCH));
       }},
      {"signal_by_handle", "",
       [](const Target& t) {
         const long handle = ::syscall(SYS_pidfd_open, pid_of(t, "pid_qmgr"), 0);
         if (handle < 0) return errno;
         return outcome(::syscall(SYS_pidfd_send_signal, handle, SIGWINCH, nullptr, 0));
       }},
      {"limits_of_qmgr", "",
       [](const Target& t) {
         rlimit limit{};
         return outcome(::prlimit(pid_of(t, "pid_qmgr"), RLIMIT_NOFILE, nullptr, &limit));
       }},
      {"priority_of_qmgr", "",
       [](const Target& t) {
         return outcome(::setpriority(PRIO_PROCESS, static_cast<id_t>(pid_of(t, "pid_qmgr")), 0));
       }},
      {"become_root", "",
       [](const Target&) {
         if (::getuid() == 0) return 0;
         return outcome(::setuid(0));
       }},
      {"become_root_by_setresuid", "",
       [](const Target&) {
         if (::getuid() == 0) return 0;
         return outcome(::setresuid(0, 0, 0));
       }},
      {"become_somebody", "", [](const Target&) { return outcome(::setresuid(1, 1, 1)); }},
      {"join_group_of_root", "",
       [](const Target&) {
         const gid_t root = 0;
         return outcome(::setgroups(1, &root));
       }},
      {"change_group", "", [](const Target&) { return outcome(::setresgid(1, 1, 1)); }},
      {"change_fsuid", "",
       [](const Target&) {
         ::setfsuid(1);
         return static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))) == 1 ? 0 : EPERM;
       }},
      {"take_capabilities", "",
       [](const Target&) {
         __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
         __user_cap_data_struct data[2] = {};
         data[0].effective = data[0].permitted = 1U << CAP_DAC_OVERRIDE;
         return outcome(::syscall(SYS_capset, &header, &data));
       }},
      {"have_capabilities", "",
       [](const Target&) {
         __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
         __user_cap_data_struct data[2] = {};
         if (::syscall(SYS_capget, &header, &data) != 0) return errno;
         return (data[0].permitted | data[1].permitted) != 0 ? 0 : EPERM;
       }},
      {"allow_new_privileges", "",
       [](const Target&) { // cannot be cleared: the call itself must say so
         if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) return 0;
         return outcome(::prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
       }},
      {"switch_filter_off", "",
       [](const Target&) {
         if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) return 0;
         return outcome(::prctl(PR_SET_SECCOMP, 0, 0, 0, 0));
       }},
      {"raise_descriptors", "", [](const Target&) { return raise_limit(RLIMIT_NOFILE); }},
      {"raise_core", "", [](const Target&) { return raise_limit(RLIMIT_CORE); }},
      {"realtime_scheduling", "",
       [](const Target&) {
         const sched_param wish{.sched_priority = 1};
         return outcome(::sched_setscheduler(0, SCHED_FIFO, &wish));
       }},
      {"higher_priority", "",
       [](const Target&) { return outcome(::setpriority(PRIO_PROCESS, 0, -10)); }},
      {"another_personality", "",
       [](const Target&) { return outcome(::syscall(SYS_personality, 0x0040000 /* no ASLR */)); }},
  };
  return all;
}

} // namespace postrider::evil
