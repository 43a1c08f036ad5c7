// SPDX-License-Identifier: MIT
// bench_sink: takes all mail, counts it, keeps none. One thread, one epoll set, any number of
// listening addresses, so that it can stand for a thousand destinations; replies can be delayed as
// those of a slow peer are.
//
//   bench_sink --listen 127.0.0.1:2526 --stats FILE
//   bench_sink --range 127.1.0.1:2526+1000 --final-delay-ms 1000 --stats FILE
//   bench_sink --tls key-and-certificate.pem       offers STARTTLS
//
// FILE is mapped memory: ten 64-bit counters in the order of struct Stats below, which a reader
// may look at while the sink runs. SIGTERM prints them as JSON and ends the program.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sink_tls.hpp"

namespace {

struct Stats {
  uint64_t messages = 0; // final replies decided; one message, however many recipients
  uint64_t recipients = 0;
  uint64_t bytes = 0;    // text received
  uint64_t sessions = 0; // ever opened
  uint64_t open = 0;
  uint64_t peak_open = 0;
  uint64_t first_ns = 0; // CLOCK_MONOTONIC of the first and the latest message
  uint64_t last_ns = 0;
  uint64_t full_handshakes = 0;
  uint64_t resumed_handshakes = 0;
};

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "bench_sink: %s: %s\n", what, std::strerror(errno));
  std::exit(2);
}

uint64_t now_ns() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return static_cast<uint64_t>(ts.tv_sec) * 1000000000U + static_cast<uint64_t>(ts.tv_nsec);
}

struct Connection {
  int fd = -1;
  uint64_t number = 0;
  std::string in;
  std::string out;
  bool data = false; // between 354 and the final dot
  uint32_t tail = 0; // the last four bytes of text, newest lowest
  uint64_t recipients = 0;
  bool closing = false; // after QUIT: close when `out` is written and nothing is held back
  uint64_t last_due = 0;
  uint32_t held = 0; // replies not yet due
  bool wants_write = false;
  gnutls_session_t tls = nullptr;
  bool starts_tls = false; // when `out` is written
  bool shakes_hands = false;
  size_t in_record = 0; // bytes of `out` that TLS has taken and not sent yet
};

struct Due {
  uint64_t at;
  uint64_t sequence;
  uint64_t connection;
  std::string text;
  bool operator>(const Due& other) const {
    return at != other.at ? at > other.at : sequence > other.sequence;
  }
};

class Sink {
 public:
  uint64_t delay_ns = 0, final_delay_ns = 0;
  uint64_t stop_after = 0;
  std::unique_ptr<SinkTls> tls; // null: STARTTLS is not offered

