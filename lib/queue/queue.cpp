// SPDX-License-Identifier: MIT
// Queue: its beginning and end, what happens to active mail, and the ledger.
#include "queue/queue.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "queue/marks.hpp"

namespace postrider::queue {

namespace {

std::string bitmap(const std::vector<bool>& bits) {
  std::string out((bits.size() + 7) / 8, '\0');
  for (std::size_t i = 0; i < bits.size(); ++i)
    if (bits[i])
      out[i / 8] = static_cast<char>(static_cast<unsigned char>(out[i / 8]) | (1U << (i % 8)));
  return out;
}

} // namespace

Queue::Queue(FileSystem& fs, Clock& clock, Options options)
    : fs_(fs), clock_(clock), options_(std::move(options)), layout_(options_.directory) {}

Queue::~Queue() = default;

bool Queue::is_lock_file(const Fd& shown) const {
  const int flags = ::fcntl(shown.get(), F_GETFL); // O_PATH needs no right to the file
  struct stat one {};
  struct stat other {};
  return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY &&
         ::fstat(shown.get(), &one) == 0 && ::fstat(lock_.get(), &other) == 0 &&
         one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

Result<std::unique_ptr<Queue>> Queue::open(FileSystem& fs, Clock& clock, Options options,
                                           const Each& each) {
  std::unique_ptr<Queue> queue(new Queue(fs, clock, std::move(options)));
  POSTRIDER_TRY_VOID(queue->start(each));
  return queue;
}

Result<void> Queue::start(const Each& each) {
  POSTRIDER_TRY_VOID(layout_.create(fs_));
  POSTRIDER_TRY(lock_, lock_queue(fs_, layout_));
  POSTRIDER_TRY(const std::uint64_t pool_id, load_pool_identity(fs_, layout_));

  std::vector<Arrived> found;
  POSTRIDER_TRY(Recovered recovered,
                recover(fs_, layout_, pool_id, [&](FileContents&& contents, Folder folder) {
                  Entry entry;
                  entry.place = contents.state.place;
                  entry.folder = folder;
                  entry.tail_end = contents.tail_end;
                  entries_.emplace(contents.state.id, std::move(entry));
                  found.push_back({std::move(contents.state), folder});
                }));
  summary_ = std::move(recovered.summary);
  alarms_ = summary_.alarms;
  pool_ = std::make_unique<JournalPool>(layout_, options_.pool, pool_id);
  for (JournalPool::Segment& segment : recovered.segments)
    pool_->adopt(std::move(segment));
  for (const std::uint32_t number : recovered.reserved_numbers)
    pool_->reserve_number(number);
  pool_->note_loan(recovered.last_loan);
  old_loans_ = recovered.last_loan;
  for (auto& [id, entry] : entries_) {
    auto& marks = entry.place.in_segment() ? recovered.segment_marks : recovered.file_marks;
    const auto told = marks.find(id);
    if (told == marks.end()) continue;
    put_events(entry.marks, told->second);
    marks.erase(told);
  }
  file_marks_ = std::move(recovered.file_marks);
  for (const Id id : recovered.removed_files) {
    doomed_.push_back({id, {}, 0, 0});
    finished_.insert(id);
  }

  POSTRIDER_TRY(ledger_,
                Ledger::start(fs_, layout_, options_.ledger, pool_id, recovered.ledger,
                              recovered.last_loan, [this](Ledger& ledger) { snapshot(ledger); }));
  POSTRIDER_TRY(index_, Index::open(layout_, pool_id, options_.index_map_size));
  verifying_ = index_->found() != Index::State::clean;
  for (Arrived& arrived : found)
    each(std::move(arrived));
  return {};
}

// --- what happened -----------------------------------------------------------------------------

std::uint64_t Queue::append(Id id, Entry& entry, std::uint8_t kind, ByteView body) {
  put_mark(entry.marks, kind, body);
  return ledger_->append_raw(kind, {id, entry.place.segment, entry.place.tag}, body);
}

std::uint64_t Queue::mark(Id id, const Event& event) {
  const auto found = entries_.find(id);
  POSTRIDER_CHECK(found != entries_.end(), "mark about a message that is not active");
  return append(id, found->second, number_of(event.kind), encode_event(event));
}

std::uint64_t Queue::delivered(Id id, std::uint32_t recipient) {
  const auto found = entries_.find(id);
  POSTRIDER_CHECK(found != entries_.end(), "mark about a message that is not active");
  const char body[5] = {0, static_cast<char>(recipient), static_cast<char>(recipient >> 8),
                        static_cast<char>(recipient >> 16), static_cast<char>(recipient >> 24)};
  return append(id, found->second, number_of(EventKind::delivered), {body, sizeof body});
}

// The record of the report is durable, so it has been issued: a crash repeats no report.
void Queue::apply_report(const mail::Envelope& report) {
  const auto original = Id::parse(report.report_for);
  if (!original) return;
  Event event;
  event.kind = report.report_kind == "delayed" ? EventKind::delay_reported : EventKind::reported;
  event.recipients = report.reported;
  const auto found = entries_.find(*original);
  if (found != entries_.end()) {
    append(*original, found->second, number_of(event.kind), encode_event(event));
    return;
  }
  // It waits in a file; or it is gone, because the news that it was reported came first.
  if (!fs_.stat(layout_.file(Folder::deferred, *original)) &&
      !fs_.stat(layout_.file(Folder::hold, *original)))
    return;
  ledger_->append({*original, 0, 0}, event);
  file_marks_[*original].push_back(std::move(event));
}

std::uint64_t Queue::finish_segment_record(Id id, const Place& place, EventKind kind) {
  const std::uint64_t position =
      ledger_->append_raw(number_of(kind), {id, place.segment, place.tag}, ByteView("\0", 1));
  JournalPool::Segment* segment = pool_->find(place.segment);
  POSTRIDER_CHECK(segment != nullptr && segment->info.tag == place.tag);
  pool_->finished(*segment, id, position);
  note_if_drained(*segment);
  return position;
}

void Queue::note_if_drained(JournalPool::Segment& segment) {
  if (segment.live > 0 || segment.lent || segment.retired || segment.preparing) return;
  segment.last_mark = ledger_->append_raw(kDrainedMark, key_of(segment.info), "");
}

void Queue::finish_file(Id id, const Entry& entry) {
  const std::uint64_t position = ledger_->append_raw(number_of(EventKind::removed),
                                                     {id, 0, entry.place.tag}, ByteView("\0", 1));
  doomed_.push_back({id, entry.folder, entry.place.tag, position});
  finished_.insert(id);
  if (entry.folder != Folder::incoming) change_index({id, {}});
}

void Queue::finish(Id id) {
  const auto found = entries_.find(id);
  POSTRIDER_CHECK(found != entries_.end(), "finish of a message that is not active");
  Entry& entry = found->second;
  if (entry.job_out) { // its file is being written: wait for the name it will have
    entry.finish_wanted = true;
    return;
  }
  if (entry.place.in_segment())
    finish_segment_record(id, entry.place, EventKind::removed);
  else
    finish_file(id, entry);
  entries_.erase(found);
}

// --- reading -----------------------------------------------------------------------------------

Result<Fd> Queue::open_content(const Place& place, Id id, Folder folder) {
  if (place.in_segment()) {
    JournalPool::Segment* segment = pool_->find(place.segment);
    if (segment == nullptr || segment->info.tag != place.tag)
      return Error(ErrorKind::not_found, "the segment holds other mail now");
    POSTRIDER_TRY(Fd fd, segment->reader.duplicate());
    pool_->opened_by_reader(place.segment);
    return fd;
  }
  POSTRIDER_TRY(Fd fd, fs_.open(layout_.file(folder, id), O_RDONLY | O_NONBLOCK));
  POSTRIDER_TRY(const FileStat stat, fs_.stat(fd.get()));
  POSTRIDER_TRY_VOID(check_regular(stat, id.text(), true));
  return fd;
}

void Queue::close_content(const Place& place) {
  if (place.in_segment()) pool_->closed_by_reader(place.segment);
}

std::optional<Folder> Queue::folder_of(Id id) const {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.place.in_segment()) return {};
  return found->second.folder;
}

// --- the ledger --------------------------------------------------------------------------------

void Queue::snapshot(Ledger& ledger) {
  for (const auto& [number, segment] : pool_->segments()) {
    if (segment.info.loan == 0 || (segment.preparing && !segment.reader)) continue;
    const MarkKey key = key_of(segment.info);
    const bool drained = segment.live == 0 && !segment.lent && !segment.retired;
    ledger.append_raw(drained ? kDrainedMark : kLentMark, key, "");
    if (!drained) ledger.append_raw(kFinishedMark, key, bitmap(segment.finished));
  }
  for (const auto& [id, entry] : entries_) {
    const MarkKey key{id, entry.place.segment, entry.place.tag};
    each_mark(entry.marks,
              [&](std::uint8_t kind, ByteView body) { ledger.append_raw(kind, key, body); });
  }
  for (const auto& [id, events] : file_marks_)
    for (const Event& event : events)
      ledger.append({id, 0, 0}, event);
  for (const std::vector<Doomed>* list : {&doomed_, &removing_})
    for (const Doomed& doomed : *list)
      ledger.append_raw(number_of(EventKind::removed), {doomed.id, 0, doomed.tag},
                        ByteView("\0", 1));
}

RotateJob Queue::begin_rotation() {
  return ledger_->begin_rotation(pool_->last_loan(), [this](Ledger& l) { snapshot(l); });
}

Result<void> Queue::sync_now() {
  POSTRIDER_TRY_VOID(flush());
  if (!ledger_->needs_sync()) return {};
  const Ledger::Sync sync = ledger_->begin_sync();
  return ledger_->finish_sync(sync, Ledger::run_sync(fs_, sync));
}

Result<void> Queue::run_all() {
  POSTRIDER_TRY_VOID(sync_now());
  for (RemoveJob job = begin_remove(); !job.items.empty(); job = begin_remove()) {
    job.run(fs_);
    finish_remove(job);
    for (const RemoveJob::Item& item : job.items)
      if (item.error) return *item.error;
  }
  while (index_is_stale()) {
    auto job = begin_verify();
    if (!job) break;
    job->run(fs_);
    finish_verify(*job);
    if (job->error) return *job->error;
  }
  while (index_needs_write()) {
    IndexJob job = begin_index();
    job.run();
    finish_index(job);
    if (job.error) return *job.error;
  }
  return sync_now();
}

Result<void> Queue::close() {
  const bool complete = !index_is_stale();
  POSTRIDER_TRY_VOID(sync_now());
  while (index_needs_write()) {
    IndexJob job = begin_index();
    job.run();
    finish_index(job);
    if (job.error) return *job.error;
  }
  if (complete && loading_.empty()) POSTRIDER_TRY_VOID(index_->close_clean());
  return {};
}

} // namespace postrider::queue