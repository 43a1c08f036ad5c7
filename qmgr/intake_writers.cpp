// SPDX-License-Identifier: MIT
// Intake: those who bring new mail: segments and files lent to them, and what they announce.
#include "intake.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "dispatch.hpp"
#include "store.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

// As bounce writes it.
std::string_view kind_of(Errand errand) {
  switch (errand) {
  case Errand::deliver: break;
  case Errand::report_failed: return "failed";
  case Errand::report_delayed: return "delayed";
  case Errand::report_success: return "success";
  }
  return "";
}

} // namespace

struct Intake::Writer {
  ipc::Channel* channel = nullptr; // null: gone
  std::string program;
  pid_t pid = 0;
  std::uint64_t holder = 0;
  std::set<std::uint64_t> loans;
  std::set<std::uint64_t> files; // lent, not yet safe
  std::size_t lending = 0;
  std::size_t accepting = 0; // files that it has written and that are not safe yet
  std::uint64_t refused = 0;
};

void Intake::tell_writers() {
  proto::QueueState state;
  state.accepting = accepting_;
  state.reason = refuse_reason_;
  for (const auto& writer : writers_)
    if (writer->channel != nullptr) writer->channel->send(state);
}

ev::Task<void> Intake::serve(ipc::Channel& channel, std::string_view program) {
  auto writer = std::make_shared<Writer>();
  writer->channel = &channel;
  writer->program = program.substr(0, 64);
  writer->pid = channel.peer().pid;
  writer->holder = next_holder_++;
  writers_.insert(writer);
  proto::QueueState state;
  state.accepting = accepting_;
  state.reason = refuse_reason_;
  channel.send(state);
  while (true) {
    Result<ipc::Frame> frame = co_await channel.receive(ev::Deadline::never());
    if (!frame) {
      if (is_breach(frame.error())) {
        log::warning(writer->program + " (process " + std::to_string(writer->pid) +
                     ") is disconnected: " + frame.error().text());
        parts_.misbehaves(writer->pid);
      }
      break;
    }
    Result<void> taken = take(writer, *frame);
    if (!taken) {
      log::warning(writer->program + " (process " + std::to_string(channel.peer().pid) +
                   ") is disconnected: " + taken.error().text());
      if (is_breach(taken.error())) parts_.misbehaves(writer->pid);
      break;
    }
  }
  // Closed before the segment is read for the last time: a writer says 250 only while it sees us
  // (Submitter A1), so what it says it for from here on is not in a segment that counts as empty.
  channel.close();
  writer->channel = nullptr;
  writer_gone(*writer);
  leave_if_read(writer);
}

// What it committed and did not announce is found in the segment.
void Intake::writer_gone(Writer& writer) {
  for (const std::uint64_t id : writer.files)
    parts_.queue.abandon_file(queue::Id(id));
  for (const std::uint64_t loan : writer.loans)
    for (queue::Arrived& arrived : parts_.queue.writer_died(loan))
      admit(std::move(arrived), false);
  if (!writer.loans.empty()) parts_.dispatch->segment_was_returned();
  if (writer.lending == 0) parts_.queue.holder_exited(writer.holder);
}

// It is gone, and all that it may have brought is known.
void Intake::leave_if_read(const std::shared_ptr<Writer>& writer) {
  if (writer->channel != nullptr || writer->accepting > 0) return;
  writers_.erase(writer);
  parts_.dispatch->writer_was_read(writer->pid);
}

void Intake::dismiss_writers() {
  dismissed_ = true;
  for (const auto& writer : writers_)
    if (writer->channel != nullptr) writer->channel->send(proto::Leaving());
}

bool Intake::has_writer(pid_t pid) const {
  return std::any_of(writers_.begin(), writers_.end(),
                     [&](const auto& w) { return w->pid == pid; });
}

