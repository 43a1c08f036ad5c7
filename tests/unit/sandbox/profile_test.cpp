// SPDX-License-Identifier: MIT
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <seccomp.h>
#include <set>
#include <sys/socket.h>
#include <sys/un.h>
#include <tuple>

#include "inside.hpp"
#include "sandbox/filter.hpp"

namespace postrider::sandbox {
namespace {

using namespace test;

TEST(Profile, ExistsForEachProgramAndGivesReasons) {
  const Instance instance;
  const auto settings = instance.settings();
  EXPECT_EQ(profiled_programs().size(), 11u);
  for (const std::string_view program : profiled_programs()) {
    const auto profile = find_profile(program, settings);
    ASSERT_TRUE(profile) << program;
    EXPECT_EQ(profile->program, program);
    EXPECT_FALSE(profile->calls.empty()) << program;
    std::set<std::string> never;
    for (const Call& call : kNever)
      never.insert(call.name);
    for (const Calls list : profile->calls)
      for (const Call& call : list) {
        EXPECT_FALSE(call.reason.empty()) << call.name;
        EXPECT_FALSE(never.contains(call.name)) << program << " " << call.name;
        EXPECT_NE(seccomp_syscall_resolve_name(call.name), __NR_SCMP_ERROR) << call.name;
      }
  }
  EXPECT_FALSE(find_profile("no-such-program", settings));
}

// Where its user is that of all, the log is its own file.
TEST(Sandbox, WritesTheLogAndNeitherReadsNorCutsIt) {
  if (landlock_abi() < 3) GTEST_SKIP() << "Landlock knows nothing of cutting files here";
  const Instance instance;
  std::string place = "/tmp/postrider-test-XXXXXX"; // below /dev a log is no file
  ASSERT_NE(::mkdtemp(place.data()), nullptr);
  const std::string log = place + "/log";
  const std::string table = place + "/table";
  std::ofstream(log) << "a line\n";
  std::ofstream(table) << "x y\n";
  const std::string named = "maillog_file = " + log + "\n";
  for (const std::string_view name : profiled_programs()) {
    const std::string program(name);
    if (program == "saslmgr") continue; // left open: see its profile
    const auto open_log = [&](int flags, const std::string& more) {
      const auto settings = instance.settings(named + more);
      return inside(program, settings, [&] { return opened(log, flags); });
    };
    EXPECT_EQ(open_log(O_WRONLY | O_APPEND, ""), 0) << program;
    EXPECT_EQ(open_log(O_RDONLY, ""), EACCES) << program;
    EXPECT_EQ(open_log(O_WRONLY | O_TRUNC, ""), EACCES) << program;
    // Beside a table that it reads, both hold.
    const std::string beside = "relay_domains = texthash:" + table + "\n";
    EXPECT_EQ(open_log(O_WRONLY | O_APPEND, beside), 0) << program;
  }
  std::filesystem::remove_all(place);
}

TEST(Sandbox, OpensWhatTheConfigurationNamesAndNothingElse) {
  if (landlock_abi() == 0) GTEST_SKIP() << "no Landlock here";
  const Instance instance;
  const auto settings = instance.settings(
      "smtpd_client_restrictions = check_client_access texthash:" + instance.path("etc/table") +
      "\n");
  for (const std::string_view name : profiled_programs()) {
    const std::string program(name);
    if (program == "saslmgr") continue; // left open: see its profile
    const auto run = [&](auto body) { return inside(program, settings, body); };
    EXPECT_EQ(run([&] { return opened(instance.path("etc/main.cf"), O_RDONLY); }), 0) << program;
    EXPECT_EQ(run([&] { return opened(instance.path("etc/main.cf"), O_WRONLY); }), EACCES)
        << program;
    EXPECT_EQ(run([&] { return opened(instance.path("elsewhere/secret"), O_RDONLY); }), EACCES)
        << program;
    EXPECT_EQ(run([&] { return opened("/proc/self/environ", O_RDONLY); }), kSanitized ? 0 : EACCES)
        << program;
    EXPECT_EQ(run([&] { return opened(instance.path("etc/new"), O_WRONLY | O_CREAT); }), EACCES)
        << program;
    const int queue = program == "qmgr" ? 0 : EACCES;
    EXPECT_EQ(run([&] { return opened(instance.path("spool/message"), O_RDWR); }), queue)
        << program;
    EXPECT_EQ(run([&] { return opened(instance.path("spool"), O_RDONLY | O_DIRECTORY); }), queue)
        << program;
  }
}

TEST(Sandbox, KeepsADirectoryClosedThatHoldsTheQueue) {
  if (landlock_abi() == 0) GTEST_SKIP() << "no Landlock here";
  Instance instance;
  std::ofstream(instance.path("table")) << "x y\n";
  const auto settings =
      instance.settings("relay_domains = texthash:" + instance.path("table") + "\n");
  EXPECT_EQ(inside("smtpd", settings, [&] { return opened(instance.path("table"), O_RDONLY); }), 0);
  EXPECT_EQ(
      inside("smtpd", settings, [&] { return opened(instance.path("spool/message"), O_RDONLY); }),
      EACCES);
  // What takes the name of a file that is reached by itself is not reached: a successor is needed.
  auto sandbox = Sandbox::prepare(*find_profile("smtpd", settings), settings, ::geteuid());
  ASSERT_TRUE(sandbox) << sandbox.error().text();
  EXPECT_FALSE(sandbox->is_stale());
  EXPECT_TRUE(sandbox->covers(settings));
  std::ofstream(instance.path("fresh")) << "x z\n";
  std::filesystem::rename(instance.path("fresh"), instance.path("table"));
  EXPECT_TRUE(sandbox->is_stale());
  EXPECT_FALSE(sandbox->covers(settings));
}

TEST(Sandbox, KnowsThatATableCameWhichWasMissing) {
  if (landlock_abi() == 0) GTEST_SKIP() << "no Landlock here";
  const Instance instance;
  const auto settings =
      instance.settings("relay_domains = texthash:" + instance.path("table") + "\n");
  auto sandbox = Sandbox::prepare(*find_profile("smtpd", settings), settings, ::geteuid());
  ASSERT_TRUE(sandbox) << sandbox.error().text();
  EXPECT_FALSE(sandbox->is_stale());
  std::ofstream(instance.path("table")) << "x y\n";
  EXPECT_TRUE(sandbox->is_stale());
}

TEST(Sandbox, NeedsASuccessorForAConfigurationThatReachesMore) {
  const Instance instance;
  const auto settings = instance.settings();
  auto sandbox = Sandbox::prepare(*find_profile("smtpd", settings), settings, ::geteuid());
  ASSERT_TRUE(sandbox) << sandbox.error().text();
  EXPECT_TRUE(sandbox->covers(instance.settings("myhostname = other.example\n")));
  EXPECT_FALSE(sandbox->covers(
      instance.settings("relay_domains = texthash:" + instance.path("elsewhere/secret") + "\n")));
  EXPECT_FALSE(sandbox->covers(instance.settings("smtpd_milters = inet:127.0.0.1:8891\n")));
}

// A port of 127.0.0.1 on which somebody listens.
struct Listening {
  Listening() : fd(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 100) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      std::abort();
    port = ntohs(address.sin_port);
  }
  ~Listening() { ::close(fd); }
  int fd;
  int port = 0;
};

int connected(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return error_of(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
}

int bound(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return error_of(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
}

TEST(Sandbox, ConnectsToPortsOfTheConfigurationAlone) {
  if (landlock_abi() < 4) GTEST_SKIP() << "no ports in the Landlock of this kernel";
  const Instance instance;
  const Listening listening;
  const std::string place = "127.0.0.1:" + std::to_string(listening.port);
  const std::tuple<std::string, std::string, int> cases[] = {
      {"smtpd", "", EACCES},
      {"smtpd", "smtpd_milters = inet:" + place + "\n", 0},
      {"smtpd", "smtpd_recipient_restrictions = check_policy_service inet:" + place + "\n", 0},
      {"smtpd",
       "smtpd_recipient_restrictions = check_policy_service { inet:" + place + ", timeout=3s }\n",
       0},
      {"smtpd", "relay_domains = socketmap:inet:" + place + ":name\n", 0},
      {"smtpd", "smtpd_forward = smtp:[127.0.0.1]:1\n", 0}, // tables may name any
      {"qmgr", "transport_maps = socketmap:inet:" + place + ":name\n", 0},
      {"tlsmgr", "", EACCES},
      {"tlsmgr", "mta_sts_port = " + std::to_string(listening.port) + "\n", 0},
      {"smtp", "", 0},
      {"tlsrpt", "", 0},
  };
  for (const auto& [program, main_cf, wanted] : cases)
    EXPECT_EQ(
        inside(program, instance.settings(main_cf), [&] { return connected(listening.port); }),
        wanted)
        << program << " " << main_cf;
  for (const std::string_view name : profiled_programs()) {
    const std::string program(name);
    if (find_profile(program, instance.settings())->sockets != Sockets::internet) continue;
    EXPECT_EQ(inside(program, instance.settings(), [] { return bound(2525); }), EACCES) << program;
    EXPECT_EQ(inside(program, instance.settings(), [] { return bound(0); }), 0) << program;
  }
}

TEST(Sandbox, SignalsAndAbstractSocketsEndAtItsBorder) {
  if (landlock_abi() < 6) GTEST_SKIP() << "no scopes in the Landlock of this kernel";
  const Instance instance;
  const auto settings = instance.settings();
  const pid_t parent = ::getpid();
  EXPECT_EQ(inside("tlsmgr", settings, [&] { return error_of(::kill(parent, 0)); }), EPERM);
  EXPECT_EQ(inside("tlsmgr", settings, [] { return error_of(::kill(::getpid(), 0)); }), 0);

  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "postrider-test-" + std::to_string(parent);
  name.copy(address.sun_path + 1, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  EXPECT_EQ(inside("smtpd", settings,
                   [&] {
                     const int mine = ::socket(AF_UNIX, SOCK_STREAM, 0);
                     return error_of(::connect(mine, reinterpret_cast<sockaddr*>(&address), size));
                   }),
            EPERM);
  ::close(fd);
}

TEST(Sandbox, NamesOfHostsAndServicesAreStillFound) {
  const Instance instance;
  EXPECT_EQ(inside("smtpd", instance.settings(),
                   [] {
                     addrinfo hints{};
                     hints.ai_socktype = SOCK_STREAM;
                     addrinfo* found = nullptr;
                     if (::getaddrinfo("localhost", "25", &hints, &found) != 0) return 1;
                     ::freeaddrinfo(found);
                     if (::getservbyname("smtp", "tcp") == nullptr) return 2;
                     return take_refused().empty() ? 0 : 3;
                   }),
            0);
}

TEST(Sandbox, UsersAreFoundWhereTheyCount) {
  const Instance instance;
  const auto finds = [] { return ::getpwnam("nobody") != nullptr ? 0 : 1; };
  EXPECT_EQ(inside("qmgr", instance.settings(), finds), 0);
  EXPECT_EQ(inside("smtpd", instance.settings("smtpd_local_submission = yes\n"), finds), 0);
}

} // namespace
} // namespace postrider::sandbox