  explicit Sink(const char* stats_file) {
    ep_ = epoll_create1(EPOLL_CLOEXEC);
    if (ep_ < 0) die("epoll_create1");
    void* memory = MAP_FAILED;
    if (stats_file != nullptr) {
      const int fd = ::open(stats_file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
      if (fd < 0 || ftruncate(fd, sizeof(Stats)) != 0) die(stats_file);
      memory = mmap(nullptr, sizeof(Stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      close(fd);
    } else {
      memory =
          mmap(nullptr, sizeof(Stats), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    if (memory == MAP_FAILED) die("mmap");
    stats_ = new (memory) Stats{};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    add(signals_, kSignals);
  }

  void listen_on(uint32_t address, uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); // inherited by accepted sockets
    sockaddr_in sa{};
    sa.sin_family = AF_INET;
    sa.sin_addr.s_addr = htonl(address);
    sa.sin_port = htons(port);
    if (bind(fd, reinterpret_cast<sockaddr*>(&sa), sizeof sa) != 0) die("bind");
    if (listen(fd, 4096) != 0) die("listen");
    socklen_t length = sizeof sa;
    getsockname(fd, reinterpret_cast<sockaddr*>(&sa), &length);
    if (listeners_.empty()) port_ = ntohs(sa.sin_port);
    listeners_.push_back(fd);
    add(fd, kListener | static_cast<uint64_t>(fd));
  }

  [[nodiscard]] int port() const { return port_; }

  void run() {
    std::vector<epoll_event> events(1024);
    for (;;) {
      const int n = epoll_wait(ep_, events.data(), static_cast<int>(events.size()), timeout());
      if (n < 0 && errno != EINTR) die("epoll_wait");
      for (int i = 0; i < n; ++i) {
        const uint64_t key = events[i].data.u64;
        if (key == kSignals) return;
        if (key & kListener) {
          accept_all(static_cast<int>(key & 0xffffffff));
        } else if (auto it = connections_.find(key); it != connections_.end()) {
          serve(*it->second, events[i].events);
        }
      }
      release_due();
      if (stop_after != 0 && stats_->messages >= stop_after && connections_.empty()) return;
    }
  }

  void report() const {
    std::printf("{\"messages\": %llu, \"recipients\": %llu, \"bytes\": %llu, \"sessions\": %llu, "
                "\"peak_open\": %llu, \"first_ns\": %llu, \"last_ns\": %llu, "
                "\"full_handshakes\": %llu, \"resumed_handshakes\": %llu}\n",
                ull(stats_->messages), ull(stats_->recipients), ull(stats_->bytes),
                ull(stats_->sessions), ull(stats_->peak_open), ull(stats_->first_ns),
                ull(stats_->last_ns), ull(stats_->full_handshakes),
                ull(stats_->resumed_handshakes));
  }

 private:
  static constexpr uint64_t kListener = uint64_t{1} << 62;
  static constexpr uint64_t kSignals = uint64_t{1} << 63;
  static unsigned long long ull(uint64_t v) { return v; }

  void add(int fd, uint64_t key) {
    epoll_event ev{.events = EPOLLIN, .data = {.u64 = key}};
    if (epoll_ctl(ep_, EPOLL_CTL_ADD, fd, &ev) != 0) die("epoll_ctl");
  }

  int timeout() const {
    if (held_.empty()) return -1;
    const uint64_t first = held_.top().at;
    const uint64_t now = now_ns();
    return first <= now ? 0 : static_cast<int>((first - now) / 1000000 + 1);
  }

  void accept_all(int listener) {
    for (int i = 0; i < 256; ++i) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) die("accept4");
        return;
      }
      auto c = std::make_unique<Connection>();
      c->fd = fd;
      c->number = ++last_connection_;
      add(fd, c->number);
      ++stats_->sessions;
      stats_->peak_open = std::max(stats_->peak_open, ++stats_->open);
      Connection& connection = *c;
      connections_.emplace(c->number, std::move(c));
      answer(connection, "220 sink.bench.example ESMTP\r\n", false);
      flush(connection);
    }
  }

  void drop(Connection& c) {
    if (c.tls != nullptr) gnutls_deinit(c.tls);
    close(c.fd);
    --stats_->open;
    connections_.erase(c.number);
  }

  void serve(Connection& c, uint32_t events) {
    if ((events & EPOLLOUT) && !flush(c)) return;
    if (c.shakes_hands) {
      if (SinkTls::shake_hands(c.tls) < 0) {
        if (errno != EAGAIN) return drop(c);
        return watch(c, gnutls_record_get_direction(c.tls) == 1);
      }
      c.shakes_hands = false;
      ++(gnutls_session_is_resumed(c.tls) != 0 ? stats_->resumed_handshakes
                                               : stats_->full_handshakes);
      watch(c, false);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    // What TLS has decrypted already makes no further event.
    const uint64_t number = c.number;
    while (receive(c)) {
      if (!connections_.contains(number)) return;
    }
  }

  // False: nothing more is there now, or the connection is gone.
  bool receive(Connection& c) {
    const ssize_t n = c.tls != nullptr ? SinkTls::read(c.tls, buffer_.data(), buffer_.size())
                                       : read(c.fd, buffer_.data(), buffer_.size());
    if (n <= 0) {
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
      drop(c);
      return false;
    }
    const bool again = c.tls != nullptr;
    std::string_view bytes(buffer_.data(), static_cast<size_t>(n));
    while (!bytes.empty() && !c.starts_tls) {
      if (c.data) {
        bytes.remove_prefix(text(c, bytes));
      } else {
        const size_t end = bytes.find('\n');
        c.in.append(bytes.substr(0, end == std::string_view::npos ? bytes.size() : end + 1));
        if (end == std::string_view::npos) break;
        bytes.remove_prefix(end + 1);
        command(c);
        c.in.clear();
      }
    }
    return flush(c) && again;
  }

  // Takes message text; returns how much of `bytes` belonged to it.
  size_t text(Connection& c, std::string_view bytes) {
    // The end is CR LF . CR LF; `tail` holds the four bytes before bytes[0]. memchr finds the dots.
    static constexpr uint32_t kCrLfDotCr = 0x0d0a2e0d;
    size_t at = 0;
    while (at < bytes.size()) {
      const void* found = std::memchr(bytes.data() + at, '\n', bytes.size() - at);
      if (found == nullptr) break;
      const size_t lf = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
      uint32_t before = 0;
      for (size_t k = 4; k >= 1; --k) {
        const uint8_t byte = lf >= k ? static_cast<uint8_t>(bytes[lf - k])
                                     : static_cast<uint8_t>(c.tail >> (8 * (k - lf - 1)));
        before = before << 8 | byte;
      }
      at = lf + 1;
      if (before == kCrLfDotCr) {
        stats_->bytes += at;
        finished(c);
        return at;
      }
    }
    const size_t keep = std::min<size_t>(4, bytes.size());
    for (const char ch : bytes.substr(bytes.size() - keep))
      c.tail = c.tail << 8 | static_cast<uint8_t>(ch);
    stats_->bytes += bytes.size();
    return bytes.size();
  }

  void finished(Connection& c) {
    c.data = false;
    ++stats_->messages;
    stats_->recipients += c.recipients;
    c.recipients = 0;
    stats_->last_ns = now_ns();
    if (stats_->first_ns == 0) stats_->first_ns = stats_->last_ns;
    answer(c, "250 2.0.0 Ok\r\n", true);
  }

  static bool starts(const std::string& line, const char* verb) {
    return strncasecmp(line.c_str(), verb, std::strlen(verb)) == 0;
  }

  void command(Connection& c) {
    const std::string& line = c.in;
    if (starts(line, "EHLO")) {
      answer(c,
             std::string("250-sink.bench.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n"
                         "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n") +
                 (tls && c.tls == nullptr ? "250-STARTTLS\r\n" : "") + "250 SMTPUTF8\r\n",
             false);
    } else if (starts(line, "STARTTLS") && tls && c.tls == nullptr) {
      answer(c, "220 2.0.0 Go on\r\n", false);
      c.starts_tls = true;
    } else if (starts(line, "DATA")) {
      if (c.recipients == 0) return answer(c, "503 5.5.1 No recipients\r\n", false);
      c.data = true;
      c.tail = 0x0d0a; // the line end of DATA itself counts for an empty message
      answer(c, "354 Go on\r\n", false);
    } else if (starts(line, "RCPT")) {
      ++c.recipients;
      answer(c, "250 2.1.5 Ok\r\n", false);
    } else if (starts(line, "MAIL") || starts(line, "RSET")) {
      c.recipients = 0;
      answer(c, "250 2.1.0 Ok\r\n", false);
    } else if (starts(line, "HELO") || starts(line, "NOOP")) {
      answer(c, "250 Ok\r\n", false);
    } else if (starts(line, "QUIT")) {
      answer(c, "221 2.0.0 Bye\r\n", false);
      c.closing = true;
    } else {
      answer(c, "500 5.5.2 What?\r\n", false);
    }
  }

  // Replies of one connection leave in order: none is due before the one ahead of it.
  void answer(Connection& c, std::string_view reply, bool final) {
    const uint64_t delay = final && final_delay_ns != 0 ? final_delay_ns : delay_ns;
    if (delay == 0 && c.held == 0) {
      c.out += reply;
      return;
    }
    ++c.held;
    c.last_due = std::max(c.last_due, now_ns() + delay);
    held_.push({c.last_due, ++replies_, c.number, std::string(reply)});
  }

  void release_due() {
    while (!held_.empty() && held_.top().at <= now_ns()) {
      const Due due = held_.top();
      held_.pop();
      const auto it = connections_.find(due.connection);
      if (it == connections_.end()) continue;
      --it->second->held;
      it->second->out += due.text;
      flush(*it->second);
    }
  }

  // False: the connection is gone.
  bool flush(Connection& c) {
    while (!c.out.empty() && !c.shakes_hands) {
      const ssize_t n = transmit(c);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return watch(c, true), true;
        return drop(c), false;
      }
      c.out.erase(0, static_cast<size_t>(n));
    }
    if (c.starts_tls && c.held == 0) {
      c.starts_tls = false;
      c.shakes_hands = true;
      c.tls = tls->begin(c.fd);
    }
    if (c.closing && c.held == 0) return drop(c), false;
    watch(c, false);
    return true;
  }

  static ssize_t transmit(Connection& c) {
    if (c.tls == nullptr) return send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (c.in_record != 0) {
      const ssize_t n = SinkTls::send(c.tls, nullptr, 0);
      if (n >= 0) c.in_record = 0;
      return n;
    }
    const ssize_t n = SinkTls::send(c.tls, c.out.data(), c.out.size());
    if (n < 0 && errno == EAGAIN) c.in_record = c.out.size();
    return n;
  }

  void watch(Connection& c, bool write) {
    if (c.wants_write == write) return;
    c.wants_write = write;
    const uint32_t mask = write ? uint32_t{EPOLLIN} | EPOLLOUT : uint32_t{EPOLLIN};
    epoll_event ev{.events = mask, .data = {.u64 = c.number}};
    if (epoll_ctl(ep_, EPOLL_CTL_MOD, c.fd, &ev) != 0) die("epoll_ctl");
  }

  int ep_ = -1, signals_ = -1, port_ = 0;
  Stats* stats_ = nullptr;
  std::vector<int> listeners_;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  uint64_t last_connection_ = 0;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> held_;
  uint64_t replies_ = 0;
  std::vector<char> buffer_ = std::vector<char>(256 * 1024);
};

struct Place {
  uint32_t address = 0;
  uint16_t port = 0;
  int count = 1;
};

Place parse_place(std::string text) {
  Place out;
  if (const size_t plus = text.find('+'); plus != std::string::npos) {
    out.count = std::clamp(std::atoi(text.c_str() + plus + 1), 1, 65536);
    text.resize(plus);
  }
  const size_t colon = text.rfind(':');
  in_addr address{};
  if (colon == std::string::npos ||
      inet_pton(AF_INET, text.substr(0, colon).c_str(), &address) != 1) {
    std::fprintf(stderr, "bench_sink: not an address and port: %s\n", text.c_str());
    std::exit(2);
  }
  out.address = ntohl(address.s_addr);
  out.port = static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1));
  return out;
}

} // namespace

