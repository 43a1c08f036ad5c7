// SPDX-License-Identifier: MIT
#include "daemon/stdio.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ascii.hpp"
#include "ev/condition.hpp"
#include "mail/domain.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::daemon {

namespace {

// As much as a pipe that has room at all takes at once (PIPE_BUF).
constexpr std::size_t kPiece = 4096;

std::string variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::string() : std::string(value).substr(0, 255);
}

net::Address address_of(const std::string& prefix) {
  const auto port = parse_decimal(variable(prefix + "PORT"));
  const std::uint16_t number =
      port && *port <= UINT16_MAX ? static_cast<std::uint16_t>(*port) : std::uint16_t{0};
  return net::Address::parse_ip(variable(prefix + "IP"), number).value_or(net::Address());
}

std::string host_of(const std::string& prefix) {
  std::string name = variable(prefix + "HOST");
  return mail::is_hostname(name) ? name : std::string();
}

bool is_socket(int fd) {
  struct stat facts {};
  return ::fstat(fd, &facts) == 0 && S_ISSOCK(facts.st_mode);
}

bool is_same(int a, int b) {
  struct stat one {
  }, other{};
  return ::fstat(a, &one) == 0 && ::fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

void lead_nowhere(int fd) {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null) ::dup2(null.get(), fd);
}

// A descriptor that stays blocking, because others may share it: it is looked at before each use.
class Descriptor {
 public:
  Descriptor(ev::Loop& loop, int fd) : fd_(fd), changed_(loop) {
    struct stat facts {};
    if (::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode)) return; // is always ready
    watch_.emplace(
        loop, fd, [](void* owner, bool, bool) { static_cast<ev::Condition*>(owner)->notify_all(); },
        &changed_);
  }
  // WAITS. An Error is cancellation.
  ev::Task<Result<void>> ready(short events) {
    while (true) {
      pollfd look{fd_, events, 0};
      if (::poll(&look, 1, 0) > 0) co_return Result<void>();
      Result<void> woken = co_await changed_.wait(ev::Deadline::never(), "standard in- and output");
      if (!woken) co_return woken.error();
    }
  }

 private:
  int fd_;
  ev::Condition changed_;
  std::optional<ev::FdWatch> watch_;
};

// Until the end of `from`, or until `to` takes no more.
ev::Task<void> copy(ev::Loop& loop, int from, int to) {
  Descriptor in(loop, from);
  Descriptor out(loop, to);
  std::array<char, kPiece> buffer{};
  while (true) {
    Result<void> readable = co_await in.ready(POLLIN);
    if (!readable) co_return;
    const ssize_t came = ::read(from, buffer.data(), buffer.size());
    if (came < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (came <= 0) co_return;
    std::string_view rest(buffer.data(), static_cast<std::size_t>(came));
    while (!rest.empty()) {
      Result<void> writable = co_await out.ready(POLLOUT);
      if (!writable) co_return;
      const ssize_t went = ::write(to, rest.data(), rest.size());
      if (went < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (went < 0) co_return;
      rest.remove_prefix(static_cast<std::size_t>(went));
    }
  }
}

} // namespace

Ucspi ucspi_environment() {
  Ucspi out;
  const std::string proto = variable("PROTO").empty() ? "TCP" : variable("PROTO");
  out.remote = address_of(proto + "REMOTE");
  out.local = address_of(proto + "LOCAL");
  out.remote_host = host_of(proto + "REMOTE");
  out.local_host = host_of(proto + "LOCAL");
  return out;
}

bool detach_standard_error() {
  const bool closed = ::fcntl(STDERR_FILENO, F_GETFD) < 0;
  if (!closed && !(is_socket(STDERR_FILENO) &&
                   (is_same(STDERR_FILENO, STDIN_FILENO) || is_same(STDERR_FILENO, STDOUT_FILENO))))
    return false;
  lead_nowhere(STDERR_FILENO);
  return true;
}

Result<Fd> Stdio::open() {
  in_ = Fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  out_ = Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!in_) return Error(ErrorKind::config, "descriptor 0 is not open");
  lead_nowhere(STDIN_FILENO);
  lead_nowhere(STDOUT_FILENO);
  if (is_socket(in_.get())) {
    out_.reset();
    POSTRIDER_TRY_VOID(set_nonblocking(in_.get()));
    return std::move(in_);
  }
  if (!out_) return Error(ErrorKind::config, "descriptor 1 is not open");
  POSTRIDER_TRY(auto pair, net::socket_pair());
  inner_ = std::move(pair.first);
  group_.spawn(take_in(), "standard input");
  group_.spawn(give_out(), "standard output");
  return std::move(pair.second);
}

ev::RootTask Stdio::take_in() {
  co_await copy(loop_, in_.get(), inner_.get());
  ::shutdown(inner_.get(), SHUT_WR);
}

// The service's end of the pair is closed when it is done with the client: nobody reads on then. A
// client that takes nothing more has gone.
ev::RootTask Stdio::give_out() {
  co_await copy(loop_, inner_.get(), out_.get());
  ::shutdown(inner_.get(), SHUT_RDWR);
  group_.cancel();
}

} // namespace postrider::daemon
