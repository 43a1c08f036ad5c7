// SPDX-License-Identifier: MIT
// Answers what operators ask (proto/ctl.hpp). Everything it shows comes from the one record of each
// message; what it changes goes through Intake and Finish. Requests are hostile input: answers come
// in pages and each looks at a bounded number of messages.
#pragma once

#include <vector>

#include "ipc/channel.hpp"
#include "parts.hpp"
#include "proto/ctl.hpp"

namespace postrider::qmgr {

struct Message;

constexpr std::size_t kIndexPage = 500; // entries read from the index at a time

proto::Where where_of(const Message& message);
proto::Where where_of(queue::Folder folder);

//   control.cpp         the conversation
//   control_list.cpp    which messages there are     control_status.cpp  qmgr as a whole
//   control_why.cpp     one message                  control_act.cpp     what operators change
class Control {
 public:
  explicit Control(Parts& parts) : parts_(parts) {}

  // WAITS until the client is gone.
  ev::Task<void> serve(ipc::Channel& channel);
  // Role trigger: one frame.
  ev::Task<void> serve_trigger(ipc::Channel& channel);
  void flush(const std::string& domain);

 private:
  enum class Right { list, flush, everything };
  struct Asker {
    std::vector<queue::Place> opened; // contents that it may still read
    bool is_owner = false;            // has shown so (proto::OwnerProof)
  };
  bool allowed(const ipc::Channel& channel, const Asker& asker, Right right) const;
  ev::Task<Result<void>> answer(ipc::Channel& channel, const ipc::Frame& frame, Asker& asker);
  proto::QueuePage list(const proto::ListQueue& request);
  proto::QueueCounts count(const proto::CountQueue& request);
  proto::StatusAnswer status(const proto::AskStatus& request);
  Result<proto::WhyAnswer> why(const std::string& id);
  Result<proto::CatAnswer> cat(const std::string& id, Fd& fd, std::vector<queue::Place>& opened);
  ev::Task<Result<proto::Acted>> act(ev::Lent<const proto::Act> request);

  struct OnDisk {
    queue::MessageState state;
    queue::Folder folder;
  };
  Result<OnDisk> read_waiting(queue::Id id);
  bool matches(const proto::Selector& select, const Message& message) const;
  bool matches(const proto::Selector& select, const queue::IndexEntry& entry);
  std::vector<const Message*> matching_in_memory(const proto::Selector& select, queue::Id after);
  proto::QueueItem item_of(const Message& message, std::uint32_t recipients) const;
  proto::QueueItem item_of(const queue::IndexEntry& entry, std::uint32_t recipients);
  proto::WhyAnswer explain(const queue::MessageState& state, proto::Where where,
                           const Message* message);

  Parts& parts_;
};

} // namespace postrider::qmgr
