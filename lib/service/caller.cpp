// SPDX-License-Identifier: MIT
#include "service/caller.hpp"

#include <algorithm>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.hpp"
#include "net/address.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::service {
namespace {

// What every answer has; decode() passes over the rest.
struct Numbered {
  std::uint64_t number = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
  }
};

// UNIX sockets connect at once or not at all: a full queue of the listener is EAGAIN.
Result<Fd> connect_to(const std::string& path) {
  POSTRIDER_TRY(const net::Address address, net::Address::unix_path(path));
  POSTRIDER_TRY(Fd fd, net::client_socket(AF_UNIX));
  if (::connect(fd.get(), address.raw(), address.raw_length()) != 0)
    return Error::from_errno("connect to " + path, errno);
  // Who listens: master, which is root or of our user.
  const uid_t uid = ipc::peer_credentials(fd.get()).uid;
  if (uid != 0 && uid != ::geteuid())
    return Error(ErrorKind::refused, path + " belongs to uid " + std::to_string(uid));
  return fd;
}

} // namespace

std::vector<std::string> sockets_of(const std::string& service) {
  return {"private/" + service, "public/" + service};
}

Caller::Caller(ev::Loop& loop, CallerSetup setup)
    : loop_(loop), setup_(std::move(setup)), group_(loop) {}

Caller::~Caller() {
  POSTRIDER_CHECK(calls_.empty());
  group_.tear_down();
}

Caller::Waiting::Waiting(Caller& caller, std::uint64_t number, Call& call)
    : caller_(caller), number_(number) {
  caller_.calls_.emplace(number, &call);
}
Caller::Waiting::~Waiting() { caller_.calls_.erase(number_); }

Result<void> Caller::connect() {
  if (channel_ && channel_->open()) return {};
  // A connection that has just ended is taken apart by listen() first.
  if (channel_ || loop_.now() < next_try_)
    return Error(ErrorKind::not_found, setup_.name + " is away");
  Result<Fd> fd = Error(ErrorKind::not_found, "no socket is known");
  for (const std::string& path : setup_.sockets) {
    fd = connect_to(path);
    if (fd || fd.error().kind() != ErrorKind::not_found) break;
  }
  if (!fd) {
    lost(fd.error());
    return Error(ErrorKind::not_found, fd.error().text());
  }
  channel_ = std::make_unique<ipc::Channel>(loop_, std::move(*fd));
  has_answered_ = false;
  group_.spawn(listen(), "connection to " + setup_.name);
  return {};
}

ev::RootTask Caller::listen() {
  const Error ended = co_await converse();
  channel_->close();
  lost(given_up_ ? Error(ErrorKind::timeout, "it does not answer") : ended);
  given_up_ = false;
  channel_.reset();
}

// Ends when the connection does, with the reason. Requests may be on their way before Hello is
// there; a wrong one ends the connection before anything is made of an answer.
ev::Task<Error> Caller::converse() {
  Result<void> hello =
      co_await ipc::expect_hello(*channel_, setup_.protocol, setup_.version, ev::Deadline::never());
  if (!hello) co_return hello.error();
  while (true) {
    Result<ipc::Frame> frame = co_await channel_->receive(ev::Deadline::never());
    if (!frame) co_return frame.error();
    Result<void> taken = take(*frame);
    if (!taken) co_return taken.error();
  }
}

Result<void> Caller::take(ipc::Frame& frame) {
  ++heard_;
  POSTRIDER_TRY(const Numbered answer, decode<Numbered>(frame.body));
  if (answer.number == 0 || answer.number >= next_number_)
    return Error(ErrorKind::protocol, "an answer to a request that was never made");
  has_answered_ = true;
  pause_ = kFirstPause;
  complained_ = false;
  const auto call = calls_.find(answer.number);
  if (call == calls_.end() || call->second->answer) return {}; // nobody waits for it any more
  Reply reply;
  reply.type = frame.type;
  reply.body = frame.body;
  reply.fds = std::move(frame.fds);
  call->second->answer.emplace(std::move(reply));
  call->second->changed.notify_all();
  return {};
}

ev::Task<Result<Reply>> Caller::wait(Call& call, ev::Deadline deadline) {
  const std::uint64_t heard = heard_;
  while (!call.answer) {
    Result<void> woken = co_await call.changed.wait(deadline, "an answer of a service");
    if (woken || call.answer) continue;
    // A service that hangs must not cost every delivery this long.
    if (woken.error().kind() == ErrorKind::timeout && heard_ == heard && channel_->open()) {
      given_up_ = true;
      channel_->close();
    }
    co_return woken.error();
  }
  co_return std::move(*call.answer);
}

// Ends the calls that wait, and puts off the next try, unless the service served well and has only
// been replaced.
void Caller::lost(const Error& error) {
  for (const auto& [number, call] : calls_) {
    if (call->answer) continue;
    call->answer.emplace(error.in(setup_.name));
    call->changed.notify_all();
  }
  const bool left_in_order = has_answered_ && error.kind() == ErrorKind::closed;
  has_answered_ = false;
  if (left_in_order) return;
  if (!complained_) log::warning(setup_.name + " is away, going on without: " + error.text());
  complained_ = true;
  next_try_ = loop_.now() + pause_;
  pause_ = std::min<Duration>(pause_ * 2, kLongestPause);
}

} // namespace postrider::service
