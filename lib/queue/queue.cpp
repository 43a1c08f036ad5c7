// SPDX-License-Identifier: MIT
#include "queue/queue.hpp"

#include <algorithm>
#include <fcntl.h>

#include "base/fields.hpp"
#include "base/random.hpp"

namespace postrider::queue {

namespace {

constexpr std::uint64_t kMaxRead = 4U << 20; // neighbouring records, in one pread

std::uint8_t number_of(EventKind kind) { return static_cast<std::uint8_t>(kind); }

void put_mark(std::string& out, std::uint8_t kind, ByteView body) {
  out.push_back(static_cast<char>(kind));
  put_le<std::uint32_t>(out, static_cast<std::uint32_t>(body.size()));
  out.append(body);
}

// Visits the marks put_mark() wrote.
template <typename Visit>
void each_mark(ByteView marks, Visit visit) {
  while (!marks.empty()) {
    const auto kind = static_cast<std::uint8_t>(marks[0]);
    const std::uint32_t length = get_le<std::uint32_t>(marks.substr(1));
    visit(kind, marks.substr(5, length));
    marks.remove_prefix(5 + length);
  }
}

std::vector<Event> to_events(ByteView marks) {
  std::vector<Event> out;
  each_mark(marks, [&](std::uint8_t kind, ByteView body) {
    if (auto event = decode_event(kind, body)) out.push_back(std::move(*event));
  });
  return out;
}

void put_events(std::string& out, const std::vector<Event>& events) {
  for (const Event& event : events)
    put_mark(out, number_of(event.kind), encode_event(event));
}

std::string bitmap(const std::vector<bool>& bits) {
  std::string out((bits.size() + 7) / 8, '\0');
  for (std::size_t i = 0; i < bits.size(); ++i)
    if (bits[i])
      out[i / 8] = static_cast<char>(static_cast<unsigned char>(out[i / 8]) | (1U << (i % 8)));
  return out;
}

MarkKey key_of(const SegmentInfo& info) { return {Id(info.loan), info.segment, info.tag}; }

} // namespace

Queue::Queue(FileSystem& fs, Clock& clock, Options options)
    : fs_(fs), clock_(clock), options_(std::move(options)), layout_(options_.directory) {}

Queue::~Queue() = default;

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
  for (const Id id : recovered.removed_files)
    doomed_.push_back({id, {}, 0, 0});

  POSTRIDER_TRY(ledger_,
                Ledger::start(fs_, layout_, options_.ledger, pool_id, recovered.ledger,
                              recovered.last_loan, [this](Ledger& ledger) { snapshot(ledger); }));
  POSTRIDER_TRY(index_, Index::open(layout_, pool_id, options_.index_map_size));
  verifying_ = index_->found() != Index::State::clean;
  for (Arrived& arrived : found)
    each(std::move(arrived));
  return {};
}

// --- writers ---------------------------------------------------------------------------------

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
  if (record->header.type == RecordType::report) apply_report(record->envelope);
  return Arrived{make_state(std::move(*record)), Folder::incoming};
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
  if (!contents.state.envelope.report_for.empty()) apply_report(contents.state.envelope);
  return Arrived{std::move(contents.state), Folder::incoming};
}

