// SPDX-License-Identifier: MIT
// A worker that was taken over, for tests: master starts it in the place of a program of the suite,
// with the descriptors, the identity and the sandbox of that one. First it tries what the worker
// must not be able to do (probe.hpp), each attempt in a child that enters the sandbox anew; then it
// enters the sandbox itself and abuses the conversations that the worker has (abuse.hpp). It may be
// killed for that: the next process reads the report and goes on.
//
// Its name is that of the program, or "evil-" and that. <config_directory>/evil says where things
// are and where the report goes:
//
//   attempt ROLE NAME SEEN CAUSE       attempts-end ROLE
//   abuse ROLE CHANNEL NAME begin      abuse ROLE CHANNEL NAME end OUTCOME     (or again)
//   process ROLE PID                   done ROLE
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <sys/socket.h>
#include <unistd.h>

#include "abuse.hpp"
#include "daemon/run.hpp"
#include "probe.hpp"
#include "proto/child_status.hpp"

namespace postrider::evil {

namespace {

// What stands in the report about this role.
struct Progress {
  bool attempts_made = false;
  std::size_t abuses = 0; // begun, and not to be begun again
};
Progress read_progress(const std::string& path, const std::string& role) {
  Progress out;
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string kind;
    std::string whose;
    std::string channel;
    std::string name;
    std::string state;
    words >> kind >> whose >> channel >> name >> state;
    if (whose != role) continue;
    if (kind == "attempts-end") out.attempts_made = true;
    if (kind == "abuse" && state == "begin") ++out.abuses;
    if (kind == "abuse" && state == "again") --out.abuses;
  }
  return out;
}

class Evil {
  static constexpr int kPatience = 60; // seconds until it counts as not killed

 public:
  Evil(std::string role, Target target, int report, std::size_t done)
      : role_(std::move(role)), target_(std::move(target)), report_(report), next_(done) {
    const char* generation = std::getenv(proto::kGenerationVariable);
    const char* listeners = std::getenv(proto::kListenersVariable);
    generation_ = static_cast<std::uint32_t>(std::atoi(generation != nullptr ? generation : "0"));
    listeners_ = std::atoi(listeners != nullptr ? listeners : "0");
  }

  // In the sandbox. Never returns.
  [[noreturn]] void run() {
    ::alarm(0); // the watchdog of the process that it was
    say(proto::ChildState::ready);
    std::size_t index = 0;
    for (const Abuse& abuse : first_of_each(deeds())) {
      if (index++ < next_) continue;
      const std::string what = "abuse " + role_ + " " + abuse.channel + " " + abuse.name;
      write_line(report_, what + " begin");
      write_line(report_, what + " end " + abuse.commit(target_));
      say(proto::ChildState::alive);
    }
    for (const Answer& answer : first_of_each(answers())) {
      if (index++ < next_) continue;
      give(answer);
    }
    write_line(report_, "done " + role_);
    while (true) {
      say(proto::ChildState::alive);
      ::poll(nullptr, 0, 1000);
    }
  }

 private:
  // The short form has fewer for each conversation.
  template <typename Row>
  std::vector<Row> first_of_each(std::vector<Row> all) const {
    const auto found = target_.find("most_abuses");
    if (found == target_.end()) return all;
    const std::size_t most = std::stoul(found->second);
    std::map<std::string, std::size_t> counts;
    // Each one of a listener costs the time until master kills who does not go.
    std::erase_if(all, [&](const Row& row) {
      return ++counts[row.channel] > (row.channel == "listener" ? 1 : most);
    });
    return all;
  }

  // Of what it holds together with master and its siblings. It says that it is well, and is to be
  // ended for it, killed where it does not go; what is tried next shows that the service is there.
  template <typename Deed>
  Abuse abuse_of_listener(const char* name, bool stays, Deed deed) const {
    return {"listener", name, [this, stays, deed](const Target&) -> std::string {
              if (stays) (void)::signal(SIGTERM, SIG_IGN);
              for (int i = 0; i < listeners_; ++i)
                deed(proto::kFirstListenerFd + i);
              for (int i = 0; i < kPatience; ++i) {
                say(proto::ChildState::free);
                say(proto::ChildState::alive);
                ::poll(nullptr, 0, 1000);
              }
              return "DONE";
            }};
  }
  std::vector<Abuse> abuses_of_listener() const {
    return {
        abuse_of_listener("shut_down_and_stay", true, [](int fd) { ::shutdown(fd, SHUT_RDWR); }),
        abuse_of_listener("closed_for_reading", false, [](int fd) { ::shutdown(fd, SHUT_RD); }),
        abuse_of_listener("made_to_block", false, [](int fd) { ::fcntl(fd, F_SETFL, 0); }),
        abuse_of_listener("disconnected", false, [](int fd) {
          const sockaddr nowhere{.sa_family = AF_UNSPEC, .sa_data = {}};
          ::connect(fd, &nowhere, sizeof nowhere);
          ::shutdown(fd, SHUT_RDWR); // where that is not known
        })};
  }

