// SPDX-License-Identifier: MIT
// Plays smtpd, qmgr and a delivery agent against lib/queue over a recording file system, and keeps
// books of its own about what was promised to whom: notes in the recording. judge() opens what a
// crash left behind and holds it against the books.
#pragma once

#include <map>
#include <set>

#include "queue/queue.hpp"
#include "support/fault_fs.hpp"
#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::queue {

// Mistakes that the harness has to catch. They are made here, never in the library.
struct Mistakes {
  bool completion_before_250 = false; // mark delivered, then deliver
  bool removal_before_bounce = false; // the original goes before its report is durable
  bool believe_failed_sync = false;   // a sync error is taken for success
  bool count_running_sync = false;    // a record written during a sync is taken for covered
  bool reuse_before_ledger = false;   // a segment is lent although its marks are not synced
};

class Actor {
 public:
  explicit Actor(const std::string& directory, bool record_all = false,
                 std::uint32_t max_segments = 1);

  // Beginning of the part that is replayed.
  void start_recording() { fs.start_recording(); }

  Result<void> lend();
  void return_writer();
  bool has_writer() const { return writer_ != nullptr; }
  void give_up_writer(); // a write or sync failed: the sessions of the group got 451
  // Writes a message; acknowledged only by commit(). content_size: bytes.
  Result<void> submit(const std::string& token, int recipients, std::size_t content_size = 60);
  Result<void> submit_report(const std::string& token, const std::string& original,
                             std::vector<std::uint32_t> reported);
  Result<void> commit();
  // Two groups, the second record written while the first is synced.
  Result<void> commit_around(const std::string& late_token);
  Result<void> submit_large(const std::string& token, int recipients, std::size_t content_size);

  void deliver(const std::string& token, std::uint32_t recipient);
  void bounce(const std::string& token, std::uint32_t recipient);
  void defer(const std::string& token, std::uint32_t recipient, std::uint32_t attempts);
  void drop(const std::string& token, std::uint32_t recipient);
  void event(const std::string& token, const Event& event);
  void finish(const std::string& token);
  Result<void> migrate(const std::string& token, Folder folder);
  Result<void> save(const std::string& token, Folder folder);
  void park(const std::string& token);
  Result<void> load(const std::string& token);
  Result<void> flush();
  Result<void> sync();
  Result<void> run_all();
  Result<void> rotate(const std::string& deliver_meanwhile);
  // Every process is killed and the suite starts again on what the kernel has: nothing of it need
  // be on the disk.
  Result<void> restart();
  // Delivers, reports and removes whatever there is, then uses the journal again.
  Result<void> finish_all();

  test::FaultFs fs;
  test::ManualClock clock;
  Mistakes mistakes;
  Options options;
  std::unique_ptr<Queue> queue;
  std::map<std::string, Arrived> messages;

 private:
  static std::string token_of(const MessageState& state);
  Result<void> load_waiting();
  Result<void> report_bounces(const std::string& token);
  void settle(const std::string& token, std::uint32_t recipient, const std::string& how);
  Result<void> admit_acknowledged();

  std::unique_ptr<SegmentWriter> writer_;
  std::uint64_t loan_ = 0;
  std::vector<std::pair<std::string, Announced>> waiting_; // written, not acknowledged
  std::vector<std::pair<std::string, Announced>> announced_;
  std::vector<std::pair<std::string, std::uint64_t>> unflushed_, unsynced_; // "token recipient"
};

Options crash_options(const std::string& directory);
std::string content_of(const std::string& token, std::size_t size);

struct Verdicts {
  std::uint64_t states = 0;
  std::uint64_t duplicates = 0;        // inside the published window
  std::uint64_t unacknowledged = 0;    // kept though no 250 was given
  std::vector<std::string> violations; // the first few
  std::uint64_t violation_count = 0;
};

// Every prefix of the recording, every way a crash can treat it.
Verdicts judge_all(const test::FaultFs& recorded, const std::string& scratch,
                   const std::function<void(test::FaultFs&)>& prepare = {});

// What a power cut may leave behind after operation `first` of the recording.
Verdicts judge_power_cuts(const test::FaultFs& recorded, std::size_t first,
                          const std::string& scratch);

// Only the end of the recording.
Verdicts judge_end(const test::FaultFs& recorded, const std::string& scratch);

} // namespace postrider::queue