void Queue::abandon_file(Id id) {
  if (lent_files_.erase(id) == 0) return;
  auto gone = fs_.unlink(layout_.temporary(Folder::incoming, id));
  if (!gone && gone.error().kind() != ErrorKind::not_found) alarms_.push_back(gone.error().text());
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

// --- message files -----------------------------------------------------------------------------

MigrateJob Queue::begin_migrate(std::vector<MigrateJob::Item> items) {
  MigrateJob job;
  job.layout = layout_;
  for (MigrateJob::Item& item : items) {
    const auto found = entries_.find(item.state.id);
    POSTRIDER_CHECK(found != entries_.end() && !found->second.job_out &&
                    found->second.place.in_segment());
    found->second.job_out = true;
    found->second.marks_in_job = found->second.marks.size();
    item.state.place = found->second.place;
    while (item.new_tag == 0)
      item.new_tag = secure_random();
    JournalPool::Segment* segment = pool_->find(item.state.place.segment);
    POSTRIDER_CHECK(segment != nullptr);
    ++segment->readers;
    auto source = segment->reader.duplicate();
    if (source)
      item.source = std::move(*source);
    else
      item.error = source.error();
  }
  job.items = std::move(items);
  return job;
}

void Queue::finish_migrate(MigrateJob& job) {
  for (MigrateJob::Item& item : job.items) {
    const Id id = item.state.id;
    item.source.reset();
    pool_->closed_by_reader(item.state.place.segment);
    const auto found = entries_.find(id);
    POSTRIDER_CHECK(found != entries_.end());
    Entry& entry = found->second;
    entry.job_out = false;
    if (!item.error) {
      const Place old = entry.place;
      const std::string since = entry.marks.substr(entry.marks_in_job);
      entry.place = item.new_place;
      entry.folder = item.folder;
      entry.tail_end = item.tail_end;
      entry.marks.clear();
      // What happened while the copy was made is said again about the copy.
      each_mark(since, [&](std::uint8_t kind, ByteView body) { append(id, entry, kind, body); });
      // The file and its name are durable: only now is the record finished (P3).
      finish_segment_record(id, old, EventKind::moved);
      item.state.place = item.new_place;
      item.state.content_offset = item.new_place.length - item.state.facts.size;
    }
    if (entry.finish_wanted) {
      entry.finish_wanted = false;
      finish(id);
    }
  }
}

AppendJob Queue::begin_save(const std::vector<std::pair<Id, Folder>>& messages) {
  AppendJob job;
  job.layout = layout_;
  for (const auto& [id, folder] : messages) {
    const auto found = entries_.find(id);
    POSTRIDER_CHECK(found != entries_.end() && !found->second.job_out &&
                    !found->second.place.in_segment());
    Entry& entry = found->second;
    entry.job_out = true;
    entry.marks_in_job = entry.marks.size();
    AppendJob::Item item;
    item.id = id;
    item.folder = entry.folder;
    item.tag = entry.place.tag;
    item.tail_end = entry.tail_end;
    item.events = to_events(entry.marks);
    if (folder != entry.folder) item.move_to = folder;
    job.items.push_back(std::move(item));
  }
  return job;
}

void Queue::finish_save(AppendJob& job) {
  for (AppendJob::Item& item : job.items) {
    const auto found = entries_.find(item.id);
    POSTRIDER_CHECK(found != entries_.end());
    Entry& entry = found->second;
    entry.job_out = false;
    if (!item.error) {
      entry.marks.erase(0, entry.marks_in_job);
      entry.tail_end = item.tail_end;
      entry.folder = item.folder;
    }
    if (entry.finish_wanted) {
      entry.finish_wanted = false;
      finish(item.id);
    }
  }
}

std::vector<std::string> Queue::destinations_of(const MessageState& state) const {
  if (options_.destinations) return options_.destinations(state);
  std::vector<std::string> out;
  for (std::size_t i = 0; i < state.recipients.size(); ++i) {
    if (is_settled(state.recipients[i])) continue;
    const std::string& address = state.envelope.recipients[i].address;
    const std::size_t at = address.rfind('@');
    out.push_back(at == std::string::npos ? address : address.substr(at + 1));
  }
  return out;
}

void Queue::change_index(IndexChange change) {
  ++changing_[change.id];
  changes_.push_back(std::move(change));
}

void Queue::park(const MessageState& state) {
  const auto found = entries_.find(state.id);
  POSTRIDER_CHECK(found != entries_.end() && !found->second.job_out &&
                  !found->second.place.in_segment());
  const Entry& entry = found->second;
  if (!entry.marks.empty()) file_marks_[state.id] = to_events(entry.marks);
  change_index({state.id, make_entry(state, entry.folder, destinations_of(state))});
  entries_.erase(found);
}

RemoveJob Queue::begin_remove(std::size_t limit) {
  RemoveJob job;
  job.layout = layout_;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < doomed_.size(); ++i) {
    // Gone only after the ledger knows it for sure: else a half-told story would be lost with it.
    if (job.items.size() < limit && ledger_->synced() >= doomed_[i].position) {
      job.items.push_back({doomed_[i].id, doomed_[i].folder, {}});
      removing_.push_back(doomed_[i]);
    } else {
      doomed_[kept++] = doomed_[i];
    }
  }
  doomed_.resize(kept);
  return job;
}