  std::vector<Abuse> deeds() const {
    std::vector<Abuse> out = abuses_of_listener();
    const bool one_user = target_.contains("one_user"); // all doors are open then
    if (!one_user)
      for (Abuse& abuse : abuses_of_sockets(role_))
        out.push_back(std::move(abuse));
    if (role_ != "qmgr")
      for (Abuse& abuse : abuses_of_control())
        out.push_back(std::move(abuse));
    if (!one_user && (role_ == "smtpd" || role_ == "bounce" || role_ == "tlsrpt"))
      for (Abuse& abuse : abuses_of_intake())
        out.push_back(std::move(abuse));
    return out;
  }
  std::vector<Answer> answers() const {
    if (role_ == "smtp" || role_ == "lmtp" || role_ == "bounce") return abuses_of_agents(role_);
    if (role_ == "smtpd") return {};
    return abuses_of_services(role_);
  }

  // To whoever connects next, and again to the next one when there was nothing to be done.
  void give(const Answer& answer) {
    const std::string what = "abuse " + role_ + " " + answer.channel + " " + answer.name;
    while (true) {
      std::vector<pollfd> waits(static_cast<std::size_t>(listeners_));
      for (int i = 0; i < listeners_; ++i)
        waits[static_cast<std::size_t>(i)] = {
            .fd = proto::kFirstListenerFd + i, .events = POLLIN, .revents = 0};
      if (::poll(waits.data(), waits.size(), 1000) <= 0) {
        say(proto::ChildState::alive);
        continue;
      }
      for (const pollfd& wait : waits) {
        if (wait.revents == 0) continue;
        Fd fd(::accept4(wait.fd, nullptr, nullptr, SOCK_CLOEXEC));
        if (!fd) continue;
        write_line(report_, std::string(what).append(" begin"));
        Wire wire(std::move(fd));
        const std::string seen = answer.give(target_, wire);
        if (seen != "no-work" && seen != "nobody-asked")
          return write_line(report_, std::string(what).append(" end ").append(seen));
        write_line(report_, std::string(what).append(" again"));
      }
    }
  }

  void say(proto::ChildState state) const {
    const auto bytes = proto::to_bytes(
        {.pid = static_cast<std::uint32_t>(::getpid()), .generation = generation_, .state = state});
    if (::write(proto::kStatusFd, bytes.data(), bytes.size()) < 0) ::_exit(0); // master is gone
  }

  std::string role_;
  Target target_;
  int report_;
  std::size_t next_;
  std::uint32_t generation_ = 0;
  int listeners_ = 0;
};

} // namespace

int run(int argc, char** argv) {
  std::string role = argv[0];
  role = role.substr(role.rfind('/') + 1);
  if (role.starts_with("evil-")) role = role.substr(5);
  const char* config = std::getenv("MAIL_CONFIG");
  Order order{.argc = argc, .argv = argv, .role = role};
  order.target = read_target(std::string(config != nullptr ? config : ".") + "/evil");
  const std::string report = order.target["report"];
  order.report = ::open(report.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (order.report < 0) return 1;
  write_line(order.report, "process " + role + " " + std::to_string(::getpid()));
  const Progress progress = read_progress(report, role);
  if (!progress.attempts_made) {
    if (order.target["outside"] == role) make_attempts(order, true);
    make_attempts(order, false);
  }
  Evil evil(role, order.target, order.report, progress.abuses);
  daemon::Program program;
  program.name = role;
  program.takes_words = true;
  program.start = [&](daemon::Context&) -> Result<std::unique_ptr<daemon::Service>> { evil.run(); };
  return daemon::run(argc, argv, program);
}

} // namespace postrider::evil

int main(int argc, char** argv) { return postrider::evil::run(argc, argv); }