// A report settles recipients of another message, so only who was asked for one may bring it. When
// the message has left memory, the answer of the agent was here first and has settled them.
queue::ReportClaim Intake::judge_report(std::uint64_t loan, const mail::Envelope& report) const {
  const auto writer = std::find_if(writers_.begin(), writers_.end(),
                                   [&](const auto& w) { return w->loans.contains(loan); });
  if (writer == writers_.end()) return queue::ReportClaim::believed; // lent by an earlier qmgr
  if (!parts_.dispatch->makes_reports((*writer)->pid)) return queue::ReportClaim::refused;
  const auto id = queue::Id::parse(report.report_for);
  const Message* const about = id ? find(*id) : nullptr;
  if (about == nullptr) return queue::ReportClaim::ignored;
  const auto was_asked = [&](std::uint32_t recipient) {
    return std::any_of(about->asked.begin(), about->asked.end(), [&](const Message::Asked& asked) {
      return report.report_kind == kind_of(asked.errand) &&
             std::binary_search(asked.recipients.begin(), asked.recipients.end(), recipient);
    });
  };
  return std::all_of(report.reported.begin(), report.reported.end(), was_asked)
             ? queue::ReportClaim::believed
             : queue::ReportClaim::refused;
}

Result<void> Intake::take(std::shared_ptr<Writer> writer, const ipc::Frame& frame) {
  switch (frame.type) {
  case proto::WantSegment::kType:
    if (auto read = ipc::as<proto::WantSegment>(frame); !read) return read.error();
    if (writer->lending >= 2)
      return Error(ErrorKind::protocol, "asks for more segments than it can use");
    ++writer->lending;
    parts_.tasks.spawn(lend(std::move(writer)), "lend a segment");
    return {};
  case proto::Committed::kType: {
    POSTRIDER_TRY(const proto::Committed message, ipc::as<proto::Committed>(frame));
    return take_committed(*writer, message);
  }
  case proto::SegmentDone::kType: {
    POSTRIDER_TRY(const proto::SegmentDone message, ipc::as<proto::SegmentDone>(frame));
    if (writer->loans.erase(message.loan) == 0)
      return Error(ErrorKind::protocol, "returns a segment that it does not have");
    if (message.failed)
      parts_.queue.writer_failed(message.loan);
    else
      parts_.queue.writer_returned(message.loan);
    parts_.dispatch->segment_was_returned();
    return {};
  }
  case proto::WantFile::kType: {
    POSTRIDER_TRY(const proto::WantFile message, ipc::as<proto::WantFile>(frame));
    const queue::Id id(message.id);
    if (!writer->loans.contains(id.loan()) || writer->files.size() >= 4096)
      return Error(ErrorKind::protocol, "asks for a file under a loan that it does not have");
    auto file = accepting_ ? parts_.queue.lend_file(id.loan(), id)
                           : Result<Fd>(Error(ErrorKind::limit, refuse_reason_));
    if (!file) {
      proto::FileRefused refused;
      refused.id = message.id;
      refused.reason = file.error().text();
      writer->channel->send(refused);
      return {};
    }
    writer->files.insert(message.id);
    proto::FileLent lent;
    lent.id = message.id;
    writer->channel->send(lent, std::move(*file));
    return {};
  }
  case proto::FileWritten::kType: {
    POSTRIDER_TRY(const proto::FileWritten message, ipc::as<proto::FileWritten>(frame));
    if (writer->files.erase(message.id) == 0)
      return Error(ErrorKind::protocol, "speaks of a file that it does not have");
    ++writer->accepting;
    parts_.tasks.spawn(accept_file(std::move(writer), message.id), "accept a message file");
    return {};
  }
  case proto::FileDropped::kType: {
    POSTRIDER_TRY(const proto::FileDropped message, ipc::as<proto::FileDropped>(frame));
    if (writer->files.erase(message.id) > 0) parts_.queue.abandon_file(queue::Id(message.id));
    return {};
  }
  default: return Error(ErrorKind::protocol, "sent a frame of type " + std::to_string(frame.type));
  }
}

Result<void> Intake::take_committed(Writer& writer, const proto::Committed& message) {
  if (!writer.loans.contains(message.loan)) {
    // A writer that outlived an earlier qmgr may still announce what it had committed.
    const auto* segment = parts_.queue.pool().find_loan(message.loan);
    if (segment == nullptr || !segment->lent || segment->holder != 0)
      return Error(ErrorKind::protocol, "announces mail under a loan that it does not have");
  }
  std::vector<Error> refused;
  std::vector<queue::Arrived> arrived =
      parts_.queue.admit(message.loan, message.records, queue::Check::envelope, &refused);
  for (queue::Arrived& one : arrived)
    admit(std::move(one), false);
  if (!refused.empty()) {
    if (writer.refused == 0)
      log::warning(writer.program + " (process " + std::to_string(writer.pid) +
                   "): " + std::to_string(refused.size()) +
                   " announced records are not as announced: " + refused.front().text());
    writer.refused += refused.size();
  }
  for (const Error& error : refused)
    if (error.kind() == ErrorKind::refused) return Error(ErrorKind::protocol, error.text());
  return {};
}

