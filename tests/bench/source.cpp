// SPDX-License-Identifier: MIT
// bench_source: offers mail over N parallel SMTP sessions as fast as it is taken, and says how fast
// that was. One thread, one epoll set, one message text; sessions are kept open and pipelined the
// way a busy client does it: MAIL, RCPT and DATA in one write, then the text.
//
//   bench_source --to 127.0.0.1:2525 --sessions 20 --messages 10000 --size 4096
//
// Prints one JSON object. Exits 1 when a message was not accepted.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

struct Options {
  sockaddr_in to{};
  int sessions = 20;
  uint64_t messages = 1000;
  size_t size = 4096;
  int recipients = 1;
  int domains = 0;          // 0: everything to one domain
  uint64_t per_session = 0; // 0: a session lives as long as there is mail
  bool pipelining = true;
  std::string from = "source@bench.example";
  std::string domain = "sink.example";
};

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "bench_source: %s: %s\n", what, std::strerror(errno));
  std::exit(2);
}

uint64_t now_ns() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return static_cast<uint64_t>(ts.tv_sec) * 1000000000U + static_cast<uint64_t>(ts.tv_nsec);
}

sockaddr_in parse_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  sockaddr_in out{};
  out.sin_family = AF_INET;
  const std::string host(text.substr(0, colon));
  if (colon == std::string_view::npos || inet_pton(AF_INET, host.c_str(), &out.sin_addr) != 1) {
    std::fprintf(stderr, "bench_source: not an address and port: %s\n", std::string(text).c_str());
    std::exit(2);
  }
  out.sin_port =
      htons(static_cast<uint16_t>(std::atoi(std::string(text.substr(colon + 1)).c_str())));
  return out;
}

enum class State { connecting, greeting, ehlo, envelope, body, final_reply, quitting, closed };

struct Session {
  int fd = -1;
  State state = State::closed;
  std::string in;  // unread reply bytes
  std::string out; // unwritten bytes: commands, then header of the message
  size_t out_at = 0;
  size_t body_at = 0; // how much of the shared body went out, in State::body
  int step = 0;       // replies seen in State::envelope
  bool can_pipeline = false;
  uint64_t sent = 0; // messages over this connection
  uint64_t dot_at = 0;
  bool wants_write = false;
};

class Source {
 public:
  explicit Source(Options o) : o_(std::move(o)) {
    ep_ = epoll_create1(EPOLL_CLOEXEC);
    if (ep_ < 0) die("epoll_create1");
    std::string line;
    for (int i = 0; i < 76; ++i)
      line += static_cast<char>('a' + i % 26);
    line += "\r\n";
    const size_t header = 230;
    while (body_.size() + header + line.size() <= o_.size)
      body_ += line;
    body_ += ".\r\n";
    sessions_.resize(static_cast<size_t>(o_.sessions));
    latency_.reserve(o_.messages);
  }

  int run() {
    started_ = now_ns();
    for (size_t i = 0; i < sessions_.size(); ++i)
      open(i);
    std::vector<epoll_event> events(512);
    while (open_ > 0) {
      const int n = epoll_wait(ep_, events.data(), static_cast<int>(events.size()), 60000);
      if (n < 0 && errno != EINTR) die("epoll_wait");
      if (n == 0) {
        std::fprintf(stderr, "bench_source: nothing happened for 60 s\n");
        break;
      }
      for (int i = 0; i < n; ++i)
        serve(static_cast<size_t>(events[i].data.u64), events[i].events);
    }
    report();
    return failed_ == 0 && accepted_ == o_.messages ? 0 : 1;
  }

