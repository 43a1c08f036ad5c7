// SPDX-License-Identifier: MIT
// master: starts and supervises every other program of the suite. It holds the listening sockets
// and, when started as root, root's rights; it talks to its children by one status pipe each, and
// to `postrider` over private/master. It reads main.cf and master.cf and nothing else: no mail, no
// network input. What it could damage is the availability of the suite.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <new>
#include <string>
#include <string_view>
#include <unistd.h>

#include "base/out_of_memory.hpp"
#include "master.hpp"

namespace {

using namespace postrider;
using namespace postrider::master;

constexpr int kUsage = 64; // EX_USAGE of sysexits.h

void usage() {
  std::fputs("usage: master [-c directory] [-dintvw]\n"
             "  -c directory  configuration (default: $MAIL_CONFIG, else /etc/postrider)\n"
             "  -d            stay in the foreground\n"
             "  -i            stay in the foreground as process 1 of a container\n"
             "  -n            only read the configuration: exit status 1 if it is no good\n"
             "  -t            only test whether another master runs: exit status 1 if so\n"
             "  -w            wait until everything listens (always done)\n"
             "  -v            log more\n",
             stderr);
}

void print(const std::vector<std::string>& lines) {
  for (const std::string& line : lines)
    std::fprintf(stderr, "postrider: %s\n", line.c_str());
}

int test_lock(const std::string& directory) {
  config::Findings findings;
  const auto settings = config::Settings::load(
      {.config_directory = directory, .overrides = {}, .process_name = "master"}, findings);
  if (!settings) {
    print(findings.errors);
    return 2;
  }
  const std::string path = pid_path(*settings).front() == '/'
                               ? pid_path(*settings)
                               : settings->text("queue_directory") + "/" + pid_path(*settings);
  if (::access(path.c_str(), F_OK) != 0) return 0;
  const auto lock = InstanceLock::take(path, {});
  return lock || lock.error().kind() != ErrorKind::busy ? 0 : 1;
}

int read_only(const std::string& directory) {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
  const auto loaded = load_configuration(directory, {}, Host::here(), errors, warnings);
  print(errors);
  return loaded ? 0 : 1;
}

// Goes on in the background. The process that was started waits for the word that the other gives
// (or its death) and ends with it.
Fd detach() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    std::perror("postrider: pipe");
    std::exit(1);
  }
  const pid_t pid = ::fork();
  if (pid < 0) {
    std::perror("postrider: fork");
    std::exit(1);
  }
  if (pid > 0) {
    ::close(ends[1]);
    char word = 0;
    if (::read(ends[0], &word, 1) == 1) ::_exit(0);
    std::fputs("postrider: master died while it started; see the log\n", stderr);
    ::_exit(1);
  }
  ::close(ends[0]);
  ::setsid();
  return Fd(ends[1]);
}

void drop_terminal() {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {0, 1, 2})
    if (::dup2(null.get(), fd) < 0) ::_exit(1);
}

// Descriptors 0 to 2 must be open, or sockets would land there.
void fill_standard_descriptors() {
  int fd = 0;
  do
    fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= 2);
  if (fd > 2) ::close(fd);
}

// The system's memory killer shall rather take a worker, which is restarted.
void protect_from_oom_killer() {
  const Fd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (score && ::write(score.get(), "-500", 4) < 0) {
  } // not ours to insist on
}

} // namespace

int main(int argc, char** argv) {
  std::set_new_handler(out_of_memory);
  fill_standard_descriptors();
  MasterOptions options;
  bool test = false;
  bool only_read = false;
  if (const char* from_environment = std::getenv("MAIL_CONFIG"))
    options.config_directory = from_environment;
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    usage();
    return 0;
  }
  for (int option; (option = ::getopt(argc, argv, "c:dintvwsh")) != -1;) {
    switch (option) {
    case 'c': options.config_directory = optarg; break;
    case 'd':
    case 'i': options.foreground = true; break;
    case 'n': only_read = true; break;
    case 't': test = true; break;
    case 'v': options.verbose = true; break;
    case 'w':
    case 's': break;
    case 'h': usage(); return 0;
    default: usage(); return kUsage;
    }
  }
  if (optind != argc) {
    usage();
    return kUsage;
  }
  if (options.config_directory.empty()) options.config_directory = "/etc/postrider";
  if (char* absolute = ::realpath(options.config_directory.c_str(), nullptr)) {
    options.config_directory = absolute;
    std::free(absolute);
  }
  if (test) return test_lock(options.config_directory);
  if (only_read) return read_only(options.config_directory);
  auto inherited = Inheritance::take();
  if (!inherited) {
    print({"fatal: " + inherited.error().text()});
    return 1;
  }
  const bool succeeds = inherited->has_value();
  if (::getpid() == 1) options.foreground = true;
  const bool foreground = options.foreground;
  if (::geteuid() == 0) protect_from_oom_killer();

  Master master(std::move(options), std::move(*inherited));
  std::vector<std::string> problems;
  const auto prepared = master.prepare(problems);
  print(problems);
  if (!prepared) {
    if (problems.empty() || problems.back().find(prepared.error().text()) == std::string::npos)
      print({"fatal: " + prepared.error().text()});
    return 1;
  }
  Fd parent;
  if (!foreground && !succeeds) parent = detach();
  return master.run([&] {
    if (!parent) return;
    drop_terminal();
    if (::write(parent.get(), "+", 1) < 0) {
    } // nobody waits any more
    parent.reset();
  });
}
