// SPDX-License-Identifier: MIT
// What qmgr does to the queue directory before it serves anyone: read segments, ledger and message
// files back, and say for every message what is still to be done. One bad message never stops it:
// its bytes are set aside in corrupt/ with a reason, and the rest goes on. Runs once at start,
// blocks, and is bounded in memory by the open mail that lives in segments.
//
// What is read may be in the page cache only: whoever wrote it was killed before it was synced.
// Whatever the next ledger leans on (generations, reports, the copy that wins) is synced first.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "queue/ledger.hpp"
#include "queue/message_file.hpp"
#include "queue/pool.hpp"

namespace postrider::queue {

struct RecoverySummary {
  std::uint64_t segments = 0;         // found
  std::uint64_t live_segments = 0;    // with unfinished mail
  std::uint64_t segment_messages = 0; // to be delivered from segments
  std::uint64_t files_seen = 0;       // message files looked at
  std::uint64_t file_messages = 0;
  std::uint64_t temporaries_removed = 0;
  std::uint64_t torn_records = 0;    // never acknowledged, set aside
  std::uint64_t damaged_records = 0; // acknowledged mail damaged: alarm
  std::uint64_t damaged_files = 0;
  std::uint64_t damaged_marks = 0;
  std::uint64_t stray_marks = 0;           // about records that are not there
  std::uint64_t marks_ahead = 0;           // of these, in the segment's own generation: alarm
  std::uint64_t duplicates_reconciled = 0; // in a segment and in a file: the file won
  std::uint64_t finished_files_removed = 0;
  std::uint64_t odd_entries = 0;   // links, directories, wrong owners: left alone
  bool ledger_lost = false;        // alarm: completed recipients of live segments may repeat
  bool foreign = false;            // segments and ledger do not belong together: mail is held
  std::vector<std::string> alarms; // one line each, for the log
};

struct Recovered {
  RecoverySummary summary;
  std::vector<JournalPool::Segment> segments;
  std::vector<std::uint32_t> reserved_numbers; // segment files that are left alone
  LedgerReplay ledger;
  std::uint64_t last_loan = 0;
  // Marks about messages in files, by id: applied when the file is read.
  std::unordered_map<Id, std::vector<Event>> file_marks;
  // Marks about messages still in segments, to be carried into the next ledger.
  std::unordered_map<Id, std::vector<Event>> segment_marks;
  std::vector<Id> removed_files; // finished: their files go, if still there
};

// REQUIRES the queue lock. `each` gets every message that is active: those in segments, those in
// incoming/, and those found in a segment and in deferred/ or hold/ at once (the file wins). Other
// message files are not touched: the index finds them, or Queue::begin_verify(). Errors are only
// those of the directory itself.
Result<Recovered> recover(FileSystem& fs, const Layout& layout, std::uint64_t pool,
                          const std::function<void(FileContents&&, Folder)>& each);

// Copies bytes that could not be used to corrupt/NAME and the reason to corrupt/NAME.reason; both
// synced, so that the place they came from may be used again.
Result<void> set_aside(FileSystem& fs, const Layout& layout, const std::string& name, int fd,
                       std::uint64_t offset, std::uint64_t length, const std::string& reason);

} // namespace postrider::queue
