// SPDX-License-Identifier: MIT
#include "probe.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/run.hpp"

namespace postrider::evil {

namespace {

constexpr int kLongest = 10'000; // milliseconds

std::string name_of(int error) {
  const char* name = ::strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

[[noreturn]] void report_and_end(int error, int answer) {
  const ssize_t n = ::write(answer, &error, sizeof error);
  ::_exit(n == sizeof error ? 0 : 1);
}

[[noreturn]] void child(const Order& order, const Attempt& attempt, bool outside, int answer) {
  if (outside) report_and_end(attempt.make(order.target), answer);
  daemon::Program program;
  program.name = order.role;
  program.takes_words = true;
  program.start = [&](daemon::Context&) -> Result<std::unique_ptr<daemon::Service>> {
    report_and_end(attempt.make(order.target), answer);
  };
  daemon::run(order.argc, order.argv, program);
  ::_exit(99); // the sandbox was not entered
}

std::string end_of(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return "lost ?";
  if (WIFSIGNALED(status)) {
    const char* name = ::sigabbrev_np(WTERMSIG(status));
    const std::string_view verdict = WTERMSIG(status) == SIGSYS ? "denied" : "failed";
    return std::string(verdict) + " SIG" + (name != nullptr ? name : "?");
  }
  // A program that was executed instead ends like that.
  if (WEXITSTATUS(status) == 0) return "done exit";
  return "failed exit-" + std::to_string(WEXITSTATUS(status));
}

std::string look_at(const Order& order, const Attempt& attempt, bool outside) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "failed pipe";
  const pid_t pid = ::fork();
  if (pid < 0) return "failed fork";
  if (pid == 0) {
    ::close(ends[0]);
    child(order, attempt, outside, ends[1]);
  }
  ::close(ends[1]);
  pollfd wait{.fd = ends[0], .events = POLLIN, .revents = 0};
  std::string seen;
  int error = 0;
  if (::poll(&wait, 1, kLongest) == 0) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    seen = "hung -";
  } else if (::read(ends[0], &error, sizeof error) == sizeof error) {
    ::waitpid(pid, nullptr, 0);
    seen = error == 0 ? "done -" : "denied " + name_of(error);
  } else {
    seen = end_of(pid);
  }
  ::close(ends[0]);
  return seen;
}

} // namespace

void write_line(int fd, const std::string& line) {
  const std::string whole = line + "\n";
  if (::write(fd, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) ::_exit(98);
}

void make_attempts(const Order& order, bool outside) {
  const std::string role = outside ? "outside" : order.role;
  for (const Attempt& attempt : attempts()) {
    const bool right = !outside && is_right_of(attempt, order.role);
    const std::string seen = right ? "right -" : look_at(order, attempt, outside);
    write_line(order.report, "attempt " + role + " " + attempt.name + " " + seen);
  }
  write_line(order.report, "attempts-end " + role);
}

} // namespace postrider::evil
