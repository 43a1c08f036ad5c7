// SPDX-License-Identifier: MIT
#include "queue/pool.hpp"

#include <algorithm>
#include <fcntl.h>

#include "base/random.hpp"

namespace postrider::queue {

namespace {

constexpr std::size_t kScanPiece = 1 << 20;

std::uint64_t aligned(std::uint64_t offset) {
  return (offset + kRecordAlign - 1) & ~std::uint64_t{kRecordAlign - 1};
}

Result<void> make_segment(FileSystem& fs, LendJob& job, const std::string& path) {
  POSTRIDER_TRY(const SpaceLeft space, fs.space_left(job.layout.journal()));
  if (space.bytes < job.limits.min_free_bytes + job.info.size)
    return Error(ErrorKind::limit, "no disk space for another segment", ENOSPC);
  if (space.inodes < job.limits.min_free_inodes)
    return Error(ErrorKind::limit, "no inodes for another segment", ENOSPC);
  POSTRIDER_TRY(job.fd, fs.open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
  const auto fill = [&]() -> Result<void> {
    POSTRIDER_TRY_VOID(fs.preallocate(job.fd.get(), job.info.size));
    POSTRIDER_TRY(const bool locked, fs.try_lock(job.fd.get()));
    if (!locked) return Error(ErrorKind::busy, "the new segment is locked by another process");
    POSTRIDER_TRY_VOID(fs.pwrite(job.fd.get(), segment_header(job.info), 0));
    POSTRIDER_TRY_VOID(fs.fsync(job.fd.get()));
    // The name must be durable before the first 250 that leans on it.
    POSTRIDER_TRY_VOID(fs.sync_directory(job.layout.journal()));
    POSTRIDER_TRY(job.reader, fs.open(path, O_RDONLY));
    return {};
  };
  auto filled = fill();
  if (!filled) {
    job.fd.reset();
    if (auto gone = fs.unlink(path); !gone)
      return filled.error().in("and the half-made file stays");
  }
  return filled;
}

Result<void> renew_segment(FileSystem& fs, LendJob& job, const std::string& path) {
  POSTRIDER_TRY(job.fd, fs.open(path, O_WRONLY));
  POSTRIDER_TRY(const FileStat stat, fs.stat(job.fd.get()));
  POSTRIDER_TRY_VOID(check_regular(stat, path, false));
  POSTRIDER_TRY(const bool locked, fs.try_lock(job.fd.get()));
  if (!locked) {
    job.still_held = true; // P5
    return Error(ErrorKind::busy, "the segment is still held by its last writer");
  }
  if (stat.size < job.info.size) POSTRIDER_TRY_VOID(fs.preallocate(job.fd.get(), job.info.size));
  POSTRIDER_TRY_VOID(fs.pwrite(job.fd.get(), segment_header(job.info), 0));
  POSTRIDER_TRY_VOID(fs.fdatasync(job.fd.get()));
  return {};
}

// The next 8-aligned place at or behind `from` where a whole header of this generation stands.
Result<std::optional<std::uint64_t>> find_header(FileSystem& fs, int fd, const SegmentInfo& info,
                                                 std::uint64_t from) {
  for (std::uint64_t base = from; base < info.size; base += kScanPiece) {
    POSTRIDER_TRY(const std::string bytes, fs.pread(fd, kScanPiece + kRecordHeader, base));
    const ByteView view = bytes;
    for (std::size_t i = 0; i < kScanPiece && i + kRecordHeader <= view.size(); i += kRecordAlign) {
      if (!looks_like_header(view.substr(i), info.origin(base + i))) continue;
      if (parse_header(view.substr(i), info.origin(base + i))) return std::optional(base + i);
    }
    if (view.size() < kScanPiece) break;
  }
  return std::optional<std::uint64_t>{};
}

} // namespace

void LendJob::run(FileSystem& fs) {
  const std::string path = layout.segment(info.segment);
  auto done = fresh ? make_segment(fs, *this, path) : renew_segment(fs, *this, path);
  if (!done) {
    error = done.error();
    fd.reset();
    reader.reset();
  }
}

Result<Scan> scan_segment(FileSystem& fs, int fd, const SegmentInfo& info, std::uint64_t from) {
  Scan scan;
  scan.end = from;
  scan.synced = from;
  std::uint32_t last_sequence = 0;
  std::uint64_t place = aligned(from);
  while (place + kRecordHeader <= info.size) {
    auto record = read_record(fs, fd, info.origin(place), Check::everything);
    if (record && record->header.length <= info.size - place) {
      scan.synced = std::max(scan.synced, std::min(record->header.synced, place));
      scan.end = place + record->header.length;
      place = aligned(scan.end);
      const Id id = record->header.id;
      if (id.loan() != info.loan || id.sequence() <= last_sequence) {
        ++scan.repeated_ids;
        continue;
      }
      last_sequence = id.sequence();
      scan.records.push_back(std::move(*record));
      continue;
    }
    const std::string reason = record ? "reaches behind the segment" : record.error().text();
    POSTRIDER_TRY(const std::string head, fs.pread(fd, kRecordHeader, place));
    auto header = parse_header(head, info.origin(place));
    if (header && header->length <= info.size - place) { // the header is whole, the rest is not
      scan.synced = std::max(scan.synced, std::min(header->synced, place));
      scan.damage.push_back({info.segment, place, header->length, header->id, false, reason});
      place = aligned(place + header->length);
      continue;
    }
    const bool written_here = looks_like_header(head, info.origin(place));
    POSTRIDER_TRY(const auto next, find_header(fs, fd, info, place + kRecordAlign));
    if (next) {
      scan.damage.push_back({info.segment, place, *next - place, {}, false, reason});
      place = *next;
      continue;
    }
    if (written_here) {
      const std::uint64_t length = std::min<std::uint64_t>(info.size - place, kMaxSegmentRecord);
      scan.damage.push_back({info.segment, place, length, {}, false, reason});
    }
    break; // old bytes, or nothing: the end
  }
  for (Damage& damage : scan.damage)
    damage.acknowledged = damage.offset < scan.synced;
  return scan;
}

JournalPool::JournalPool(Layout layout, PoolLimits limits, std::uint64_t pool_id)
    : layout_(std::move(layout)), limits_(limits), pool_id_(pool_id) {}

JournalPool::Segment* JournalPool::find(std::uint32_t number) {
  const auto found = segments_.find(number);
  return found == segments_.end() ? nullptr : &found->second;
}

JournalPool::Segment* JournalPool::find_loan(std::uint64_t loan) {
  for (auto& [number, segment] : segments_)
    if (segment.info.loan == loan) return &segment;
  return nullptr;
}

void JournalPool::adopt(Segment segment) {
  reserve_number(segment.info.segment);
  note_loan(segment.info.loan);
  segments_.insert_or_assign(segment.info.segment, std::move(segment));
}

void JournalPool::reserve_number(std::uint32_t number) { highest_ = std::max(highest_, number); }

void JournalPool::note_loan(std::uint64_t loan) { last_loan_ = std::max(last_loan_, loan); }

bool JournalPool::held_by_other(const Segment& segment, std::uint64_t holder) const {
  return segment.holder != 0 && segment.holder != holder && holders_.contains(segment.holder);
}

bool JournalPool::is_drained(const Segment& segment, std::uint64_t ledger_synced) const {
  return segment.live == 0 && segment.readers == 0 && segment.last_mark <= ledger_synced;
}

bool JournalPool::is_reusable(const Segment& segment, std::uint64_t ledger_synced) const {
  return !segment.lent && !segment.preparing && !segment.retired &&
         is_drained(segment, ledger_synced);
}

std::uint32_t JournalPool::live_segments() const {
  std::uint32_t count = 0;
  for (const auto& [number, segment] : segments_)
    if (segment.lent || segment.live > 0) ++count;
  return count;
}

std::uint32_t JournalPool::lent_segments() const {
  return static_cast<std::uint32_t>(std::count_if(
      segments_.begin(), segments_.end(), [](const auto& entry) { return entry.second.lent; }));
}

Result<LendJob> JournalPool::begin_lend(std::uint64_t holder, std::uint64_t ledger_synced,
                                        std::uint64_t now_ms) {
  LendJob job;
  job.layout = layout_;
  job.limits = limits_;
  job.holder = holder;
  const std::uint64_t loan = std::max(now_ms, last_loan_ + 1);
  std::uint64_t tag = secure_random();
  while (tag == 0)
    tag = secure_random();
  const auto usable = [&](const Segment& segment, bool blocked) {
    return segment.blocked == blocked && is_reusable(segment, ledger_synced) &&
           !held_by_other(segment, holder);
  };
  const auto take = [&](Segment& segment) {
    segment.preparing = true;
    job.info = segment.info;
    job.info.loan = loan;
    job.info.tag = tag;
    job.info.size = limits_.segment_size;
    last_loan_ = loan;
    return std::move(job);
  };
  for (auto& [number, segment] : segments_)
    if (usable(segment, false)) return take(segment);
  if (segments_.size() < limits_.max_segments) {
    job.fresh = true;
    Segment segment;
    segment.info = {pool_id_, ++highest_, loan, tag, limits_.segment_size};
    segment.preparing = true;
    job.info = segment.info;
    last_loan_ = loan;
    segments_.emplace(job.info.segment, std::move(segment));
    return job;
  }
  for (auto& [number, segment] : segments_)
    if (usable(segment, true)) return take(segment);
  return Error(ErrorKind::busy, "all segments hold mail that is not delivered yet");
}

Result<void> JournalPool::finish_lend(LendJob& job) {
  Segment* segment = find(job.info.segment);
  POSTRIDER_CHECK(segment != nullptr && segment->preparing);
  segment->preparing = false;
  if (job.error) {
    const Error error = *job.error;
    if (job.fresh) {
      segments_.erase(job.info.segment);
    } else if (job.still_held) {
      segment->blocked = true;
    } else if (error.saved_errno() == EIO) {
      segment->retired = true; // never trusted with new mail again
    }
    return error;
  }
  Segment lent;
  lent.info = job.info;
  lent.reader = job.fresh ? std::move(job.reader) : std::move(segment->reader);
  lent.holder = job.holder;
  lent.lent = true;
  *segment = std::move(lent);
  holders_.insert(job.holder);
  return {};
}

Result<void> JournalPool::check_announced(const Segment& segment, const Announced& record) const {
  const Id id(record.id);
  const auto bad = [](std::string_view what) {
    return Error(ErrorKind::protocol, "announced record: " + std::string(what));
  };
  if (!segment.lent) return bad("its segment is not lent");
  if (id.loan() != segment.info.loan) return bad("id of another loan");
  if (id.sequence() <= segment.last_sequence) return bad("id out of order");
  if (record.offset % kRecordAlign != 0 || record.offset < segment.admitted_end)
    return bad("place out of order");
  if (record.length < kRecordHeader || record.offset > segment.info.size ||
      record.length > segment.info.size - record.offset)
    return bad("place outside of the segment");
  return {};
}

void JournalPool::admitted(Segment& segment, const Announced& record) {
  segment.admitted_end = record.offset + record.length;
  segment.last_sequence = Id(record.id).sequence();
  ++segment.live;
}

void JournalPool::finished(Segment& segment, Id id, std::uint64_t ledger_position) {
  POSTRIDER_CHECK(id.loan() == segment.info.loan && !is_finished(segment, id));
  const std::uint32_t sequence = id.sequence();
  if (segment.finished.size() <= sequence) segment.finished.resize(sequence + 1);
  segment.finished[sequence] = true;
  POSTRIDER_CHECK(segment.live > 0);
  --segment.live;
  segment.last_mark = std::max(segment.last_mark, ledger_position);
}

bool JournalPool::is_finished(const Segment& segment, Id id) const {
  return id.sequence() < segment.finished.size() && segment.finished[id.sequence()];
}

void JournalPool::opened_by_reader(std::uint32_t number) {
  if (Segment* segment = find(number)) ++segment->readers;
}

void JournalPool::closed_by_reader(std::uint32_t number) {
  Segment* segment = find(number);
  if (segment == nullptr) return;
  POSTRIDER_CHECK(segment->readers > 0);
  --segment->readers;
}

void JournalPool::writer_gone(std::uint64_t loan) {
  if (Segment* segment = find_loan(loan)) segment->lent = false;
}

void JournalPool::holder_exited(std::uint64_t holder) {
  holders_.erase(holder);
  for (auto& [number, segment] : segments_)
    if (segment.holder == holder) segment.blocked = false;
}

std::vector<std::uint32_t> JournalPool::drop_retired(std::uint64_t ledger_synced) {
  std::vector<std::uint32_t> gone;
  for (const auto& [number, segment] : segments_)
    if (segment.retired && !segment.lent && is_drained(segment, ledger_synced))
      gone.push_back(number);
  for (const std::uint32_t number : gone)
    segments_.erase(number);
  return gone;
}

void JournalPool::retire(std::uint32_t number) {
  if (Segment* segment = find(number)) segment->retired = true;
}

void JournalPool::pin(std::uint32_t number) {
  if (Segment* segment = find(number)) {
    segment->retired = true;
    ++segment->live;
  }
}

} // namespace postrider::queue
