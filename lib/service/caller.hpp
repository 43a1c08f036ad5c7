// SPDX-License-Identifier: MIT
// Caller: the client side of a helper service (tlsmgr, scache, tokenmgr). One connection, made when
// it is needed; numbered requests, answered in any order. One Caller per process and service.
//
// No service is needed for mail to go on: while it is away every call ends at once with Error
// not_found, and connecting is tried again after a pause. What the service sends is not trusted:
// nonsense ends the connection, and with it the calls that wait.
//
//   proto::TakeSession request;                       // a message with `std::uint64_t number`
//   request.key = key;
//   Result<service::Reply> reply = co_await caller.call(request);
//   if (!reply) ...                                   // go on without
//   Result<proto::Session> session = reply->as<proto::Session>();
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ev/group.hpp"
#include "ipc/channel.hpp"

namespace postrider::service {

struct Reply {
  std::uint16_t type = 0;
  std::string body;
  std::vector<Fd> fds;
  Reply() {}
  // Error protocol: another type, or malformed.
  template <typename Message>
  Result<Message> as() const {
    if (type != Message::kType)
      return Error(ErrorKind::protocol, "unexpected answer of type " + std::to_string(type));
    if (fds.size() != ipc::descriptors_of<Message>())
      return Error(ErrorKind::protocol,
                   "an answer with " + std::to_string(fds.size()) + " descriptors");
    return decode<Message>(body);
  }
};

struct CallerSetup {
  std::string name;                 // of the service, for the log
  std::vector<std::string> sockets; // tried in order: see sockets_of()
  std::string protocol;             // as in the service's Hello
  std::uint32_t version = 1;
  Duration timeout = std::chrono::seconds(5); // of a call that names no deadline
};

// Where a service of master.cf listens. Relative: every program runs in the queue directory, which
// a chrooted one sees as "/".
std::vector<std::string> sockets_of(const std::string& service);

class Caller {
 public:
  static constexpr std::size_t kMostCalls = 4096; // under way; more: Error busy
  static constexpr std::chrono::milliseconds kFirstPause{100};
  static constexpr std::chrono::milliseconds kLongestPause{10000}; // doubling

  Caller(ev::Loop& loop, CallerSetup setup);
  ~Caller(); // REQUIRES: no call is under way
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  // WAITS for the answer. Sets request.number. Errors: not_found (the service is away; nothing was
  // sent), busy, timeout, and closed or protocol when the connection ends before the answer. After
  // a time-out during which the service said nothing at all it counts as away.
  template <typename Message>
  ev::Task<Result<Reply>> call(Message& request, ev::Deadline deadline) {
    return begin(request, nullptr, deadline);
  }
  template <typename Message>
  ev::Task<Result<Reply>> call(Message& request) {
    return begin(request, nullptr, loop_.after(setup_.timeout));
  }
  // The descriptor goes with the request, and is lost when it cannot be sent.
  template <typename Message>
  ev::Task<Result<Reply>> call_with(Message& request, Fd& fd, ev::Deadline deadline) {
    return begin(request, &fd, deadline);
  }

  // Never waits; no answer is expected, and nobody learns whether it arrived. False: the service
  // is away, nothing was sent.
  template <typename Message>
  bool tell(const Message& message) {
    if (!connect()) return false;
    channel_->send(message);
    return true;
  }

  // Whether a call now would be sent. Connects when it is time to.
  bool available() { return connect().ok(); }

 private:
  struct Call;
  class Waiting { // takes the call out of the table whatever ends it
   public:
    Waiting(Caller& caller, std::uint64_t number, Call& call);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Caller& caller_;
    std::uint64_t number_;
  };
  struct Call {
    std::optional<Result<Reply>> answer;
    ev::Condition changed;
    explicit Call(ev::Loop& loop) : changed(loop) {}
  };

  template <typename Message>
  ev::Task<Result<Reply>> begin(Message& request, Fd* fd, ev::Deadline deadline) {
    Result<void> connected = connect();
    if (!connected) co_return connected.error();
    if (calls_.size() >= kMostCalls)
      co_return Error(ErrorKind::busy, setup_.name + ": too many calls wait already");
    request.number = next_number_++;
    Call call(loop_);
    const Waiting waiting(*this, request.number, call);
    if (fd != nullptr)
      channel_->send(request, std::move(*fd));
    else
      channel_->send(request);
    Result<Reply> reply = co_await wait(call, deadline);
    co_return std::move(reply);
  }
  ev::Task<Result<Reply>> wait(Call& call, ev::Deadline deadline);
  Result<void> connect(); // does not wait
  ev::RootTask listen();
  ev::Task<Error> converse();
  Result<void> take(ipc::Frame& frame);
  void lost(const Error& error);

  ev::Loop& loop_;
  CallerSetup setup_;
  std::unique_ptr<ipc::Channel> channel_; // there while listen() runs
  std::map<std::uint64_t, Call*> calls_;
  std::uint64_t next_number_ = 1;
  std::uint64_t heard_ = 0;   // frames received, over all connections
  bool has_answered_ = false; // on this connection
  bool given_up_ = false;     // this connection, by us
  bool complained_ = false;
  Duration pause_ = kFirstPause;
  SteadyTime next_try_{};
  ev::Group group_;
};

} // namespace postrider::service
