// SPDX-License-Identifier: MIT
#include <algorithm>

#include "ipc/channel.hpp"
#include "mail/header.hpp"
#include "proto/intake.hpp"
#include "submit/lease.hpp"
#include "submit/submitter.hpp"

namespace postrider::submit {

namespace {

// Room for what stands in a record besides content and envelope.
constexpr std::uint64_t kRecordSlack = 4096;

std::uint64_t envelope_size(const mail::Envelope& envelope) {
  std::uint64_t sum = 512 + envelope.sender.size() + envelope.envid.size() + envelope.helo.size();
  for (const mail::Recipient& r : envelope.recipients)
    sum += 64 + r.address.size() + r.orcpt.size();
  return sum;
}

} // namespace

mail::ContentFacts with_head(mail::ContentFacts facts, ByteView head) {
  mail::ContentScanner scanner;
  scanner.feed(head);
  const mail::ContentFacts& own = scanner.facts();
  facts.size += own.size;
  facts.longest_line = std::max(facts.longest_line, own.longest_line);
  if (!scanner.in_header()) { // the head is a whole header: all of the content is body
    facts.header_size = 0;
    facts.hops = 0;
    facts.utf8_headers = false;
  }
  facts.has_8bit = facts.has_8bit || own.has_8bit;
  facts.utf8_headers = facts.utf8_headers || own.utf8_headers;
  facts.needs_dot_stuffing = facts.needs_dot_stuffing || own.needs_dot_stuffing;
  facts.header_size += own.header_size;
  facts.hops = static_cast<std::uint16_t>(facts.hops + own.hops);
  return facts;
}

// A message file that qmgr lent. Given up unless commit_file() came to its end.
struct Message::File {
  File(Submitter& s, queue::Id i) : submitter(s), id(i), epoch(s.epoch_), wait(s.loop_) {
    submitter.files_[id.number()] = &wait;
  }
  ~File() {
    submitter.files_.erase(id.number());
    if (safe || !submitter.channel_ || submitter.epoch_ != epoch) return;
    proto::FileDropped dropped;
    dropped.id = id.number();
    submitter.channel_->send(dropped);
  }
  Submitter& submitter;
  queue::Id id;
  std::uint64_t epoch;
  Submitter::FileWait wait;
  Fd fd;
  std::string head;
  std::unique_ptr<queue::FileWriter> writer; // once the head is made
  bool safe = false;
};

Message::Message(Submitter& submitter, const mail::Envelope& envelope, const MakeHead& make_head)
    : submitter_(submitter), envelope_(envelope), make_head_(make_head) {}

Message::~Message() = default;

ev::Task<Result<queue::Id>> Message::reserve() {
  Result<void> opened = co_await open_file();
  if (!opened) co_return opened.error();
  co_return file_->id;
}

ev::Task<Result<void>> Message::spill() {
  Result<void> opened = co_await open_file();
  if (!opened) co_return opened.error();
  Result<void> begun = begin_file();
  if (!begun) co_return begun.error();
  Result<void> written = file_->writer->write(pending_);
  pending_.clear();
  co_return written;
}

// Unless there is one.
ev::Task<Result<void>> Message::open_file() {
  if (file_) co_return Result<void>();
  const ev::Deadline deadline = submitter_.loop_.after(submitter_.options_.answer_limit);
  Result<std::shared_ptr<Submitter::Lease>> lease =
      co_await submitter_.lease_for(0, envelope_, deadline);
  if (!lease) co_return lease.error();
  auto file = std::make_unique<File>(submitter_, (*lease)->writer.next_id());
  proto::WantFile want;
  want.id = file->id.number();
  submitter_.channel_->send(want);
  Result<FileAnswer> answer = co_await file->wait.lent.wait(deadline, "a message file");
  if (!answer) co_return answer.error();
  if (answer->error) co_return *answer->error;
  file->wait.stage = Submitter::FileWait::Stage::lent;
  file->fd = std::move(answer->fd);
  file_ = std::move(file);
  co_return Result<void>();
}

Result<void> Message::begin_file() {
  File& file = *file_;
  if (file.writer) return {};
  file.head = make_head_(file.id);
  file.writer =
      std::make_unique<queue::FileWriter>(submitter_.fs_, std::move(file.fd), file.id, envelope_);
  return file.writer->write(file.head);
}

ev::Task<Result<queue::Id>> Message::commit(ev::Lent<const mail::ContentFacts> facts) {
  const bool too_large =
      pending_.size() + envelope_size(envelope_) + kRecordSlack >
      std::min(submitter_.options_.file_threshold + kRecordSlack, queue::kMaxSegmentRecord);
  if (file_ || too_large) {
    Result<queue::Id> id = co_await commit_file(facts);
    co_return id;
  }
  Result<queue::Id> id = co_await commit_record(facts);
  co_return id;
}

ev::Task<Result<queue::Id>> Message::commit_record(ev::Lent<const mail::ContentFacts> facts) {
  const ev::Deadline deadline = submitter_.loop_.after(submitter_.options_.answer_limit);
  for (int attempt = 0; attempt < 2; ++attempt) {
    Result<std::shared_ptr<Submitter::Lease>> found =
        co_await submitter_.lease_for(pending_.size() + kRecordSlack, envelope_, deadline);
    if (!found) co_return found.error();
    const std::shared_ptr<Submitter::Lease> lease = std::move(*found);
    const queue::Id id = lease->writer.next_id();
    const std::string head = make_head_(id);
    Result<queue::Announced> record =
        lease->writer.append(id, envelope_, with_head(*facts, head), head, pending_);
    if (!record && record.error().kind() == ErrorKind::limit && !lease->writer.poisoned()) {
      lease->full = true; // the guess was wrong; the next one is empty
      if (submitter_.current_ == lease) {
        submitter_.current_ = std::move(submitter_.next_);
        submitter_.next_.reset();
      }
      submitter_.settle_lease(lease);
      continue;
    }
    if (!record) {
      const Error why = record.error();
      if (lease->writer.poisoned()) {
        submitter_.give_up(lease, why);
        submitter_.settle_lease(lease);
      }
      co_return why;
    }
    lease->used = record->offset + record->length;
    if (!lease->gathering) lease->gathering = std::make_shared<Submitter::Batch>(submitter_.loop_);
    const std::shared_ptr<Submitter::Batch> batch = lease->gathering;
    batch->records.push_back(*record);
    while (!batch->outcome) {
      // Settled by the sync, by its time limit, or with the connection; so no limit here.
      Result<void> woken = co_await batch->done.wait(ev::Deadline::never(), "the journal sync");
      if (!woken) co_return woken.error();
    }
    if (!*batch->outcome) co_return batch->outcome->error();
    ++submitter_.counters_.messages;
    co_return id;
  }
  co_return Error(ErrorKind::limit, "the message fits no journal segment");
}

ev::Task<Result<queue::Id>> Message::commit_file(ev::Lent<const mail::ContentFacts> facts) {
  Result<void> spilt = co_await spill();
  if (!spilt) co_return spilt.error();
  File& file = *file_;
  Result<void> finished = file.writer->finish(with_head(*facts, file.head));
  if (!finished) co_return finished.error();
  while (submitter_.file_syncs_ >= submitter_.options_.file_syncs) {
    Result<void> woken = co_await submitter_.file_syncs_changed_.wait(
        submitter_.loop_.after(submitter_.options_.sync_limit), "a turn to sync a file");
    if (!woken) co_return woken.error();
  }
  // The job may outlive this message (its deadline ends the wait only): it owns the descriptor.
  auto commit = std::make_shared<queue::FileWriter::Commit>(file.writer->begin_commit());
  std::function<std::optional<Result<void>>()> job = [&fs = submitter_.fs_, commit] {
    return std::optional<Result<void>>(queue::FileWriter::run_commit(fs, std::move(*commit)));
  };
  ++submitter_.file_syncs_;
  Result<std::optional<Result<void>>> synced =
      co_await submitter_.offload_.run<std::optional<Result<void>>>(
          job, submitter_.loop_.after(submitter_.options_.sync_limit),
          "the sync of a message file");
  --submitter_.file_syncs_;
  submitter_.file_syncs_changed_.notify_one();
  if (!synced) co_return synced.error();
  if (!**synced) co_return (*synced)->error();
  if (!submitter_.channel_ || submitter_.epoch_ != file.epoch)
    co_return Error(ErrorKind::closed, "the connection to qmgr was lost");
  file.wait.stage = Submitter::FileWait::Stage::written;
  proto::FileWritten written;
  written.id = file.id.number();
  submitter_.channel_->send(written);
  Result<FileAnswer> answer = co_await file.wait.safe.wait(
      submitter_.loop_.after(submitter_.options_.answer_limit), "qmgr to take a message file");
  if (!answer) co_return answer.error();
  if (answer->error) co_return *answer->error;
  file.safe = true; // accepted from here: qmgr has renamed it and synced the directory
  ++submitter_.counters_.messages;
  ++submitter_.counters_.files;
  co_return file.id;
}

} // namespace postrider::submit
