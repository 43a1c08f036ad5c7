// SPDX-License-Identifier: MIT
#include <cerrno>
#include <csignal>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>

#include "base/fd.hpp"
#include "inside.hpp"
#include "sandbox/filter.hpp"

namespace postrider::sandbox {
namespace {

using namespace test;

constexpr int kKilled = 1000 + SIGSYS;

TEST(Filter, KillsForWhatNoProgramEverDoes) {
  const Instance instance;
  const auto settings = instance.settings();
  for (const Call& call : kNever) {
    const int number = seccomp_syscall_resolve_name(call.name);
    if (number < 0) continue; // of other architectures
    EXPECT_EQ(inside("scache", settings,
                     [&] { return ::syscall(number, 0, 0, 0, 0, 0, 0) == 0 ? 0 : 1; }),
              kKilled)
        << call.name;
  }
}

TEST(Filter, LetsPassAndReportsWhatItsListLacksWhenAsked) {
  const Instance instance;
  const auto settings = instance.settings();
  const auto open_socket = [] {
    const bool made = ::socket(AF_INET, SOCK_STREAM, 0) >= 0;
    const std::vector<std::string> told = take_refused();
    return (made ? 10 : 0) + (told == std::vector<std::string>{"socket"} ? 1 : 0);
  };
  EXPECT_EQ(inside("scache", settings, open_socket), 1);
  ::setenv(kReportVariable, "1", 1);
  EXPECT_EQ(inside("scache", settings, open_socket), 11);
  EXPECT_EQ(inside("scache", settings, [] { return static_cast<int>(::syscall(SYS_keyctl)); }),
            kKilled);
  ::unsetenv(kReportVariable);
}

TEST(Filter, KillsForExecAndNamespacesAndRawSocketsInEveryProgram) {
  const Instance instance;
  const auto settings = instance.settings();
  for (const std::string_view name : profiled_programs()) {
    const std::string program(name);
    const auto run = [&](auto body) { return inside(program, settings, body); };
    EXPECT_EQ(run([] {
                char path[] = "/bin/true";
                char* arguments[] = {path, nullptr};
                return error_of(::execve(path, arguments, environ));
              }),
              kKilled)
        << program;
    EXPECT_EQ(run([] {
                return error_of(
                    ::syscall(SYS_execveat, AT_FDCWD, "/bin/true", nullptr, nullptr, 0));
              }),
              kKilled)
        << program;
    EXPECT_EQ(run([] {
                return error_of(
                    ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, 0));
              }),
              kKilled)
        << program;
    EXPECT_EQ(run([] { return error_of(::socket(AF_PACKET, SOCK_RAW, 0)); }), kKilled) << program;
    EXPECT_EQ(
        run([] { return error_of(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)); }),
        kKilled)
        << program;
    EXPECT_EQ(run([] { return error_of(::socket(AF_NETLINK, SOCK_RAW, 0)); }), EAFNOSUPPORT)
        << program;
  }
}

TEST(Filter, RefusesWhatIsNotListedAndRemembersIt) {
  const Instance instance;
  const auto settings = instance.settings();
  EXPECT_EQ(inside("smtpd", settings,
                   [&] {
                     if (error_of(::syscall(SYS_mkdir, "x", 0700)) != ENOSYS) return 1;
                     if (error_of(::syscall(SYS_rename, "x", "y")) != ENOSYS) return 2;
                     if (error_of(::syscall(SYS_rename, "x", "y")) != ENOSYS) return 3;
                     const std::vector<std::string> wanted = {"mkdir", "rename"};
                     if (take_refused() != wanted) return 4;
                     return take_refused().empty() ? 0 : 5;
                   }),
            0);
}

TEST(Filter, LetsProcessesBeMadeWhereTheProfileSaysSo) {
  const Instance instance;
  const auto settings = instance.settings();
  const auto forks = [] {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(7);
    int status = 0;
    if (child < 0) return 1;
    return ::waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7 ? 0 : 2;
  };
  for (const std::string_view program : profiled_programs()) {
    const bool may = kSanitized || find_profile(program, settings)->forks;
    EXPECT_EQ(inside(std::string(program), settings, forks), may ? 0 : 1) << program;
    EXPECT_EQ(inside(std::string(program), settings,
                     [] {
                       int seen = 0;
                       std::thread([&seen] { seen = 1; }).join();
                       return seen == 1 ? 0 : 1;
                     }),
              0)
        << program;
  }
}

TEST(Filter, AllowsTheSocketsOfEachProgram) {
  const Instance instance;
  const auto settings = instance.settings();
  struct Case {
    int family, type, protocol;
    bool local, internet; // whether it is allowed there
  };
  constexpr int kMptcp = 262;
  const Case cases[] = {
      {AF_UNIX, SOCK_STREAM, 0, true, true},
      {AF_UNIX, SOCK_DGRAM, 0, true, true},
      {AF_INET, SOCK_STREAM, 0, false, true},
      {AF_INET, SOCK_STREAM, IPPROTO_TCP, false, true},
      {AF_INET6, SOCK_DGRAM, 0, false, true},
      {AF_INET, SOCK_DGRAM, IPPROTO_UDP, false, true},
      {AF_INET, SOCK_STREAM, kMptcp, false, false},
      {AF_INET, SOCK_STREAM, IPPROTO_SCTP, false, false},
      {AF_VSOCK, SOCK_STREAM, 0, false, false},
      {AF_ALG, SOCK_SEQPACKET, 0, false, false},
  };
  for (const std::string_view program : profiled_programs()) {
    const bool internet = find_profile(program, settings)->sockets == Sockets::internet;
    for (const Case& c : cases) {
      const int got = inside(std::string(program), settings,
                             [&] { return error_of(::socket(c.family, c.type, c.protocol)); });
      EXPECT_EQ(got == 0, internet ? c.internet : c.local)
          << program << " " << c.family << " " << c.type << " " << c.protocol << ": " << got;
    }
  }
}

// Of a socket that others hold as well.
TEST(Filter, LetsOnlyListedOptionsBeSet) {
  const Instance instance;
  const auto settings = instance.settings();
  struct Case {
    int level, option, value, error;
  };
  const Case cases[] = {
      {IPPROTO_TCP, TCP_NODELAY, 1, 0},           {SOL_SOCKET, SO_RCVBUF, 8192, 0},
      {SOL_SOCKET, SO_DETACH_FILTER, 0, ENOSYS},  {SOL_SOCKET, SO_LOCK_FILTER, 0, ENOSYS},
      {SOL_SOCKET, SO_BINDTOIFINDEX, 0, ENOSYS},  {IPPROTO_IP, IP_MINTTL, 0, ENOSYS},
      {IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, ENOSYS},
  };
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(socket);
  for (const std::string_view program : profiled_programs())
    for (const Case& c : cases)
      EXPECT_EQ(inside(std::string(program), settings,
                       [&] {
                         return error_of(::setsockopt(socket.get(), c.level, c.option, &c.value,
                                                      sizeof c.value));
                       }),
                c.error)
          << program << " " << c.level << " " << c.option;
}

TEST(Filter, LetsAProcessSeeItsOwnLimitsAlone) {
  const Instance instance;
  const auto settings = instance.settings();
  const auto limits_of = [&](pid_t pid) {
    return inside("smtpd", settings, [&] {
      rlimit limit{};
      return error_of(::prlimit(pid, RLIMIT_NOFILE, nullptr, &limit));
    });
  };
  EXPECT_EQ(limits_of(0), 0);
  EXPECT_EQ(limits_of(::getpid()), ENOSYS);
}

} // namespace
} // namespace postrider::sandbox
