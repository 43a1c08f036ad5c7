// SPDX-License-Identifier: MIT
#include "queue/ledger.hpp"

#include <algorithm>
#include <fcntl.h>

#include "base/crc32c.hpp"
#include "base/random.hpp"

namespace postrider::queue {

namespace {

constexpr std::size_t kHeaderUsed = 52;
constexpr std::size_t kKey = 20;
constexpr std::uint16_t kVersion = 1;

struct Header {
  std::uint64_t pool = 0, sequence = 0, tag = 0, last_loan = 0, continues = 0;
};

std::string put_ledger_header(const Header& h) {
  std::string out = "PRlg";
  put_le<std::uint16_t>(out, kVersion);
  put_le<std::uint16_t>(out, 0);
  put_le<std::uint64_t>(out, h.pool);
  put_le<std::uint64_t>(out, h.sequence);
  put_le<std::uint64_t>(out, h.tag);
  put_le<std::uint64_t>(out, h.last_loan);
  put_le<std::uint64_t>(out, h.continues);
  put_le<std::uint32_t>(out, crc32c(out));
  POSTRIDER_CHECK(out.size() == kHeaderUsed);
  out.resize(kLedgerHeader, '\0');
  return out;
}

bool is_ledger_header(ByteView in) {
  return in.size() >= kHeaderUsed && in.substr(0, 4) == "PRlg" &&
         crc32c(in.substr(0, kHeaderUsed - 4)) == get_le<std::uint32_t>(in.substr(kHeaderUsed - 4));
}

std::uint16_t version_of(ByteView header) { return get_le<std::uint16_t>(header.substr(4)); }

std::optional<Header> parse_ledger_header(ByteView in) {
  if (!is_ledger_header(in) || version_of(in) != kVersion) return {};
  return Header{get_le<std::uint64_t>(in.substr(8)), get_le<std::uint64_t>(in.substr(16)),
                get_le<std::uint64_t>(in.substr(24)), get_le<std::uint64_t>(in.substr(32)),
                get_le<std::uint64_t>(in.substr(40))};
}

void put_key(std::string& out, const MarkKey& key) {
  put_le<std::uint64_t>(out, key.id.number());
  put_le<std::uint32_t>(out, key.segment);
  put_le<std::uint64_t>(out, key.tag);
}

std::uint64_t random_tag() {
  std::uint64_t tag = secure_random();
  while (tag == 0)
    tag = secure_random();
  return tag;
}

} // namespace

Result<LedgerReplay> replay_ledger(FileSystem& fs, const Layout& layout, std::uint64_t pool,
                                   const std::function<void(const Mark&)>& each) {
  LedgerReplay replay;
  struct File {
    unsigned which;
    Header header;
    std::string cells;
  };
  std::vector<File> files;
  for (unsigned which = 0; which < 2; ++which) {
    auto fd = fs.open(layout.ledger(which), O_RDONLY);
    if (!fd) {
      if (fd.error().kind() == ErrorKind::not_found) continue;
      // A link, or no permission: as good as lost, and said so. EMFILE and such must not be.
      if (fd.error().saved_errno() != ELOOP && fd.error().saved_errno() != EACCES)
        return fd.error();
      replay.damaged_header = true;
      continue;
    }
    auto block = fs.pread(fd->get(), kLedgerHeader, 0);
    if (!block) {
      replay.damaged_header = true;
      continue;
    }
    // To go on would repeat what it says is done, and overwrite it.
    if (is_ledger_header(*block) && version_of(*block) > kVersion)
      return Error(ErrorKind::config, layout.ledger(which) +
                                          " was written by a newer version of qmgr (format " +
                                          std::to_string(version_of(*block)) + "); start that one");
    const auto header = parse_ledger_header(*block);
    if (!header) {
      if (block->find_first_not_of('\0') != std::string::npos) replay.damaged_header = true;
      continue;
    }
    if (header->pool != pool) {
      replay.wrong_pool = true;
      continue;
    }
    POSTRIDER_TRY(const FileStat stat, fs.stat(fd->get()));
    auto cells = fs.pread(fd->get(), std::min<std::uint64_t>(stat.size, 1ULL << 30), kLedgerHeader);
    if (!cells) {
      replay.damaged_header = true;
      continue;
    }
    files.push_back({which, *header, std::move(*cells)});
  }
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.header.sequence < b.header.sequence; });
  const bool follows =
      files.size() == 2 && files[1].header.sequence == files[0].header.sequence + 1;
  for (const File& file : files) {
    const std::uint64_t from =
        follows && &file == &files.front() ? files.back().header.continues : 0;
    CellReader reader(file.cells, file.header.tag, kLedgerHeader);
    Cell cell;
    while (reader.next(cell)) {
      if (cell.body.size() < kKey || cell.offset < from) continue;
      Mark mark;
      mark.kind = cell.kind;
      mark.key = {Id(get_le<std::uint64_t>(cell.body)), get_le<std::uint32_t>(cell.body.substr(8)),
                  get_le<std::uint64_t>(cell.body.substr(12))};
      mark.event = cell.body.substr(kKey);
      ++replay.marks;
      each(mark);
    }
    replay.found = true;
    replay.sequence = file.header.sequence;
    replay.last_loan = std::max(replay.last_loan, file.header.last_loan);
    replay.damaged_marks = reader.damaged(); // of the newest: an older one may be half overwritten
    replay.newest = file.which;
    replay.end = reader.end();
    replay.tag = file.header.tag;
  }
  return replay;
}

