// SPDX-License-Identifier: MIT
// The queue, as qmgr uses it. Owned by qmgr's loop thread. No call here waits for the disk, except
// open(), flush() (page cache) and index reads (mapped pages). What blocks is a job: begin_x() on
// the loop, job.run(fs) on any thread, finish_x() on the loop. sync_now() and run_all() do it all
// at once, for tests and for shutdown.
//
// The states of a message, in terms of files (doc/queue.md):
//   announced   record durable in a segment, known to its writer only
//   active      in a segment, or in incoming/ (large), or in deferred/ and due
//   waiting     in deferred/, found again through the index
//   held        in hold/
//   gone        no record that is not finished in the ledger, no file
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "queue/index.hpp"
#include "queue/message_file.hpp"
#include "queue/recovery.hpp"

namespace postrider::queue {

struct Options {
  std::string directory;
  PoolLimits pool;
  LedgerLimits ledger;
  std::uint64_t index_map_size = 1ULL << 34;
  // Which destinations a message waits for: what the index is searched by. Default: the domains of
  // its open recipients.
  std::function<std::vector<std::string>(const MessageState&)> destinations;
};

// What becomes of mail that says it is a report on other mail: it settles that mail's recipients,
// or is mail like any other, or is removed as a lie.
enum class ReportClaim { believed, ignored, refused };

// A lent segment: goes to the writer once is_synced(ready_at), with the descriptor.
struct Lent {
  SegmentInfo info;
  Fd fd;
  std::uint64_t ready_at = 0;
};

// A message that entered the active queue.
struct Arrived {
  MessageState state;
  Folder folder = Folder::incoming; // meaningful when it lives in a file
};

// Reads message files that are due, or that the operator named. Damaged ones are set aside.
struct LoadJob {
  struct Item {
    Id id;
    std::optional<Folder> folder; // unknown: look in all
    std::optional<FileContents> contents;
    std::optional<Error> error; // not_found: the index was stale, or it is gone meanwhile
    bool set_aside = false;
  };
  Layout layout{""};
  std::vector<Item> items;
  void run(FileSystem& fs);
};

// After an unclean end: compares a part of the files with the index, then a part of the index with
// the files. A job covers at most kVerifyStep files that the index did not know.
struct VerifyJob {
  static constexpr std::size_t kVerifyStep = 500;
  Layout layout{""};
  Index* index = nullptr;
  Folder folder = Folder::deferred;
  char shard = 0;                 // 0: a page of the index
  Id after;                       // page: where it begins; out: where the next begins
  std::uint64_t old_loans = 0;    // temporaries of later loans are somebody's
  std::unordered_set<Id> active;  // not to be looked at
  std::vector<std::string> names; // of the shard, not yet looked at, last first
  bool listed = false;
  struct Found {
    FileContents contents;
    Folder folder;
  };
  std::vector<Found> found;        // out: not in the index
  std::vector<Id> lost;            // out: in the index, without a file
  std::vector<std::string> alarms; // out
  bool done = false;               // out
  std::optional<Error> error;
  void run(FileSystem& fs);
};

// One transaction on the index.
struct IndexJob {
  Index* index = nullptr;
  std::vector<IndexChange> changes;
  std::optional<Error> error;
  void run();
};

class Queue {
 public:
  using Each = std::function<void(Arrived&&)>;

  // Creates or checks the directory, takes the lock (Error busy: another qmgr has it), recovers,
  // and hands every message that is active to `each`. Blocks.
  static Result<std::unique_ptr<Queue>> open(FileSystem& fs, Clock& clock, Options options,
                                             const Each& each);
  ~Queue();

  const RecoverySummary& recovered() const { return summary_; }
  const Layout& layout() const { return layout_; }
  JournalPool& pool() { return *pool_; }
  Ledger& ledger() { return *ledger_; }
  Index& index() { return *index_; }
  std::size_t active() const { return entries_.size(); }