 private:
  void open(size_t i) {
    Session& s = sessions_[i];
    s = Session{};
    if (started_count_ >= o_.messages) return;
    s.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s.fd < 0) die("socket");
    const int one = 1;
    setsockopt(s.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s.fd, reinterpret_cast<const sockaddr*>(&o_.to), sizeof o_.to) != 0 &&
        errno != EINPROGRESS)
      die("connect");
    s.state = State::connecting;
    epoll_event ev{.events = EPOLLOUT, .data = {.u64 = i}};
    if (epoll_ctl(ep_, EPOLL_CTL_ADD, s.fd, &ev) != 0) die("epoll_ctl");
    s.wants_write = true;
    ++open_;
    peak_ = std::max(peak_, open_);
  }

  void close_session(size_t i, bool reopen) {
    Session& s = sessions_[i];
    close(s.fd);
    --open_;
    s = Session{};
    if (reopen) open(i);
  }

  void broken(size_t i, const char* why) {
    Session& s = sessions_[i];
    if (s.state == State::envelope || s.state == State::body || s.state == State::final_reply)
      ++failed_;
    if (++broken_ <= 5) std::fprintf(stderr, "bench_source: session %zu: %s\n", i, why);
    close_session(i, broken_ < 1000);
  }

  void watch(size_t i, bool write) {
    Session& s = sessions_[i];
    if (s.wants_write == write) return;
    s.wants_write = write;
    const uint32_t mask = write ? uint32_t{EPOLLIN} | EPOLLOUT : uint32_t{EPOLLIN};
    epoll_event ev{.events = mask, .data = {.u64 = i}};
    if (epoll_ctl(ep_, EPOLL_CTL_MOD, s.fd, &ev) != 0) die("epoll_ctl");
  }

  void serve(size_t i, uint32_t events) {
    Session& s = sessions_[i];
    if (s.state == State::closed) return;
    if (s.state == State::connecting) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(s.fd, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) return broken(i, std::strerror(error));
      s.state = State::greeting;
      watch(i, false);
      return;
    }
    if (events & EPOLLOUT) {
      if (!flush(i)) return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_replies(i);
  }

  void read_replies(size_t i) {
    Session& s = sessions_[i];
    char buffer[4096];
    const ssize_t n = read(s.fd, buffer, sizeof buffer);
    if (n == 0) return broken(i, "peer closed the connection");
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      return broken(i, std::strerror(errno));
    }
    s.in.append(buffer, static_cast<size_t>(n));
    size_t at = 0;
    for (;;) {
      const size_t end = s.in.find('\n', at);
      if (end == std::string::npos) break;
      const std::string_view line(s.in.data() + at, end - at);
      at = end + 1;
      if (line.size() < 4) return broken(i, "reply too short");
      if (s.state == State::ehlo && line.find("PIPELINING") == 4) s.can_pipeline = true;
      if (line[3] == '-') continue;
      if (!reply(i, line)) return;
    }
    s.in.erase(0, at);
  }

  // One complete reply. False: the session is no longer what it was.
  bool reply(size_t i, std::string_view line) {
    Session& s = sessions_[i];
    const char kind = line[0];
    switch (s.state) {
    case State::greeting:
      if (kind != '2') return broken(i, std::string(line).c_str()), false;
      s.out = "EHLO source.bench.example\r\n";
      s.state = State::ehlo;
      return flush(i);
    case State::ehlo:
      if (kind != '2') return broken(i, std::string(line).c_str()), false;
      return next_message(i);
    case State::envelope: {
      ++s.step;
      const int last = o_.recipients + 2;
      if (kind != (s.step == last ? '3' : '2')) return broken(i, std::string(line).c_str()), false;
      if (s.step < last) {
        if (s.can_pipeline && o_.pipelining) return true;
        command(s, s.step);
        return flush(i);
      }
      s.state = State::body;
      s.body_at = 0;
      header(s);
      return flush(i);
    }
    case State::final_reply:
      latency_.push_back(static_cast<uint32_t>((now_ns() - s.dot_at) / 1000));
      if (kind == '2') {
        ++accepted_;
        last_ = now_ns();
      } else {
        if (++failed_ <= 5)
          std::fprintf(stderr, "bench_source: %.*s\n", static_cast<int>(line.size()), line.data());
      }
      return next_message(i);
    case State::quitting: close_session(i, started_count_ < o_.messages); return false;
    case State::body: return broken(i, "a reply before the end of the text"), false;
    case State::connecting:
    case State::closed: return false;
    }
    return false;
  }

  bool next_message(size_t i) {
    Session& s = sessions_[i];
    if (started_count_ >= o_.messages || (o_.per_session != 0 && s.sent >= o_.per_session)) {
      s.out = "QUIT\r\n";
      s.state = State::quitting;
      return flush(i);
    }
    number_of_[i % kNumbers] = started_count_;
    ++started_count_;
    ++s.sent;
    s.step = 0;
    s.state = State::envelope;
    if (s.can_pipeline && o_.pipelining) {
      for (int step = 0; step < o_.recipients + 2; ++step)
        command(s, step);
    } else {
      command(s, 0);
    }
    return flush(i);
  }

  // Command number `step` of the envelope: MAIL, RCPT..., DATA.
  void command(Session& s, int step) {
    if (step == 0) {
      s.out += "MAIL FROM:<" + o_.from + ">\r\n";
    } else if (step <= o_.recipients) {
      s.out += "RCPT TO:<" + recipient(s, step) + ">\r\n";
    } else {
      s.out += "DATA\r\n";
    }
  }

  std::string recipient(const Session& s, int step) {
    const size_t i = static_cast<size_t>(&s - sessions_.data());
    std::string out = "user" + std::to_string(step) + "@";
    if (o_.domains == 0) return out + o_.domain;
    const uint64_t number = number_of_[i % kNumbers];
    char name[32];
    std::snprintf(name, sizeof name, "d%04d.test",
                  static_cast<int>(number % static_cast<uint64_t>(o_.domains)) + 1);
    return out + name;
  }

  void header(Session& s) {
    const size_t i = static_cast<size_t>(&s - sessions_.data());
    char text[512];
    const int n = std::snprintf(text, sizeof text,
                                "From: <%s>\r\nTo: <user1@%s>\r\nSubject: bench %08llu\r\n"
                                "Date: Sat, 21 Nov 2026 08:00:00 +0000\r\n"
                                "Message-ID: <%llu.%d.%llu@bench.example>\r\n"
                                "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n",
                                o_.from.c_str(), o_.domain.c_str(),
                                static_cast<unsigned long long>(number_of_[i % kNumbers]),
                                static_cast<unsigned long long>(started_), getpid(),
                                static_cast<unsigned long long>(number_of_[i % kNumbers]));
    s.out.append(text, static_cast<size_t>(n));
  }

  // Writes what is due. False: the session was closed.
  bool flush(size_t i) {
    Session& s = sessions_[i];
    for (;;) {
      iovec parts[2];
      int count = 0;
      if (s.out_at < s.out.size())
        parts[count++] = {s.out.data() + s.out_at, s.out.size() - s.out_at};
      if (s.state == State::body && s.body_at < body_.size())
        parts[count++] = {body_.data() + s.body_at, body_.size() - s.body_at};
      if (count == 0) break;
      const ssize_t n = writev(s.fd, parts, count);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return watch(i, true), true;
        return broken(i, std::strerror(errno)), false;
      }
      size_t left = static_cast<size_t>(n);
      const size_t commands = std::min(left, s.out.size() - s.out_at);
      s.out_at += commands;
      left -= commands;
      s.body_at += left;
    }
    s.out.clear();
    s.out_at = 0;
    if (s.state == State::body) {
      s.state = State::final_reply;
      s.dot_at = now_ns();
    }
    watch(i, false);
    return true;
  }

  void report() {
    const double seconds = static_cast<double>(last_ > started_ ? last_ - started_ : 1) / 1e9;
    std::sort(latency_.begin(), latency_.end());
    const auto at = [&](double q) {
      if (latency_.empty()) return 0.0;
      return latency_[static_cast<size_t>(q * static_cast<double>(latency_.size() - 1))] / 1000.0;
    };
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const double cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    std::printf(
        "{\"accepted\": %llu, \"failed\": %llu, \"broken_sessions\": %llu, \"seconds\": %.6f, "
        "\"per_second\": %.1f, \"started_ns\": %llu, \"last_ns\": %llu, \"cpu\": %.3f, "
        "\"dot_to_reply_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}}\n",
        static_cast<unsigned long long>(accepted_), static_cast<unsigned long long>(failed_),
        static_cast<unsigned long long>(broken_), seconds, static_cast<double>(accepted_) / seconds,
        static_cast<unsigned long long>(started_), static_cast<unsigned long long>(last_), cpu,
        at(0.5), at(0.99), at(1.0));
  }

  static constexpr size_t kNumbers = 65536;
  Options o_;
  int ep_ = -1;
  std::string body_;
  std::vector<Session> sessions_;
  std::vector<uint64_t> number_of_ = std::vector<uint64_t>(kNumbers); // message in work, by session
  std::vector<uint32_t> latency_;
  uint64_t started_ = 0, last_ = 0;
  uint64_t started_count_ = 0, accepted_ = 0, failed_ = 0, broken_ = 0;
  int open_ = 0, peak_ = 0;
};

} // namespace