void RotateJob::run(FileSystem& fs) {
  const auto work = [&]() -> Result<void> {
    const std::string path = layout.ledger(which);
    auto opened = fs.open(path, O_WRONLY);
    const bool fresh = !opened && opened.error().kind() == ErrorKind::not_found;
    if (fresh) opened = fs.open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (!opened) return opened.error();
    fd = std::make_shared<Fd>(std::move(*opened));
    POSTRIDER_TRY(const FileStat stat, fs.stat(fd->get()));
    POSTRIDER_TRY_VOID(check_regular(stat, path, false));
    if (stat.size < limits.room) POSTRIDER_TRY_VOID(fs.preallocate(fd->get(), limits.room));
    // The old header goes first, the new one comes last: the file is a ledger only when whole.
    POSTRIDER_TRY_VOID(fs.pwrite(fd->get(), std::string(kLedgerHeader, '\0'), 0));
    POSTRIDER_TRY_VOID(fs.pwrite(fd->get(), snapshot, kLedgerHeader));
    POSTRIDER_TRY_VOID(fs.fsync(fd->get()));
    if (fresh) POSTRIDER_TRY_VOID(fs.sync_directory(layout.journal()));
    const Header header{pool, sequence, tag, last_loan, continues};
    POSTRIDER_TRY_VOID(fs.pwrite(fd->get(), put_ledger_header(header), 0));
    return fs.fdatasync(fd->get());
  };
  if (auto done = work(); !done) {
    error = done.error();
    fd.reset();
  }
}

Ledger::Ledger(Layout layout, LedgerLimits limits, std::uint64_t pool)
    : layout_(std::move(layout)), limits_(limits), pool_(pool) {}

Result<std::unique_ptr<Ledger>> Ledger::start(FileSystem& fs, Layout layout, LedgerLimits limits,
                                              std::uint64_t pool, const LedgerReplay& replay,
                                              std::uint64_t last_loan,
                                              const std::function<void(Ledger&)>& snapshot) {
  std::unique_ptr<Ledger> ledger(new Ledger(layout, limits, pool));
  ledger->sequence_ = replay.sequence;
  ledger->which_ = replay.found ? replay.newest : 1;
  if (replay.found) { // it may be in the page cache only, and the other one is overwritten now
    POSTRIDER_TRY(const Fd fd, fs.open(layout.ledger(replay.newest), O_RDONLY));
    POSTRIDER_TRY_VOID(fs.fdatasync(fd.get()));
  }
  RotateJob job = ledger->begin_rotation(last_loan, snapshot);
  job.continues = UINT64_MAX; // all of it
  const std::string purpose =
      "2 x " + std::to_string(limits.room >> 20) + " MiB for the ledger (see ledger_size_limit)";
  job.run(fs);
  if (job.error) return job.error->in(purpose);
  POSTRIDER_TRY_VOID(ledger->finish_rotation(job));
  // Room for the next rotation, taken while there is some.
  const std::string other = layout.ledger(1 - ledger->which_);
  if (auto stat = fs.stat(other); !stat && stat.error().kind() == ErrorKind::not_found) {
    POSTRIDER_TRY(Fd fd, fs.open(other, O_WRONLY | O_CREAT | O_EXCL, 0600));
    if (auto reserved = fs.preallocate(fd.get(), limits.room); !reserved) {
      if (auto gone = fs.unlink(other); !gone) return gone.error();
      return reserved.error().in(purpose);
    }
    POSTRIDER_TRY_VOID(fs.fsync(fd.get()));
    POSTRIDER_TRY_VOID(fs.close(std::move(fd)));
    POSTRIDER_TRY_VOID(fs.sync_directory(layout.journal()));
  }
  return ledger;
}

