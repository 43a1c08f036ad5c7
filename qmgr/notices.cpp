// SPDX-License-Identifier: MIT
#include "notices.hpp"

#include "agent.hpp"
#include "base/log.hpp"
#include "ipc/channel.hpp"

namespace postrider::qmgr {

void Notices::add(const queue::Id& id, const proto::Delivered& told) {
  if (told.notice.empty() || parts_.stopping) return;
  if (waiting_.size() >= kMostWaiting) {
    log::warning(id.text() + ": too many notices wait: none about this delivery");
    return;
  }
  proto::Notice notice;
  notice.id = id.number();
  notice.notice_class = told.notice_class.substr(0, 64);
  notice.peer = told.notice_peer.substr(0, 512);
  notice.transcript = told.notice.substr(0, kMostText);
  waiting_.push_back(std::move(notice));
  if (running_) return;
  running_ = true;
  parts_.tasks.spawn(run(), "notices to the postmaster");
}

ev::RootTask Notices::run() {
  const Result<void> done = co_await hand_over();
  running_ = false;
  if (done) co_return;
  if (done.error().kind() != ErrorKind::cancelled)
    log::warning("notices to the postmaster are lost (" + std::to_string(waiting_.size()) +
                 "): " + done.error().text());
  waiting_.clear();
}

ev::Task<Result<void>> Notices::hand_over() {
  Result<Fd> connected = parts_.around.connect(parts_.params.report_service);
  if (!connected) co_return connected.error();
  ipc::Channel channel(parts_.loop, std::move(*connected));
  const ev::Deadline greeting = parts_.loop.after(parts_.params.ipc_limit);
  Result<void> hello = co_await ipc::expect_hello(channel, proto::kDeliverProtocol,
                                                  proto::kDeliverVersion, greeting);
  if (!hello) co_return hello.error();
  Result<std::unique_ptr<Board>> board = Board::create(1);
  if (!board) co_return board.error();
  Result<Fd> shared = (*board)->share();
  if (!shared) co_return shared.error();
  proto::Board announcement;
  announcement.slots = 1;
  channel.send(announcement, std::move(*shared));
  while (!waiting_.empty()) {
    const proto::Notice& notice = waiting_.front();
    channel.send(notice);
    const ev::Deadline deadline = parts_.loop.after(parts_.params.ipc_limit);
    while (true) {
      Result<ipc::Frame> frame = co_await channel.receive(deadline);
      if (!frame) co_return frame.error();
      if (frame->type != proto::Reported::kType) continue; // Ready, Retiring
      Result<proto::Reported> answer = ipc::as<proto::Reported>(*frame);
      if (!answer) co_return answer.error();
      if (!answer->ok)
        log::warning(queue::Id(waiting_.front().id).text() +
                     ": no notice to the postmaster: " + answer->text);
      break;
    }
    waiting_.pop_front();
  }
  co_return Result<void>();
}

} // namespace postrider::qmgr
