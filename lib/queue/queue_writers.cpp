// SPDX-License-Identifier: MIT
// Queue: segments and files that are lent to writers, and what is believed of what they announce.
#include <algorithm>
#include <fcntl.h>

#include "queue/marks.hpp"
#include "queue/queue.hpp"

namespace postrider::queue {

namespace {

constexpr std::uint64_t kMaxRead = 4U << 20; // neighbouring records, in one pread

} // namespace

Result<LendJob> Queue::begin_lend(std::uint64_t holder) {
  drop_retired();
  const std::int64_t now = to_unix_micros(clock_.wall()) / 1000;
  return pool_->begin_lend(holder, ledger_->synced(),
                           static_cast<std::uint64_t>(std::max<std::int64_t>(now, 1)));
}

Result<Lent> Queue::finish_lend(LendJob& job) {
  POSTRIDER_TRY_VOID(pool_->finish_lend(job));
  // Synced before the writer gets it: mail of a generation the ledger never heard of is a sign that
  // segments and ledger do not belong together.
  const std::uint64_t ready = ledger_->append_raw(kLentMark, key_of(job.info), "");
  return Lent{job.info, std::move(job.fd), ready};
}

std::optional<Arrived> Queue::take(JournalPool::Segment& segment, const Announced& announced,
                                   Result<StoredRecord> record, std::vector<Error>* refused) {
  const auto refuse = [&](const Error& error) -> std::optional<Arrived> {
    if (refused != nullptr) refused->push_back(error);
    return {};
  };
  if (auto fits = pool_->check_announced(segment, announced); !fits) return refuse(fits.error());
  if (!record) return refuse(record.error());
  const Id id(announced.id);
  if (record->header.id != id || record->header.length != announced.length)
    return refuse(Error(ErrorKind::protocol, "announced record: not what stands there"));
  if (entries_.contains(id) || lent_files_.contains(id))
    return refuse(Error(ErrorKind::protocol, "announced record: id in use"));
  pool_->admitted(segment, announced);
  Entry entry;
  entry.place = record->header.where();
  entries_.emplace(id, std::move(entry));
  if (!take_report(id, record->header.type, record->envelope))
    return refuse(Error(ErrorKind::refused, "a report that nobody asked for"));
  return Arrived{make_state(std::move(*record)), Folder::incoming};
}

// False: it was a lie, and the mail is gone.
bool Queue::take_report(Id id, RecordType type, const mail::Envelope& envelope) {
  if (type != RecordType::report && envelope.report_for.empty()) return true;
  switch (judge_report_ ? judge_report_(id.loan(), envelope) : ReportClaim::believed) {
  case ReportClaim::believed: apply_report(envelope); return true;
  case ReportClaim::ignored: return true;
  case ReportClaim::refused: break;
  }
  alarms_.push_back(id.text() + " says that it is a report on " +
                    envelope.report_for.substr(0, 64) + ", which nobody asked for: removed");
  finish(id);
  return false;
}

std::vector<Arrived> Queue::admit(std::uint64_t loan, const std::vector<Announced>& records,
                                  Check check, std::vector<Error>* refused) {
  std::vector<Arrived> out;
  JournalPool::Segment* segment = pool_->find_loan(loan);
  if (segment == nullptr) {
    if (refused != nullptr)
      refused->push_back(Error(ErrorKind::protocol, "announced record: no such loan"));
    return out;
  }
  out.reserve(records.size());
  std::string bytes;
  std::uint64_t base = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Announced& record = records[i];
    if (auto fits = pool_->check_announced(*segment, record); !fits) {
      if (refused != nullptr) refused->push_back(fits.error());
      continue;
    }
    const bool have = record.offset >= base && record.offset - base <= bytes.size() &&
                      record.length <= bytes.size() - (record.offset - base);
    if (!have) {
      // As many of the next records as stand close together.
      std::uint64_t end = record.offset + record.length;
      for (std::size_t j = i + 1; j < records.size(); ++j) {
        const Announced& next = records[j];
        if (next.offset < end || next.offset > segment->info.size ||
            next.length > segment->info.size - next.offset ||
            next.offset + next.length - record.offset > kMaxRead)
          break;
        end = next.offset + next.length;
      }
      auto read = fs_.pread(segment->reader.get(), end - record.offset, record.offset);
      if (!read) {
        if (refused != nullptr) refused->push_back(read.error());
        continue;
      }
      bytes = std::move(*read);
      base = record.offset;
    }
    auto stored = read_record(ByteView(bytes).substr(record.offset - base, record.length),
                              segment->info.origin(record.offset), check);
    if (auto arrived = take(*segment, record, std::move(stored), refused))
      out.push_back(std::move(*arrived));
  }
  return out;
}

void Queue::writer_returned(std::uint64_t loan) {
  JournalPool::Segment* segment = pool_->find_loan(loan);
  if (segment == nullptr || !segment->lent) return;
  pool_->writer_gone(loan);
  note_if_drained(*segment);
}

void Queue::writer_failed(std::uint64_t loan) {
  JournalPool::Segment* segment = pool_->find_loan(loan);
  if (segment == nullptr) return;
  pool_->writer_gone(loan);
  pool_->retire(segment->info.segment);
  alarms_.push_back("segment " + std::to_string(segment->info.segment) +
                    " is retired: a write or sync failed");
}