void Ledger::append_cell(std::uint8_t kind, const MarkKey& key, ByteView body) {
  scratch_.clear();
  put_key(scratch_, key);
  scratch_.append(body);
  if (snapshot_ != nullptr) {
    put_cell(*snapshot_, snapshot_tag_, kLedgerHeader + snapshot_->size(), kind, scratch_);
    return;
  }
  const std::size_t before = buffer_.size();
  put_cell(buffer_, tag_, offset_ + before, kind, scratch_);
  position_ += buffer_.size() - before;
  ++waiting_marks_;
}

std::uint64_t Ledger::append_raw(std::uint8_t kind, const MarkKey& key, ByteView body) {
  append_cell(kind, key, body);
  if (rotating_ && snapshot_ == nullptr) carried_.push_back({kind, key, std::string(body)});
  return position_;
}

std::uint64_t Ledger::append(const MarkKey& key, const Event& event) {
  return append_raw(static_cast<std::uint8_t>(event.kind), key, encode_event(event));
}

Result<void> Ledger::flush(FileSystem& fs, SteadyTime now) {
  if (poisoned_) return Error(ErrorKind::io, "the ledger cannot record what is delivered");
  if (buffer_.empty()) return {};
  if (auto written = fs.pwrite(fd_->get(), buffer_, offset_); !written) {
    poisoned_ = true; // L2
    return written;
  }
  offset_ += buffer_.size();
  buffer_.clear();
  flushed_ = position_;
  if (!oldest_) oldest_ = now;
  return {};
}

bool Ledger::sync_due(SteadyTime now) const {
  return needs_sync() && oldest_ &&
         (waiting_marks_ >= limits_.max_marks || now - *oldest_ >= limits_.max_delay);
}

std::optional<SteadyTime> Ledger::next_sync() const {
  if (!needs_sync() || !oldest_) return {};
  return *oldest_ + limits_.max_delay;
}

Ledger::Sync Ledger::begin_sync() {
  POSTRIDER_CHECK(needs_sync());
  in_flight_ = true;
  waiting_marks_ = 0;
  oldest_.reset();
  return {fd_, flushed_};
}

Result<void> Ledger::run_sync(FileSystem& fs, const Sync& sync) {
  return fs.fdatasync(sync.fd->get());
}

Result<void> Ledger::finish_sync(const Sync& sync, Result<void> result) {
  POSTRIDER_CHECK(in_flight_);
  in_flight_ = false;
  if (!result) {
    poisoned_ = true; // L2: never synced again and then believed
    return result;
  }
  synced_ = std::max(synced_, sync.position); // L1
  return {};
}

bool Ledger::rotation_due() const {
  const std::uint64_t enough = std::max(limits_.room / 4 * 3, kLedgerHeader + 2 * snapshot_size_);
  return !rotating_ && !poisoned_ && offset_ > enough && synced_ >= carried_until_;
}

RotateJob Ledger::begin_rotation(std::uint64_t last_loan,
                                 const std::function<void(Ledger&)>& snapshot) {
  if (poisoned_) {
    POSTRIDER_CHECK(!in_flight_);
    buffer_.clear(); // the snapshot says it
  }
  POSTRIDER_CHECK(!rotating_ && buffer_.empty() && (poisoned_ || synced_ >= carried_until_));
  RotateJob job;
  job.layout = layout_;
  job.limits = limits_;
  job.which = 1 - which_;
  job.pool = pool_;
  job.sequence = sequence_ + 1;
  job.tag = random_tag();
  job.last_loan = last_loan;
  job.continues = offset_;
  snapshot_ = &job.snapshot;
  snapshot_tag_ = job.tag;
  snapshot(*this);
  snapshot_ = nullptr;
  rotating_ = true;
  return job;
}

Result<void> Ledger::finish_rotation(RotateJob& job) {
  POSTRIDER_CHECK(rotating_);
  rotating_ = false;
  std::vector<Carried> carried = std::move(carried_);
  carried_.clear();
  if (job.error) {
    snapshot_size_ = offset_; // not again before as much has come in
    return *job.error;
  }
  poisoned_ = false;
  waiting_marks_ = 0;
  oldest_.reset();
  fd_ = job.fd;
  which_ = job.which;
  tag_ = job.tag;
  sequence_ = job.sequence;
  offset_ = kLedgerHeader + job.snapshot.size();
  snapshot_size_ = job.snapshot.size();
  buffer_.clear();
  flushed_ = synced_;
  // Marks made meanwhile stand in the old file only; until they are synced here, both files count.
  for (const Carried& mark : carried)
    append_cell(mark.kind, mark.key, mark.body);
  carried_until_ = carried.empty() ? synced_ : position_;
  if (carried.empty()) flushed_ = synced_ = position_;
  return {};
}

} // namespace postrider::queue