void Queue::finish_remove(RemoveJob& job) {
  for (const RemoveJob::Item& item : job.items) {
    const auto found = std::find_if(removing_.begin(), removing_.end(),
                                    [&](const Doomed& d) { return d.id == item.id; });
    if (found == removing_.end()) continue;
    if (item.error) {
      alarms_.push_back("cannot remove " + item.id.text() + ": " + item.error->text());
      doomed_.push_back(*found);
    } else {
      file_marks_.erase(item.id);
    }
    removing_.erase(found);
  }
}

// --- waiting mail ------------------------------------------------------------------------------

Result<std::vector<Id>> Queue::due(std::int64_t now, std::size_t limit) {
  std::vector<Id> out;
  std::optional<Index::Due> after;
  while (out.size() < limit) {
    POSTRIDER_TRY(const std::vector<Index::Due> page, index_->due(now, 256, after));
    for (const Index::Due& due : page) {
      after = due;
      if (entries_.contains(due.id) || loading_.contains(due.id) || changing_.contains(due.id))
        continue;
      out.push_back(due.id);
      if (out.size() == limit) break;
    }
    if (page.size() < 256) break;
  }
  return out;
}

LoadJob Queue::begin_load(const std::vector<Id>& ids) {
  LoadJob job;
  job.layout = layout_;
  for (const Id id : ids) {
    if (entries_.contains(id) || !loading_.insert(id).second) continue;
    LoadJob::Item item;
    item.id = id;
    job.items.push_back(std::move(item));
  }
  return job;
}

void LoadJob::run(FileSystem& fs) {
  for (Item& item : items) {
    item.error = Error(ErrorKind::not_found, "no file of " + item.id.text());
    for (const Folder folder : {Folder::deferred, Folder::hold, Folder::incoming}) {
      if (item.folder && *item.folder != folder) continue;
      const std::string path = layout.file(folder, item.id);
      auto contents = read_message_file(fs, path, Check::envelope);
      if (contents && contents->state.id != item.id)
        contents = Error(ErrorKind::protocol, "the file holds another id");
      if (contents) {
        item.contents = std::move(*contents);
        item.folder = folder;
        item.error.reset();
        break;
      }
      if (contents.error().kind() == ErrorKind::not_found) continue;
      item.error = contents.error();
      if (contents.error().kind() != ErrorKind::protocol) break; // EIO, EMFILE: later
      if (auto moved = fs.rename(path, layout.corrupt() + "/" + item.id.text())) {
        item.set_aside = true;
        if (auto synced = fs.sync_directory(layout.corrupt()); !synced) item.error = synced.error();
      }
      break;
    }
  }
}

std::vector<Arrived> Queue::finish_load(LoadJob& job) {
  std::vector<Arrived> out;
  for (LoadJob::Item& item : job.items) {
    loading_.erase(item.id);
    if (!item.contents) {
      if (item.error->kind() == ErrorKind::not_found || item.set_aside) change_index({item.id, {}});
      if (item.error->kind() != ErrorKind::not_found)
        alarms_.push_back(item.id.text() + ": " + item.error->text() +
                          (item.set_aside ? "; set aside in corrupt/" : ""));
      continue;
    }
    Entry entry;
    entry.place = item.contents->state.place;
    entry.folder = *item.folder;
    entry.tail_end = item.contents->tail_end;
    if (const auto told = file_marks_.find(item.id); told != file_marks_.end()) {
      for (const Event& event : told->second) {
        if (auto applied = apply(item.contents->state, event); !applied)
          alarms_.push_back(item.id.text() + ": " + applied.error().text());
      }
      put_events(entry.marks, told->second);
      file_marks_.erase(told);
    }
    entries_.emplace(item.id, std::move(entry));
    out.push_back({std::move(item.contents->state), *item.folder});
  }
  return out;
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
