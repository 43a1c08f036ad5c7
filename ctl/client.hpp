// SPDX-License-Identifier: MIT
// Conversations of `postrider` with qmgr and master: one request, one answer. Blocking from the
// caller's view; every wait has a deadline inside. What the services say is checked like any frame.
#pragma once

#include <memory>
#include <string>

#include "ev/group.hpp"
#include "ipc/channel.hpp"
#include "proto/ctl.hpp"
#include "proto/ctl_master.hpp"
#include "proto/tlsmgr.hpp"
#include "proto/tlsrpt.hpp"

namespace postrider::ctl {

class Client {
 public:
  static constexpr std::chrono::seconds kAnswerLimit{60};

  // Error closed: nobody listens there. Error refused: the system, or the service, does not let us.
  // `limit`: for the greeting, and for each answer.
  static Result<std::unique_ptr<Client>> to_qmgr(const std::string& queue_directory,
                                                 Duration limit = kAnswerLimit);
  static Result<std::unique_ptr<Client>> to_master(const std::string& queue_directory);
  static Result<std::unique_ptr<Client>> to_tlsmgr(const std::string& queue_directory,
                                                   const std::string& service);
  static Result<std::unique_ptr<Client>> to_tlsrpt(const std::string& queue_directory,
                                                   const std::string& service);

  // The answer to `request`; qmgr's Refused becomes an Error that fits. A question to a qmgr that
  // ends while a successor starts (reload) is asked again.
  template <typename Answer, typename Request>
  Result<Answer> ask(const Request& request) {
    Result<Answer> answer = order<Answer>(request);
    for (int again = 0; again < kAskAgain && is_closed(answer); ++again) {
      if (Result<void> opened = reopen(); !opened) break;
      answer = order<Answer>(request);
    }
    return answer;
  }
  // The same for what changes something: said once.
  template <typename Answer, typename Request>
  Result<Answer> order(const Request& request) {
    channel_->send(request);
    Result<void> received = receive(limit_);
    if (!received) return received.error();
    if (frame_.type == proto::Refused::kType) return refusal();
    return ipc::as<Answer>(frame_);
  }
  // The descriptor that came with the last answer.
  Result<Fd> take_descriptor();
  // Until the other side closes. Error timeout.
  Result<void> wait_closed(Duration limit);

 private:
  static constexpr int kAskAgain = 3;

  Client(Fd fd, std::string who);
  static Result<std::unique_ptr<Client>> to_service(const std::string& directory,
                                                    const std::string& service,
                                                    std::string_view protocol,
                                                    std::uint32_t version);
  Result<void> open_qmgr();
  Result<void> reopen();
  template <typename Answer>
  static bool is_closed(const Result<Answer>& answer) {
    return !answer && answer.error().kind() == ErrorKind::closed;
  }
  Result<void> hello(std::string_view protocol, std::uint32_t version);
  Result<void> receive(Duration limit);
  Error refusal() const;
  Error explained(const Error& error) const;

  std::string who_;       // "qmgr", for messages
  std::string directory_; // where it can be found again; empty: it is asked once
  Duration limit_ = kAnswerLimit;
  ev::Loop loop_;
  std::unique_ptr<ipc::Channel> channel_;
  ipc::Frame frame_;
};

// Connects to a UNIX socket; paths longer than a socket address are fine. Error closed when nobody
// listens.
Result<Fd> connect_unix(const std::string& directory, const std::string& name);

} // namespace postrider::ctl