std::vector<Arrived> Queue::writer_died(std::uint64_t loan) {
  std::vector<Arrived> out;
  JournalPool::Segment* segment = pool_->find_loan(loan);
  if (segment == nullptr || !segment->lent) return out;
  auto scan = scan_segment(fs_, segment->reader.get(), segment->info, segment->admitted_end);
  // It may have died before its sync. What is admitted here must be as durable as if announced:
  // reports are taken for issued.
  if (scan && !scan->records.empty())
    if (auto synced = fs_.fdatasync(segment->reader.get()); !synced) scan = synced.error();
  if (!scan) {
    pool_->pin(segment->info.segment);
    alarms_.push_back("segment " + std::to_string(segment->info.segment) +
                      " cannot be read: " + scan.error().text());
  } else {
    for (StoredRecord& record : scan->records) {
      const Announced announced{record.header.id.number(), record.header.place,
                                record.header.length};
      if (auto arrived = take(*segment, announced, std::move(record), nullptr))
        out.push_back(std::move(*arrived));
    }
    // A record that was being written: no 250 was given for it.
    for (const Damage& damage : scan->damage) {
      const std::string name = "segment-" + std::to_string(segment->info.segment) + "-" +
                               std::to_string(loan) + "-" + std::to_string(damage.offset);
      auto copied = set_aside(fs_, layout_, name, segment->reader.get(), damage.offset,
                              damage.length, damage.reason);
      if (!copied) pool_->pin(segment->info.segment);
      alarms_.push_back("unreadable record set aside in corrupt/" + name + ": " + damage.reason);
    }
  }
  pool_->writer_gone(loan);
  note_if_drained(*segment);
  return out;
}

bool Queue::has_orphans() const {
  const auto& segments = pool_->segments();
  return std::any_of(segments.begin(), segments.end(), [](const auto& entry) {
    return entry.second.lent && entry.second.holder == 0;
  });
}

std::vector<Arrived> Queue::adopt_orphans() {
  std::vector<std::uint64_t> gone;
  for (const auto& [number, segment] : pool_->segments()) {
    if (!segment.lent || segment.holder != 0) continue;
    auto probe = fs_.open(layout_.segment(number), O_WRONLY);
    if (!probe) continue;
    auto locked = fs_.try_lock(probe->get());
    if (locked && *locked) gone.push_back(segment.info.loan);
  }
  std::vector<Arrived> out;
  for (const std::uint64_t loan : gone) {
    std::vector<Arrived> found = writer_died(loan);
    std::move(found.begin(), found.end(), std::back_inserter(out));
  }
  return out;
}

// Segments that are never lent again go when nothing in them is live.
void Queue::drop_retired() {
  for (const std::uint32_t number : pool_->drop_retired(ledger_->synced()))
    if (auto gone = fs_.unlink(layout_.segment(number)); !gone)
      alarms_.push_back(gone.error().text());
}

Result<Fd> Queue::lend_file(std::uint64_t loan, Id id) {
  const JournalPool::Segment* segment = pool_->find_loan(loan);
  if (segment == nullptr || !segment->lent || id.loan() != loan)
    return Error(ErrorKind::protocol, "file asked for under a loan that is not held");
  if (entries_.contains(id) || lent_files_.contains(id) || id.sequence() <= segment->last_sequence)
    return Error(ErrorKind::protocol, "file asked for under an id in use");
  POSTRIDER_TRY(const SpaceLeft space, fs_.space_left(layout_.root()));
  if (space.bytes < options_.pool.min_free_bytes || space.inodes < options_.pool.min_free_inodes)
    return Error(ErrorKind::limit, "no disk space for another message", ENOSPC);
  POSTRIDER_TRY(
      Fd fd, fs_.open(layout_.temporary(Folder::incoming, id), O_WRONLY | O_CREAT | O_EXCL, 0600));
  lent_files_.insert(id);
  return fd;
}

AcceptFileJob Queue::begin_accept(Id id) {
  AcceptFileJob job;
  job.layout = layout_;
  job.id = id;
  if (!lent_files_.contains(id)) job.error = Error(ErrorKind::protocol, "no such file was lent");
  return job;
}

Result<Arrived> Queue::finish_accept(AcceptFileJob& job) {
  if (job.error) {
    abandon_file(job.id);
    return *job.error;
  }
  lent_files_.erase(job.id);
  FileContents contents = std::move(*job.contents);
  Entry entry;
  entry.place = contents.state.place;
  entry.folder = Folder::incoming;
  entry.tail_end = contents.tail_end;
  entries_.insert_or_assign(job.id, std::move(entry));
  if (!take_report(job.id, RecordType::message, contents.state.envelope))
    return Error(ErrorKind::protocol, "a report that nobody asked for");
  return Arrived{std::move(contents.state), Folder::incoming};
}

void Queue::abandon_file(Id id) {
  if (lent_files_.erase(id) == 0) return;
  auto gone = fs_.unlink(layout_.temporary(Folder::incoming, id));
  if (!gone && gone.error().kind() != ErrorKind::not_found) alarms_.push_back(gone.error().text());
}

} // namespace postrider::queue
