// SPDX-License-Identifier: MIT
// What Submitter keeps per lent segment, per group of records that share a sync, and per message
// file. Inside of lib/submit only.
#pragma once

#include "queue/journal.hpp"
#include "submit/submitter.hpp"

namespace postrider::submit {

// Records that become durable together. Those who wait share it.
struct Submitter::Batch {
  explicit Batch(ev::Loop& loop) : done(loop) {}
  ev::Condition done;
  std::vector<queue::Announced> records; // in the order in which they stand
  std::optional<Result<void>> outcome;

  void settle(const Result<void>& result) {
    if (outcome) return;
    outcome.emplace(result);
    done.notify_all();
  }
};

struct Submitter::Lease {
  Lease(Submitter& submitter, const queue::SegmentInfo& info, Fd fd);
  static void on_overdue(void* self);
  bool is_three_quarters_full() const { return used > writer.info().size / 4 * 3; }

  Submitter* owner;    // null once it is gone
  std::uint64_t epoch; // the connection under which it was lent
  queue::SegmentWriter writer;
  ev::Timer overdue;
  queue::SegmentWriter::Group group; // in flight
  std::shared_ptr<Batch> syncing;    // waits for it
  std::shared_ptr<Batch> gathering;  // waits for the next one
  std::uint64_t used = 0;            // end of the last record
  bool full = false;
  bool dead = false;
};

// qmgr's answer about a file: a descriptor, nothing in particular, or why not.
class FileAnswer {
 public:
  explicit FileAnswer(Fd f) : fd(std::move(f)) {}
  explicit FileAnswer(Error e) : error(std::move(e)) {}
  Fd fd;
  std::optional<Error> error;
};

struct Submitter::FileWait {
  enum class Stage { asked, lent, written };
  explicit FileWait(ev::Loop& loop) : lent(loop), safe(loop) {}
  void answer(FileAnswer with) {
    ev::Bridge<FileAnswer>& bridge = stage == Stage::asked ? lent : safe;
    if (!bridge.completed()) bridge.complete(std::move(with));
  }
  Stage stage = Stage::asked;
  ev::Bridge<FileAnswer> lent; // may be written
  ev::Bridge<FileAnswer> safe; // is in the queue
};

} // namespace postrider::submit
