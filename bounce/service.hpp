// SPDX-License-Identifier: MIT
// The agent side of the `deliver` protocol, with Report (or Notice) in place of Deliver: reads the
// original from the descriptor that came with it, composes, hands the report to the queue, and
// answers once that is durable. One Service per process. Only qmgr may be the client: peers of
// another user are refused.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "base/fs.hpp"
#include "daemon/program.hpp"
#include "ev/group.hpp"
#include "queue/id.hpp"
#include "report.hpp"

namespace postrider::ipc {
struct Frame;
}

namespace postrider::bounce {

// Where reports go: the queue, or a test's list.
class Outbox {
 public:
  virtual ~Outbox() = default;
  // WAITS until the report is durable in the queue.
  virtual ev::Task<Result<queue::Id>> submit(const Composed& report) = 0;
};

struct Options {
  Letterhead letterhead;
  std::string failure_copies_to; // empty: no copies
  std::string delay_copies_to;
  std::string errors_to; // error_notice_recipient; empty: notices are dropped
};

class Service final : public daemon::Service {
 public:
  static constexpr std::uint32_t kCapacity = 64;    // reports in the making at a time
  static constexpr std::size_t kMaxContents = 4096; // descriptors held for qmgr

  Service(ev::Loop& loop, Outbox& outbox, FileSystem& fs, Options options);
  ~Service() override;

  void accept(daemon::Client client) override;
  void drain(daemon::Drain reason) override;
  std::size_t pending() const override { return reports_; }
  void stop() override;

 private:
  struct Conversation;
  ev::RootTask serve(std::shared_ptr<Conversation> talk);
  ev::RootTask make(Conversation& talk, proto::Report report, std::string original);
  ev::RootTask tell(Conversation& talk, proto::Notice notice);
  // `phrase` and `kind`: for the log.
  ev::Task<Result<queue::Id>> send(const Composed& composed, std::string_view phrase,
                                   std::string_view kind, queue::Id original);
  Result<void> claim(Conversation& talk, std::uint32_t slot);
  Result<void> take(const std::shared_ptr<Conversation>& talk, ipc::Frame& frame);
  Result<void> begin(const std::shared_ptr<Conversation>& talk, proto::Report report);
  Result<void> begin(const std::shared_ptr<Conversation>& talk, proto::Notice notice);
  void close_if_done(Conversation& talk);
  Circumstances circumstances(Audience audience);

  ev::Loop& loop_;
  Outbox& outbox_;
  FileSystem& fs_;
  Options options_;
  ev::Group group_;
  std::list<std::weak_ptr<Conversation>> conversations_;
  std::size_t reports_ = 0;
  bool draining_ = false;
};

} // namespace postrider::bounce