  // --- writers -------------------------------------------------------------------------------
  Result<LendJob> begin_lend(std::uint64_t holder);
  Result<Lent> finish_lend(LendJob& job);
  // Admits records their writer says are durable. Each is read back and checked (`check` says how
  // much); one that is not as announced is refused and counted, the others count. One pread for
  // neighbouring records.
  std::vector<Arrived> admit(std::uint64_t loan, const std::vector<Announced>& records, Check check,
                             std::vector<Error>* refused = nullptr);
  // The writer returned the segment in good order: everything it wrote was announced.
  void writer_returned(std::uint64_t loan);
  // Its sync failed: what it did not announce is not delivered, and the segment takes no more
  // mail. It is removed when it is drained.
  void writer_failed(std::uint64_t loan);
  // The writer died: what it committed and did not announce is found in the segment. Reads up
  // to a whole segment, from the page cache as a rule.
  std::vector<Arrived> writer_died(std::uint64_t loan);
  // Segments lent by an earlier qmgr whose writers are still alive: such a writer may announce
  // under its loan as before. Call now and then: when it is gone, its unannounced mail is found.
  std::vector<Arrived> adopt_orphans();
  bool has_orphans() const;
  void holder_exited(std::uint64_t holder) { pool_->holder_exited(holder); }

  // Large mail: a write-only file for this id. The id must be of a loan that the asker holds.
  Result<Fd> lend_file(std::uint64_t loan, Id id);
  AcceptFileJob begin_accept(Id id);
  // Accepted from here (large mail): answer the writer when this has succeeded.
  Result<Arrived> finish_accept(AcceptFileJob& job);
  void abandon_file(Id id); // refused, or its writer died

  // --- what happened --------------------------------------------------------------------------
  // Records an event of an active message. Counts once is_synced(returned position). A report
  // that was admitted marks its original by itself; qmgr tells its own copy of the state.
  std::uint64_t mark(Id id, const Event& event);
  // Short for the commonest event.
  std::uint64_t delivered(Id id, std::uint32_t recipient);
  // Nothing is left to do. REQUIRES may_remove(state). The segment is used again, or the file
  // removed, only when this is synced.
  void finish(Id id);

  // --- message files --------------------------------------------------------------------------
  // Moves active messages that live in a segment into files; with Folder::hold their state must
  // say held. After finish_migrate() the new places are in the items, and a message in deferred/ or
  // hold/ is still active until park().
  MigrateJob begin_migrate(std::vector<MigrateJob::Item> items);
  void finish_migrate(MigrateJob& job);
  // Writes the events marked since the file was last saved into the file, and moves it to `folder`.
  AppendJob begin_save(const std::vector<std::pair<Id, Folder>>& messages);
  void finish_save(AppendJob& job);
  // Leaves memory; the index finds it again. REQUIRES a message in a file, saved.
  void park(const MessageState& state);
  // Removes files of finished messages whose marks are synced; empty when there are none.
  RemoveJob begin_remove(std::size_t limit = 256);
  void finish_remove(RemoveJob& job);

  // --- waiting mail ---------------------------------------------------------------------------
  // Ids of waiting messages due by now, not yet active, earliest first.
  Result<std::vector<Id>> due(std::int64_t now, std::size_t limit);
  // Skips what is active, being loaded, or finished with its file not yet removed.
  LoadJob begin_load(const std::vector<Id>& ids);
  std::vector<Arrived> finish_load(LoadJob& job);

  // --- index ----------------------------------------------------------------------------------
  bool index_needs_write() const { return !changes_.empty() && !index_busy_; }
  IndexJob begin_index();
  void finish_index(IndexJob& job);
  // After an unclean end: shards not yet compared with the files. queue views say so.
  bool index_is_stale() const { return verifying_; }
  std::optional<VerifyJob> begin_verify();
  void finish_verify(VerifyJob& job);

  // Asked of new mail that says it is a report on other mail, before that is believed.
  using JudgeReport = std::function<ReportClaim(std::uint64_t loan, const mail::Envelope&)>;
  void judge_reports(JudgeReport judge) { judge_report_ = std::move(judge); }