bool Intake::may_lend(const Writer& writer, Duration waited) const {
  if (!accepting_) return false;
  // bounce must get its reports out whatever else waits: they are what makes room.
  if (parts_.dispatch->makes_reports(writer.pid)) return true;
  const std::size_t limit = parts_.params.active_limit;
  if (messages_.size() < limit) return true;
  return waited >= 2s && messages_.size() < 2 * limit;
}

// Lends one segment. Waits a while for room: a writer that waits slows its clients down, which is
// kinder than turning them away.
ev::RootTask Intake::lend(std::shared_ptr<Writer> writer) {
  const SteadyTime begun = parts_.loop.now();
  std::string problem = "the queue is full";
  while (writer->channel != nullptr && !dismissed_) {
    const Duration waited = parts_.loop.now() - begun;
    if (waited > 15s || !accepting_) {
      proto::NoRoom none;
      none.reason = accepting_ ? problem : refuse_reason_;
      writer->channel->send(none);
      break;
    }
    if (may_lend(*writer, waited)) {
      Result<queue::LendJob> planned = parts_.queue.begin_lend(writer->holder);
      if (planned) {
        auto job = std::make_shared<queue::LendJob>(std::move(*planned));
        FileSystem* const fs = &parts_.fs;
        std::function<int()> run = [job, fs] {
          job->run(*fs);
          return 0;
        };
        Result<int> ran = co_await parts_.offload.run(run, ev::Deadline::never(), "a segment");
        if (!ran && ran.error().kind() == ErrorKind::cancelled) break; // the process ends
        if (!ran) job->error = ran.error();
        Result<queue::Lent> lent = parts_.queue.finish_lend(*job);
        if (lent) {
          Result<void> synced =
              co_await parts_.store->wait_synced(lent->ready_at, ev::Deadline::never());
          if (!synced || writer->channel == nullptr) {
            parts_.queue.writer_returned(lent->info.loan);
            break;
          }
          writer->loans.insert(lent->info.loan);
          proto::SegmentLent message;
          message.info = lent->info;
          writer->channel->send(message, std::move(lent->fd));
          break;
        }
        problem = lent.error().text();
        if (lent.error().kind() != ErrorKind::busy) {
          log::error("no journal segment: " + problem);
          proto::NoRoom none;
          none.reason = "insufficient system storage";
          if (writer->channel != nullptr) writer->channel->send(none);
          break;
        }
      } else {
        problem = planned.error().text();
      }
    }
    Result<void> slept = co_await ev::SleepUntil(parts_.loop, parts_.loop.after(50ms));
    if (!slept) break;
  }
  --writer->lending;
  if (writer->channel == nullptr && writer->lending == 0)
    parts_.queue.holder_exited(writer->holder);
}

// Large mail: proven, renamed, the directory synced; only then may the writer answer 250.
ev::RootTask Intake::accept_file(std::shared_ptr<Writer> writer, std::uint64_t id) {
  auto job = std::make_shared<queue::AcceptFileJob>(parts_.queue.begin_accept(queue::Id(id)));
  FileSystem* const fs = &parts_.fs;
  std::function<int()> run = [job, fs] {
    if (!job->error) job->run(*fs);
    return 0;
  };
  Result<int> ran = co_await parts_.offload.run(run, ev::Deadline::never(), "a message file");
  if (!ran && ran.error().kind() == ErrorKind::cancelled) co_return; // the process ends
  if (!ran) job->error = ran.error();
  Result<queue::Arrived> arrived = parts_.queue.finish_accept(*job);
  if (arrived) {
    admit(std::move(*arrived), false);
    proto::FileSafe safe; // accepted from here
    safe.id = id;
    if (writer->channel != nullptr) writer->channel->send(safe);
  } else {
    log::warning(queue::Id(id).text() + ": large message refused: " + arrived.error().text());
    proto::FileRefused refused;
    refused.id = id;
    refused.reason = arrived.error().text();
    if (writer->channel != nullptr) writer->channel->send(refused);
  }
  --writer->accepting;
  leave_if_read(writer);
}

} // namespace postrider::qmgr
