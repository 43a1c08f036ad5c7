// SPDX-License-Identifier: MIT
#include "command.hpp"

#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "base/secret.hpp"
#include "ev/condition.hpp"

namespace postrider::tokenmgr {
namespace {

// A started program. Its group is killed, and it is waited for, when it is not done.
class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0); // killed: does not take long
  }

  Result<Fd> start(const std::vector<std::string>& words) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe", errno);
    Fd ours(ends[0]);
    const Fd theirs(ends[1]);
    ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
    std::vector<char*> arguments;
    for (const std::string& word : words)
      arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    static char language[] = "LC_ALL=C";
    char* environment[] = {path, language, nullptr};

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, theirs.get(), 1);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    const int code =
        ::posix_spawn(&pid_, arguments[0], &files, &attributes, arguments.data(), environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (code == 0) return ours;
    pid_ = -1;
    return Error(ErrorKind::config, words[0] + ": " + Error::from_errno("exec", code).text());
  }
  pid_t pid() const { return pid_; }
  // Its status, once it has ended.
  std::optional<int> status() {
    siginfo_t info{};
    const id_t id = static_cast<id_t>(pid_);
    if (::waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
      return std::nullopt;
    ::kill(-pid_, SIGKILL); // whom it left behind: while the number is still its
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
};

Error failure_of(int status) {
  if (WIFSIGNALED(status))
    return Error(ErrorKind::refused, "killed by signal " + std::to_string(WTERMSIG(status)));
  return Error(ErrorKind::refused, "exit status " + std::to_string(WEXITSTATUS(status)));
}

} // namespace

ev::Task<Result<std::string>> run_command(ev::Loop& loop, const std::vector<std::string>& words,
                                          ev::Deadline deadline) {
  Child child;
  Result<Fd> output = child.start(words);
  if (!output) co_return output.error();
  const Fd end(static_cast<int>(::syscall(SYS_pidfd_open, child.pid(), 0)));
  if (!end) co_return Error::from_errno("pidfd_open", errno);
  ev::Condition changed(loop);
  const auto wake = [](void* condition, bool, bool) {
    static_cast<ev::Condition*>(condition)->notify_all();
  };
  const ev::FdWatch on_output(loop, output->get(), wake, &changed);
  const ev::FdWatch on_end(loop, end.get(), wake, &changed);
  std::string text;
  text.reserve(kMostOfOutput); // so that no copies of a secret stay behind
  while (true) {
    const std::optional<int> status = child.status();
    char buffer[4096];
    ssize_t got = 0;
    while ((got = ::read(output->get(), buffer, sizeof buffer)) > 0) {
      if (text.size() + static_cast<std::size_t>(got) > kMostOfOutput) {
        wipe(text);
        co_return Error(ErrorKind::limit, "too much output");
      }
      text.append(buffer, static_cast<std::size_t>(got));
    }
    ::explicit_bzero(buffer, sizeof buffer);
    if (status && *status != 0) wipe(text);
    if (status && *status != 0) co_return failure_of(*status);
    if (status) co_return text;
    Result<void> woken = co_await changed.wait(deadline, "a command");
    if (!woken) {
      wipe(text);
      co_return woken.error();
    }
  }
}

} // namespace postrider::tokenmgr
