// SPDX-License-Identifier: MIT
// The ledger: what happened to messages, append-only, checksummed, synced in groups. Two files of
// preallocated room are used in turn: when one is nearly full a snapshot of what still matters is
// written into the other, synced, and only then that file's header, with the next sequence number,
// is written and synced. So there is always a valid ledger, and a full disk cannot stop completions
// from being recorded. Owned by qmgr's loop thread; what blocks is in jobs.
//
//   ledger = header-block(4096) cell cell ...          (cell.hpp; tag is new at each rotation)
//   header-block = "PRlg" version(2)=1 zero(2) pool(8) sequence(8) tag(8) last-loan(8)
//                  continues(8) crc32c(4)
//   continues = up to where the older file is in the snapshot
//   body = id(8) segment(4) tag(8) event               kinds: EventKind; 64 and up see below
//   lent(64) = loan(8) segment(4) tag(8)               this generation was handed out
//   drained(65) = loan(8) segment(4) tag(8)            nothing in this generation is live
//   finished(66) = loan(8) segment(4) tag(8) bitmap    records finished, by sequence number
//
// L1  a mark counts (segment released, file removed, report believed) only when it is synced
// L2  after a failed sync or write the ledger is poisoned: delivery must stop, because completions
//     can no longer be recorded, until a rotation into the other file has succeeded
// L3  recovery reads both files, the older first: a mark that stands in either counts, once. What
//     the snapshot was made of is not read again in the older file, else marks would double with
//     each start.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "queue/cell.hpp"
#include "queue/layout.hpp"
#include "queue/state.hpp"

namespace postrider::queue {

constexpr std::uint8_t kLentMark = 64;
constexpr std::uint8_t kDrainedMark = 65;
constexpr std::uint8_t kFinishedMark = 66;
constexpr std::uint64_t kLedgerHeader = 4096;

struct LedgerLimits {
  std::uint64_t room = 32U << 20;                     // preallocated, per file
  Duration max_delay = std::chrono::milliseconds(50); // the published window, with max_marks:
  std::uint32_t max_marks = 64;                       // what a power cut can make happen twice
};

// Which message a mark is about. tag: generation of the segment, or tag of the file (segment 0).
struct MarkKey {
  Id id;
  std::uint32_t segment = 0;
  std::uint64_t tag = 0;
  auto operator<=>(const MarkKey&) const = default;
};

struct Mark {
  std::uint8_t kind = 0;
  MarkKey key;    // for kinds 64 and up, id holds the loan number
  ByteView event; // encode_event() or the bitmap
};

struct LedgerReplay {
  bool found = false;          // some ledger file was valid
  bool damaged_header = false; // a file was there that could not be used
  bool wrong_pool = false;     // a ledger of another queue
  std::uint64_t sequence = 0;
  std::uint64_t last_loan = 0;
  std::uint64_t marks = 0;
  std::uint64_t damaged_marks = 0; // skipped, those behind them counted
  unsigned newest = 0;             // which file
  std::uint64_t end = 0;
  std::uint64_t tag = 0;
};

// Reads both files, the older first, and calls `each` for every mark. Blocks.
Result<LedgerReplay> replay_ledger(FileSystem& fs, const Layout& layout, std::uint64_t pool,
                                   const std::function<void(const Mark&)>& each);

// Writes a snapshot into the other file and makes it the ledger. run() blocks.
struct RotateJob {
  Layout layout{""};
  LedgerLimits limits;
  unsigned which = 0;
  std::uint64_t pool = 0, sequence = 0, tag = 0, last_loan = 0;
  std::uint64_t continues = 0;
  std::string snapshot;   // cells
  std::shared_ptr<Fd> fd; // result
  std::optional<Error> error;
  void run(FileSystem& fs);
};

class Ledger {
 public:
  // Writes `snapshot` into a file that is not the newest and goes on there: every start begins with
  // a fresh ledger, so recovery never appends behind a torn tail. Blocks.
  static Result<std::unique_ptr<Ledger>> start(FileSystem& fs, Layout layout, LedgerLimits limits,
                                               std::uint64_t pool, const LedgerReplay& replay,
                                               std::uint64_t last_loan,
                                               const std::function<void(Ledger&)>& snapshot);

  // Buffers one mark; returns its position for synced(). Between begin_snapshot() and
  // begin_rotation() it goes into the snapshot.
  std::uint64_t append(const MarkKey& key, const Event& event);
  std::uint64_t append_raw(std::uint8_t kind, const MarkKey& key, ByteView body);

  // Positions only grow, across rotations too.
  std::uint64_t position() const { return position_; }
  std::uint64_t synced() const { return synced_; }

  // Writes what is buffered to the page cache, so that a crash of this process alone loses no mark.
  // Call it once per turn of the loop, after the marks of that turn. Poisons on error (L2).
  Result<void> flush(FileSystem& fs, SteadyTime now);

  bool needs_sync() const { return flushed_ > synced_ && !in_flight_ && !poisoned_; }
  // A sync is due: the oldest unsynced mark is max_delay old, or max_marks wait.
  bool sync_due(SteadyTime now) const;
  std::optional<SteadyTime> next_sync() const;

  struct Sync {
    std::shared_ptr<Fd> fd;
    std::uint64_t position = 0;
  };
  Sync begin_sync();                                              // REQUIRES needs_sync()
  static Result<void> run_sync(FileSystem& fs, const Sync& sync); // blocks
  Result<void> finish_sync(const Sync& sync, Result<void> result);

  bool rotation_due() const;
  // The snapshot callback appends every mark that still matters. REQUIRES flush() before, unless
  // the ledger is poisoned: then a rotation that succeeds is how it becomes usable again (the disk
  // is writable again), because the snapshot says all that the broken file should have.
  RotateJob begin_rotation(std::uint64_t last_loan, const std::function<void(Ledger&)>& snapshot);
  // On error the old file is kept in use (as long as it has room).
  Result<void> finish_rotation(RotateJob& job);
  bool rotating() const { return rotating_; }

  bool poisoned() const { return poisoned_; }
  std::uint64_t bytes_used() const { return offset_; }

 private:
  Ledger(Layout layout, LedgerLimits limits, std::uint64_t pool);
  void append_cell(std::uint8_t kind, const MarkKey& key, ByteView body);

  Layout layout_;
  LedgerLimits limits_;
  std::uint64_t pool_;
  std::uint64_t sequence_ = 0, tag_ = 0;
  unsigned which_ = 0;
  std::shared_ptr<Fd> fd_;
  std::string buffer_;                   // cells not yet written, from offset_ on
  std::uint64_t offset_ = kLedgerHeader; // file offset where buffer_ begins
  std::uint64_t position_ = 0, flushed_ = 0, synced_ = 0;
  std::uint32_t waiting_marks_ = 0;
  std::optional<SteadyTime> oldest_;
  bool in_flight_ = false, poisoned_ = false, rotating_ = false;
  std::string* snapshot_ = nullptr; // where append goes during a snapshot
  std::uint64_t snapshot_tag_ = 0;
  struct Carried {
    std::uint8_t kind;
    MarkKey key;
    std::string body;
  };
  std::vector<Carried> carried_;    // marks made while a rotation runs: repeated in the new file
  std::uint64_t carried_until_ = 0; // no further rotation before this is synced
  std::uint64_t snapshot_size_ = 0;
  std::string scratch_;
};

} // namespace postrider::queue