  // What the operator must know, since the last call: one line each.
  std::vector<std::string> take_alarms() { return std::exchange(alarms_, {}); }

  // --- reading --------------------------------------------------------------------------------
  // A read-only descriptor for agents. Segments count readers: close_content() gives it back.
  Result<Fd> open_content(const Place& place, Id id, Folder folder);
  void close_content(const Place& place);
  std::optional<Folder> folder_of(Id id) const; // of an active message in a file
  // Whether this is the lock file of this queue, opened by somebody who may read it.
  bool is_lock_file(const Fd& shown) const;

  // --- the ledger -----------------------------------------------------------------------------
  // Once per turn of the loop.
  Result<void> flush() { return ledger_->flush(fs_, clock_.steady()); }
  bool is_synced(std::uint64_t position) const { return ledger_->synced() >= position; }
  bool rotation_due() const { return ledger_->rotation_due(); }
  // Delivery must stop while this holds; try a rotation now and then (L2).
  bool ledger_is_broken() const { return ledger_->poisoned(); }
  RotateJob begin_rotation();
  Result<void> finish_rotation(RotateJob& job) { return ledger_->finish_rotation(job); }

  // Flushes and syncs the ledger here and now.
  Result<void> sync_now();
  // Removes, index changes, verification: everything that is due, here and now.
  Result<void> run_all();
  // Ends in good order: the next start trusts the index. REQUIRES that no job is out.
  Result<void> close();

 private:
  struct Entry {
    Place place;
    Folder folder = Folder::incoming;
    std::uint64_t tail_end = 0;   // files
    std::string marks;            // not in the file yet: kind(1) length(4) body ...
    std::size_t marks_in_job = 0; // how much of them the job that is out knows
    bool job_out = false;
    bool finish_wanted = false; // finished while a job was out
  };
  struct Doomed {
    Id id;
    std::optional<Folder> folder;
    std::uint64_t tag = 0;
    std::uint64_t position = 0;
  };

  Queue(FileSystem& fs, Clock& clock, Options options);
  Result<void> start(const Each& each);
  std::optional<Arrived> take(JournalPool::Segment& segment, const Announced& announced,
                              Result<StoredRecord> record, std::vector<Error>* refused);
  void apply_report(const mail::Envelope& report);
  bool take_report(Id id, RecordType type, const mail::Envelope& envelope);
  std::uint64_t append(Id id, Entry& entry, std::uint8_t kind, ByteView body);
  std::uint64_t finish_segment_record(Id id, const Place& place, EventKind kind);
  void finish_file(Id id, const Entry& entry);
  void note_if_drained(JournalPool::Segment& segment);
  void drop_retired();
  void snapshot(Ledger& ledger);
  void change_index(IndexChange change);
  std::vector<std::string> destinations_of(const MessageState& state) const;

  FileSystem& fs_;
  Clock& clock_;
  Options options_;
  Layout layout_;
  Fd lock_;
  RecoverySummary summary_;
  std::unique_ptr<JournalPool> pool_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Index> index_;
  std::unordered_map<Id, Entry> entries_;
  std::unordered_map<Id, std::vector<Event>> file_marks_; // waiting files: in the ledger only
  std::unordered_set<Id> lent_files_;
  std::unordered_set<Id> loading_;
  std::vector<Doomed> doomed_;
  std::vector<Doomed> removing_;
  std::unordered_set<Id> finished_; // of doomed_ and removing_: their files are still there
  std::vector<IndexChange> changes_;
  std::unordered_map<Id, unsigned> changing_; // changes on their way into the index
  JudgeReport judge_report_;                  // empty: all are believed
  std::vector<std::string> alarms_;
  bool index_busy_ = false;
  bool verifying_ = false;
  std::size_t verify_next_ = 0;
  Id verify_after_;
  std::optional<VerifyJob> verify_rest_;
  std::uint64_t old_loans_ = 0;
};

} // namespace postrider::queue
