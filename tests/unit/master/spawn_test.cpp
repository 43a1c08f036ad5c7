// SPDX-License-Identifier: MIT
#include "spawn.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.hpp"

namespace postrider::master {
namespace {

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read = Fd(ends[0]);
    write = Fd(ends[1]);
  }
  std::string rest() {
    write.reset();
    std::string out;
    char buffer[256];
    for (ssize_t n; (n = ::read(read.get(), buffer, sizeof buffer)) > 0;)
      out.append(buffer, static_cast<std::size_t>(n));
    return out;
  }
  Fd read, write;
};

int wait_for(pid_t pid) {
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

SpawnRequest shell(std::string script) {
  SpawnRequest request;
  request.path = "/bin/sh";
  request.arguments = {"sh", "-c", std::move(script)};
  return request;
}

// Each listener arrives under its number and in its order, although source and target numbers
// overlap in every way; nothing else is open.
TEST(Spawn, DescriptorsStandWhereTheContractSays) {
  Pipe status;
  Pipe lifeline;
  Pipe log;
  std::vector<Pipe> listeners(4);
  SpawnRequest request = shell("echo status >&3; echo log >&5; echo err >&2;"
                               "echo L0 >&6; echo L1 >&7; echo L2 >&8; echo L3 >&9;"
                               "echo $POSTRIDER_LISTENERS $A >&3; ls /proc/self/fd | wc -l >&3");
  request.environment = {"A=b", "PATH=/usr/bin:/bin"};
  request.status = status.write.get();
  request.lifeline = lifeline.read.get();
  request.log = log.write.get();
  for (const int i : {3, 0, 2, 1})
    request.listeners.push_back(listeners[i].write.get());
  const auto pid = spawn(request);
  ASSERT_TRUE(pid.ok());
  EXPECT_EQ(wait_for(*pid), 0);
  // 0 to 9, and the directory that ls itself reads.
  EXPECT_EQ(status.rest(), "status\n4 b\n11\n");
  EXPECT_EQ(log.rest(), "log\nerr\n");
  EXPECT_EQ(listeners[3].rest(), "L0\n");
  EXPECT_EQ(listeners[0].rest(), "L1\n");
  EXPECT_EQ(listeners[2].rest(), "L2\n");
  EXPECT_EQ(listeners[1].rest(), "L3\n");
}

// But for SIGUSR1, which no process dies of: it is ignored until the program handles it.
TEST(Spawn, SignalsAreAsInAFreshProcess) {
  Pipe status;
  Pipe lifeline;
  ::signal(SIGPIPE, SIG_IGN);
  // Signals 1 to 28: 32 and 33 are the C library's own, which no program can reset.
  SpawnRequest request =
      shell("sed -n -E 's/(SigIgn|SigBlk):.*(.{7})$/\\1 \\2/p' /proc/self/status >&3");
  request.environment = {"PATH=/usr/bin:/bin"};
  request.status = status.write.get();
  request.lifeline = lifeline.read.get();
  const auto pid = spawn(request);
  ::signal(SIGPIPE, SIG_DFL);
  ASSERT_TRUE(pid.ok());
  EXPECT_EQ(wait_for(*pid), 0);
  EXPECT_EQ(status.rest(), "SigBlk 0000000\nSigIgn 0000200\n");
}

TEST(Spawn, MissingProgramExitsWith127) {
  Pipe status;
  Pipe lifeline;
  SpawnRequest request;
  request.path = "/nonexistent/program";
  request.arguments = {"program"};
  request.status = status.write.get();
  request.lifeline = lifeline.read.get();
  const auto pid = spawn(request);
  ASSERT_TRUE(pid.ok());
  const int result = wait_for(*pid);
  EXPECT_TRUE(WIFEXITED(result));
  EXPECT_EQ(WEXITSTATUS(result), 127);
}

} // namespace
} // namespace postrider::master