int main(int argc, char** argv) {
  Options o;
  o.to = parse_address("127.0.0.1:2525");
  static const option kLong[] = {{"to", required_argument, nullptr, 't'},
                                 {"sessions", required_argument, nullptr, 's'},
                                 {"messages", required_argument, nullptr, 'm'},
                                 {"size", required_argument, nullptr, 'l'},
                                 {"recipients", required_argument, nullptr, 'r'},
                                 {"domains", required_argument, nullptr, 'd'},
                                 {"domain", required_argument, nullptr, 'D'},
                                 {"from", required_argument, nullptr, 'f'},
                                 {"per-session", required_argument, nullptr, 'k'},
                                 {"no-pipelining", no_argument, nullptr, 'n'},
                                 {nullptr, 0, nullptr, 0}};
  for (int c; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    switch (c) {
    case 't': o.to = parse_address(optarg); break;
    case 's': o.sessions = std::clamp(std::atoi(optarg), 1, 65536); break;
    case 'm': o.messages = std::strtoull(optarg, nullptr, 10); break;
    case 'l': o.size = std::strtoull(optarg, nullptr, 10); break;
    case 'r': o.recipients = std::clamp(std::atoi(optarg), 1, 1000); break;
    case 'd': o.domains = std::clamp(std::atoi(optarg), 0, 9999); break;
    case 'D': o.domain = optarg; break;
    case 'f': o.from = optarg; break;
    case 'k': o.per_session = std::strtoull(optarg, nullptr, 10); break;
    case 'n': o.pipelining = false; break;
    default: return 2;
    }
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);
  return Source(std::move(o)).run();
}
