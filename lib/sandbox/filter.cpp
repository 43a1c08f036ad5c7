// SPDX-License-Identifier: MIT
#include "sandbox/filter.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <future>
#include <linux/sched.h>
#include <memory>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <thread>
#include <ucontext.h>

namespace postrider::sandbox {

namespace {

// ---- what was refused: written in signal context, by any thread

constexpr std::size_t kMost = 16;
std::array<std::atomic<int>, kMost> refused; // number of the call + 1
std::atomic<std::size_t> refused_count = 0;
std::size_t told = 0;

void remember(int call) {
  for (std::size_t i = 0; i < refused_count.load(std::memory_order_acquire); ++i)
    if (refused[i].load(std::memory_order_relaxed) == call + 1) return;
  const std::size_t at = refused_count.load(std::memory_order_relaxed);
  if (at >= kMost) return;
  refused[at].store(call + 1, std::memory_order_relaxed); // two threads at a time: one is lost
  refused_count.store(at + 1, std::memory_order_release);
}

// The call did not happen; it returns ENOSYS.
void on_refusal(int, siginfo_t* info, void* context) {
  constexpr int kOfFilter = 1; // SYS_SECCOMP, which older headers lack
  if (info->si_code != kOfFilter) return;
  remember(info->si_syscall);
  auto* state = static_cast<ucontext_t*>(context);
#if defined(__x86_64__)
  state->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#elif defined(__aarch64__)
  state->uc_mcontext.regs[0] = static_cast<unsigned long long>(-ENOSYS);
#else
#error "what a refused call returns on this architecture"
#endif
}

// ---- what would have been refused

// Answers the kernel's questions about the calls of the other threads, to the end of the process.
void let_pass(int fd) {
  seccomp_notif* question = nullptr;
  seccomp_notif_resp* answer = nullptr;
  if (seccomp_notify_alloc(&question, &answer) != 0) return;
  while (true) {
    *question = {};
    *answer = {};
    if (seccomp_notify_receive(fd, question) != 0) continue; // who asked is gone
    remember(question->data.nr);
    answer->id = question->id;
    answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    (void)seccomp_notify_respond(fd, answer);
  }
}

// Begun before the filter is there, so that it is not subject to it; told the descriptor
// afterwards.
std::promise<int> begin_to_let_pass() {
  std::promise<int> fd;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  std::thread([told = fd.get_future()]() mutable { let_pass(told.get()); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return fd;
}

// ---- rules

// CLONE_NEWTIME is no flag of clone(): unshare() and clone3() alone take it.
constexpr std::array<std::uint64_t, 7> kNamespaces = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                                      CLONE_NEWIPC, CLONE_NEWPID,    CLONE_NEWNET,
                                                      CLONE_NEWUSER};
constexpr std::uint64_t kAnyNamespace = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUSER;
constexpr std::uint32_t kTypeMask = 0xf; // of socket()'s second argument, without its flags

class Builder {
 public:
  explicit Builder(std::uint32_t otherwise) : context_(seccomp_init(otherwise)) {
    if (context_ == nullptr) failed_ = Error::from_errno("seccomp_init", ENOMEM);
    // A binary tree of numbers rather than a list of them.
    if (context_ != nullptr && seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0)
      failed_ = Error(ErrorKind::io, "seccomp: no binary tree");
  }
  ~Builder() {
    if (context_ != nullptr) seccomp_release(context_);
  }
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  void rule(std::uint32_t action, const char* name, std::vector<scmp_arg_cmp> when = {}) {
    const int call = seccomp_syscall_resolve_name(name);
    if (failed_ || call == __NR_SCMP_ERROR) return; // not on this architecture
    const int code = seccomp_rule_add_array(context_, action, call,
                                            static_cast<unsigned>(when.size()), when.data());
    if (code != 0 && code != -EEXIST && code != -EACCES && code != -EDOM)
      failed_ = Error::from_errno(std::string("seccomp: ") + name, -code);
  }
  Result<void> load() {
    if (failed_) return *failed_;
    if (const int code = seccomp_load(context_); code != 0)
      return Error::from_errno("seccomp_load", -code);
    return {};
  }
  int questions() const { return ::fcntl(seccomp_notify_fd(context_), F_DUPFD_CLOEXEC, 0); }

 private:
  scmp_filter_ctx context_;
  std::optional<Error> failed_;
};

scmp_arg_cmp is(unsigned argument, std::uint64_t value) {
  return scmp_arg_cmp{argument, SCMP_CMP_EQ, value, 0};
}
scmp_arg_cmp masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void rules_of_sockets(Builder& filter, const Profile& profile, bool allow_list) {
  filter.rule(SCMP_ACT_KILL_PROCESS, "socket", {is(0, AF_PACKET)});
  // The C library asks for addresses of interfaces by it, and goes on without.
  filter.rule(SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", {is(0, AF_NETLINK)});
  for (const std::uint64_t family : {AF_INET, AF_INET6})
    filter.rule(SCMP_ACT_KILL_PROCESS, "socket", {is(0, family), masked(1, kTypeMask, SOCK_RAW)});
  if (!allow_list) return;
  for (const SocketOption& known : kSocketOptions)
    filter.rule(SCMP_ACT_ALLOW, "setsockopt",
                {is(1, static_cast<std::uint64_t>(known.level)),
                 is(2, static_cast<std::uint64_t>(known.option))});
  filter.rule(SCMP_ACT_ALLOW, "socket", {is(0, AF_UNIX)});
  if (profile.sockets != Sockets::internet) return;
  for (const std::uint64_t family : {AF_INET, AF_INET6}) {
    // By protocol: Landlock's ports do not hold for MPTCP and SCTP.
    for (const std::uint64_t protocol : {0, static_cast<int>(IPPROTO_TCP)})
      filter.rule(SCMP_ACT_ALLOW, "socket",
                  {is(0, family), masked(1, kTypeMask, SOCK_STREAM), is(2, protocol)});
    for (const std::uint64_t protocol : {0, static_cast<int>(IPPROTO_UDP)})
      filter.rule(SCMP_ACT_ALLOW, "socket",
                  {is(0, family), masked(1, kTypeMask, SOCK_DGRAM), is(2, protocol)});
  }
}

void rules_of_processes(Builder& filter, const Profile& profile, bool allow_list) {
  if (!profile.executes) {
    filter.rule(SCMP_ACT_KILL_PROCESS, "execve");
    filter.rule(SCMP_ACT_KILL_PROCESS, "execveat");
  }
  for (const std::uint64_t flag : kNamespaces)
    filter.rule(SCMP_ACT_KILL_PROCESS, "clone", {masked(0, flag, flag)});
  // Its flags are in memory, where a filter cannot look: the C library falls back to clone().
  filter.rule(SCMP_ACT_ERRNO(ENOSYS), "clone3");
  if (!allow_list) return;
  filter.rule(SCMP_ACT_ALLOW, "prlimit64", {is(0, 0)}); // of itself
  const std::uint64_t wanted = profile.forks ? 0 : CLONE_THREAD;
  filter.rule(SCMP_ACT_ALLOW, "clone", {masked(0, kAnyNamespace | wanted, wanted)});
#if defined(__SANITIZE_ADDRESS__)
  filter.rule(SCMP_ACT_ALLOW, "clone", {masked(0, kAnyNamespace, 0)}); // the search for leaks
#endif
}

} // namespace

bool has_filters() { return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0; }

bool reports_only() { return std::getenv(kReportVariable) != nullptr; }

Result<void> filter_calls(const Profile& profile, Unlisted unlisted) {
  const bool allow_list = !profile.calls.empty();
  const bool reports = allow_list && unlisted == Unlisted::reported;
  Builder filter(reports ? SCMP_ACT_NOTIFY : allow_list ? SCMP_ACT_TRAP : SCMP_ACT_ALLOW);
  for (const Call& call : kNever)
    filter.rule(SCMP_ACT_KILL_PROCESS, call.name);
  rules_of_processes(filter, profile, allow_list);
  rules_of_sockets(filter, profile, allow_list);
  if (allow_list) {
    for (const Calls list : profile.calls)
      for (const Call& call : list)
        filter.rule(SCMP_ACT_ALLOW, call.name);
    for (const Call& call : kSanitizer)
      filter.rule(SCMP_ACT_ALLOW, call.name);
    struct sigaction action {};
    action.sa_sigaction = on_refusal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGSYS, &action, nullptr);
  }
  if (!reports) return filter.load();
  std::promise<int> questions = begin_to_let_pass();
  POSTRIDER_TRY_VOID(filter.load());
  questions.set_value(filter.questions());
  return {};
}

std::vector<std::string> take_refused() {
  std::vector<std::string> out;
  const std::size_t count = refused_count.load(std::memory_order_acquire);
  for (; told < count; ++told) {
    const int call = refused[told].load(std::memory_order_relaxed) - 1;
    char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
    out.push_back(name != nullptr ? name : std::to_string(call));
    ::free(name);
  }
  return out;
}

} // namespace postrider::sandbox