int main(int argc, char** argv) {
  std::vector<Place> places;
  const char* stats = nullptr;
  const char* tls = nullptr;
  uint64_t delay = 0, final_delay = 0, stop_after = 0;
  static const option kLong[] = {{"listen", required_argument, nullptr, 'l'},
                                 {"range", required_argument, nullptr, 'l'},
                                 {"stats", required_argument, nullptr, 's'},
                                 {"delay-ms", required_argument, nullptr, 'd'},
                                 {"final-delay-ms", required_argument, nullptr, 'f'},
                                 {"stop-after", required_argument, nullptr, 'n'},
                                 {"tls", required_argument, nullptr, 't'},
                                 {nullptr, 0, nullptr, 0}};
  for (int c; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    switch (c) {
    case 'l': places.push_back(parse_place(optarg)); break;
    case 's': stats = optarg; break;
    case 'd': delay = std::strtoull(optarg, nullptr, 10); break;
    case 'f': final_delay = std::strtoull(optarg, nullptr, 10); break;
    case 't': tls = optarg; break;
    case 'n': stop_after = std::strtoull(optarg, nullptr, 10); break;
    default: return 2;
    }
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Sink sink(stats);
  sink.delay_ns = delay * 1000000;
  sink.final_delay_ns = final_delay * 1000000;
  sink.stop_after = stop_after;
  if (tls != nullptr) sink.tls = std::make_unique<SinkTls>(tls);
  if (places.empty()) places.push_back(parse_place("127.0.0.1:0"));
  for (const Place& place : places) {
    for (int i = 0; i < place.count; ++i)
      sink.listen_on(place.address + static_cast<uint32_t>(i), place.port);
  }
  std::printf("ready %d\n", sink.port());
  std::fflush(stdout);
  sink.run();
  sink.report();
  return 0;
}
