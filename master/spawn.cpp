// SPDX-License-Identifier: MIT
#include "spawn.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <linux/close_range.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "proto/child_status.hpp"

namespace postrider::master {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& text : strings)
    out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

void reset_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    ::sigaction(number, &plain, nullptr);
  // To retire: a process that does not listen yet, or is about to end, is not to die of that.
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Async-signal-safe calls only, though master has one thread.
[[noreturn]] void become_child(const SpawnRequest& request, std::vector<int>& wanted,
                               char* const* argv, char* const* envp) {
  // wanted[i] shall become descriptor i. First out of each other's way, then into place.
  const int clear = static_cast<int>(wanted.size());
  for (int& fd : wanted)
    if ((fd = ::fcntl(fd, F_DUPFD, clear)) < 0) ::_exit(126);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (::dup2(wanted[i], static_cast<int>(i)) < 0) ::_exit(126);
  if (::close_range(static_cast<unsigned>(clear), ~0U, 0) != 0) ::_exit(126);
  ::setsid(); // a key pressed at master's terminal is master's business
  reset_signals();
  // Master may be protected from the out-of-memory killer; its children are not.
  if (const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); score >= 0) {
    if (::write(score, "0", 1) < 0) {
    }
    ::close(score);
  }
  ::execve(request.path.c_str(), argv, envp);
  ::_exit(127);
}

} // namespace

Result<pid_t> spawn(const SpawnRequest& request) {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return Error::from_errno("open /dev/null", errno);
  const int log = request.log >= 0 ? request.log : null.get();
  const int standard_error = request.log < 0 && request.keep_stderr ? STDERR_FILENO : log;
  std::vector<int> wanted = {null.get(),     null.get(),       standard_error,
                             request.status, request.lifeline, log};
  static_assert(proto::kStatusFd == 3 && proto::kLifelineFd == 4 && proto::kLogFd == 5 &&
                proto::kFirstListenerFd == 6);
  wanted.insert(wanted.end(), request.listeners.begin(), request.listeners.end());

  std::vector<std::string> environment = request.environment;
  environment.push_back(std::string(proto::kListenersVariable) + "=" +
                        std::to_string(request.listeners.size()));
  const std::vector<char*> argv = pointers(request.arguments);
  const std::vector<char*> envp = pointers(environment);

  // No handler of master's may run in the child.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) become_child(request, wanted, argv.data(), envp.data());
  const int saved = errno;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return Error::from_errno("fork", saved);
  return pid;
}

} // namespace postrider::master
