// SPDX-License-Identifier: MIT
// qmgr's side of the journal: which segments exist, who holds them, what in them is still live,
// and when one may be used again. Owned by qmgr's loop thread; what blocks is in jobs.
//
// A segment is lent again only when all five hold:
//   P1  no recipient of any of its records is open: every record is finished
//   P2  the ledger entries that finished them are synced
//   P3  migrations out of it are durable (a record is finished by `moved` only after its file is)
//   P4  no agent reads from it
//   P5  no writer holds it: proven by flock(2) on the descriptor that was lent, which lasts as
//       long as any process has it, and by the exit of the holder it was lent to
// and then under a new loan number and a new random tag, synced before the writer gets it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "queue/journal.hpp"
#include "queue/layout.hpp"

namespace postrider::queue {

struct PoolLimits {
  std::uint64_t segment_size = 32U << 20;
  std::uint32_t max_segments = 64;
  std::uint64_t min_free_bytes = 64U << 20; // no new segment below this
  std::uint64_t min_free_inodes = 64;
};

// Prepares a segment for its next loan. run() blocks and touches only the job.
struct LendJob {
  Layout layout{""};
  PoolLimits limits;
  SegmentInfo info;
  std::uint64_t holder = 0;
  bool fresh = false;      // create and preallocate
  Fd fd;                   // write-only, locked; result
  Fd reader;               // for a fresh segment
  bool still_held = false; // some process has the old descriptor
  std::optional<Error> error;

  void run(FileSystem& fs);
};

// A place where a record was written and cannot be read.
struct Damage {
  std::uint32_t segment = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0; // of the bytes set aside
  std::optional<Id> id;
  bool acknowledged = false; // below the synced mark: alarm
  std::string reason;
};

struct Scan {
  std::vector<StoredRecord> records;
  std::vector<Damage> damage;
  std::uint64_t end = kSegmentHeader;    // behind the last good record
  std::uint64_t synced = kSegmentHeader; // greatest mark seen
  std::uint64_t repeated_ids = 0;
};

// Reads the records of one generation from offset `from` to the end of the segment. Damaged places
// are stepped over: the next header of this generation is looked for by its secret tag.
// Blocks; memory is bounded by the envelopes found.
Result<Scan> scan_segment(FileSystem& fs, int fd, const SegmentInfo& info,
                          std::uint64_t from = kSegmentHeader);

class JournalPool {
 public:
  struct Segment {
    SegmentInfo info;
    Fd reader;                 // read-only
    std::uint64_t holder = 0;  // who was lent it; 0: unknown, from before a restart
    bool lent = false;         // its writer may still add records
    bool preparing = false;    // a LendJob has it
    bool blocked = false;      // found still held at the last try
    bool retired = false;      // failed sync or damage: drained, then never lent again
    std::uint32_t live = 0;    // records admitted and not finished
    std::uint32_t readers = 0; // agents that hold a descriptor for it
    std::uint64_t admitted_end = kSegmentHeader;
    std::uint32_t last_sequence = 0;
    std::uint64_t last_mark = 0; // ledger position that finished its latest record
    std::vector<bool> finished;  // by sequence number
  };

  JournalPool(Layout layout, PoolLimits limits, std::uint64_t pool_id);

  std::uint64_t pool_id() const { return pool_id_; }
  const std::map<std::uint32_t, Segment>& segments() const { return segments_; }
  Segment* find(std::uint32_t number);
  Segment* find_loan(std::uint64_t loan);

  // Recovery hands over what it found.
  void adopt(Segment segment);
  void reserve_number(std::uint32_t number); // a file of this name is there and must stay
  void note_loan(std::uint64_t loan);        // ids up to this loan have been used

  // Takes a reusable segment, or plans a new one. Error busy: none free and none may be made;
  // the caller answers 452. now_ms: wall clock, milliseconds.
  Result<LendJob> begin_lend(std::uint64_t holder, std::uint64_t ledger_synced,
                             std::uint64_t now_ms);
  // Error busy: the segment is still held, try again; io: as the system said, the half-made segment
  // is gone. On success info and fd go to the writer, after the ledger's `lent` mark is
  // synced.
  Result<void> finish_lend(LendJob& job);

  // Places a writer announces must ascend and lie in its segment: it is not trusted.
  Result<void> check_announced(const Segment& segment, const Announced& record) const;
  void admitted(Segment& segment, const Announced& record);
  // ledger_position: where the mark that finishes it stands.
  void finished(Segment& segment, Id id, std::uint64_t ledger_position);
  bool is_finished(const Segment& segment, Id id) const;

  void opened_by_reader(std::uint32_t segment);
  void closed_by_reader(std::uint32_t segment);
  // The writer gave it back or is gone; scan from admitted_end for what it did not announce.
  void writer_gone(std::uint64_t loan);
  void holder_exited(std::uint64_t holder);
  void retire(std::uint32_t segment);
  // Retires it, and keeps its file until the next start: it holds what could not be read or copied.
  void pin(std::uint32_t segment);
  // Forgets retired segments in which nothing is live; the caller unlinks their files.
  std::vector<std::uint32_t> drop_retired(std::uint64_t ledger_synced);
  std::uint64_t last_loan() const { return last_loan_; }

  bool is_drained(const Segment& segment, std::uint64_t ledger_synced) const; // P1-P4
  bool is_reusable(const Segment& segment, std::uint64_t ledger_synced) const;
  std::uint32_t live_segments() const; // with mail, or lent
  std::uint32_t lent_segments() const;

  // P5 across processes: true when another holder than `holder` may have the descriptor.
  bool held_by_other(const Segment& segment, std::uint64_t holder) const;

 private:
  Layout layout_;
  PoolLimits limits_;
  std::uint64_t pool_id_;
  std::uint64_t last_loan_ = 0;
  std::map<std::uint32_t, Segment> segments_;
  std::uint32_t highest_ = 0;
  std::set<std::uint64_t> holders_; // alive
};

} // namespace postrider::queue
