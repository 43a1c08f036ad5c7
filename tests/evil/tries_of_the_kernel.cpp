// SPDX-License-Identifier: MIT
// Attempts on the kernel and on the machine: each call asks for what it cannot get in any case, in
// a way that shows whether it was let so far.
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include "tries.hpp"

namespace postrider::evil {

const std::vector<Attempt>& tries_of_the_kernel() {
  static const std::vector<Attempt> all = {
      {"mount", "",
       [](const Target&) {
         return outcome(::mount("none", "/nonexistent", "tmpfs", 0, nullptr), {ENOENT});
       }},
      {"unmount", "",
       [](const Target&) { return outcome(::umount2("/nonexistent", 0), {ENOENT}); }},
      {"pivot_root", "",
       [](const Target&) {
         return outcome(::syscall(SYS_pivot_root, "/nonexistent", "/nonexistent"), {ENOENT});
       }},
      {"chroot", "", [](const Target&) { return outcome(::chroot("/nonexistent"), {ENOENT}); }},
      {"file_system_by_fsopen", "",
       [](const Target&) { return outcome(::syscall(SYS_fsopen, "tmpfs", 0)); }},
      {"mount_by_open_tree", "",
       [](const Target&) {
         return outcome(::syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* clone */));
       }},
      {"bpf", "",
       [](const Target&) {
         char attributes[128] = {};
         return outcome(::syscall(SYS_bpf, 0 /* map */, attributes, sizeof attributes), {EINVAL});
       }},
      {"perf_event", "",
       [](const Target&) {
         char attributes[128] = {};
         return outcome(::syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0), {EINVAL, ENOENT});
       }},
      {"userfaultfd", "",
       [](const Target&) { return outcome(::syscall(SYS_userfaultfd, O_CLOEXEC)); }},
      {"io_uring", "",
       [](const Target&) {
         char parameters[120] = {};
         return outcome(::syscall(SYS_io_uring_setup, 1, parameters));
       }},
      {"keyctl", "",
       [](const Target&) {
         return outcome(::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0),
                        {ENOKEY});
       }},
      {"add_key", "",
       [](const Target&) {
         return outcome(
             ::syscall(SYS_add_key, "user", "postrider-evil", "x", 1, KEY_SPEC_PROCESS_KEYRING));
       }},
      {"request_key", "",
       [](const Target&) {
         return outcome(::syscall(SYS_request_key, "user", "postrider-evil", nullptr, 0), {ENOKEY});
       }},
      {"load_module", "",
       [](const Target&) {
         return outcome(::syscall(SYS_init_module, "x", 1UL, ""), {ENOEXEC, EFAULT, EINVAL});
       }},
      {"load_module_file", "",
       [](const Target&) {
         return outcome(::syscall(SYS_finit_module, -1, "", 0), {EBADF, ENOEXEC});
       }},
      {"remove_module", "",
       [](const Target&) {
         return outcome(::syscall(SYS_delete_module, "nonexistent", O_NONBLOCK), {ENOENT});
       }},
      {"load_kernel", "",
       [](const Target&) {
         return outcome(::syscall(SYS_kexec_load, 0UL, 0UL, nullptr, 0UL), {EINVAL, EADDRNOTAVAIL});
       }},
      {"reboot", "", // neither of the magic numbers
       [](const Target&) { return outcome(::syscall(SYS_reboot, 1, 2, 0, nullptr), {EINVAL}); }},
      {"swap_on", "", [](const Target&) { return outcome(::swapon("/nonexistent", 0), {ENOENT}); }},
      {"swap_off", "", [](const Target&) { return outcome(::swapoff("/nonexistent"), {ENOENT}); }},
      {"set_clock", "",
       [](const Target&) {
         const timespec wrong{.tv_sec = -1, .tv_nsec = -1};
         return outcome(::syscall(SYS_clock_settime, CLOCK_REALTIME, &wrong), {EINVAL});
       }},
      {"adjust_clock", "",
       [](const Target&) {
         timex change{};
         change.modes = ADJ_TICK;
         change.tick = 1; // refused to anybody
         return outcome(::adjtimex(&change), {EINVAL});
       }},
      {"set_host_name", "",
       [](const Target&) { return outcome(::syscall(SYS_sethostname, nullptr, 1), {EFAULT}); }},
      {"kernel_log", "",
       [](const Target&) { return outcome(::syscall(SYS_syslog, 10, nullptr, 0)); }},
      {"ports_of_devices", "", [](const Target&) { return outcome(::iopl(3)); }},
      {"process_accounting", "",
       [](const Target&) { return outcome(::acct("/nonexistent/x"), {ENOENT}); }},
      {"watch_files_of_others", "",
       [](const Target&) { return outcome(::syscall(SYS_fanotify_init, 0, O_RDONLY)); }},
      {"quotas", "",
       [](const Target&) {
         return outcome(::syscall(SYS_quotactl, 0x80000100 /* sync */, "/nonexistent", 0, nullptr),
                        {ENOENT, ENOTBLK});
       }},
      {"local_descriptor_table", "",
       [](const Target&) {
         char table[64];
         return outcome(::syscall(SYS_modify_ldt, 0, table, sizeof table));
       }},
      {"memory_of_others_advised", "",
       [](const Target&) {
         return outcome(::syscall(SYS_process_madvise, -1, nullptr, 0UL, 0, 0), {EBADF, EINVAL});
       }},
      {"hang_up_terminal", "", [](const Target&) { return outcome(::syscall(SYS_vhangup)); }},
      {"shared_memory_segment", "saslmgr",
       [](const Target&) {
         const long id = ::syscall(SYS_shmget, 0, 4096UL, 01000 | 0600);
         if (id >= 0) ::syscall(SYS_shmctl, id, 0 /* remove */, nullptr);
         return outcome(id);
       }},
      {"message_queue", "",
       [](const Target&) {
         const long id = ::syscall(SYS_msgget, 0, 01000 | 0600);
         if (id >= 0) ::syscall(SYS_msgctl, id, 0 /* remove */, nullptr);
         return outcome(id);
       }},
  };
  return all;
}

} // namespace postrider::evil
