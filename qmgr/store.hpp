// SPDX-License-Identifier: MIT
// The background work on the queue: the ledger's syncs and rotations, message files written, saved
// and removed, the index. Each kind of job is out a few times at most; it runs on the offload
// pool and touches only what it owns. What fails is tried again; mail stays in memory meanwhile.
#pragma once

#include <deque>
#include <memory>
#include <unordered_set>
#include <vector>

#include "ev/condition.hpp"
#include "message.hpp"
#include "parts.hpp"

namespace postrider::qmgr {

class Store {
 public:
  explicit Store(Parts& parts);

  // The message waits: its file is written or brought up to date, then it leaves memory.
  void put(Message& message);
  // It has been in the journal for long: it moves to a file and goes on.
  void move_out(Message& message);
  void file_was_finished(queue::Id id) { finished_files_.insert(id); }
  // Finished, but its file may still be there.
  bool is_finished(queue::Id id) const { return finished_files_.contains(id); }

  // Once per turn of the loop, after the marks of the turn.
  void turn_end();
  // Starts index, removal and verification work; a few times per second while there is some.
  void tick();
  // WAITS until the ledger is durable up to `position`.
  ev::Task<Result<void>> wait_synced(std::uint64_t position, ev::Deadline deadline);
  // WAITS until the index shows all that has been parked by now: in between, a message is neither
  // in memory nor in the index.
  ev::Task<Result<void>> wait_indexed(ev::Deadline deadline);

  std::size_t waiting() const { return to_migrate_.size() + to_save_.size(); }
  bool writes_index() const { return indexing_; }
  std::size_t jobs() const { return jobs_; }
  bool has_work() const;

 private:
  template <typename Job>
  bool submit(std::shared_ptr<Job> job, void (Store::*done)(Job&));
  void start_sync();
  void start_rotation();
  void start_migrate();
  void start_save();
  void start_remove();
  void start_index();
  void start_verify();
  void end_migrate(queue::MigrateJob& job);
  void end_save(queue::AppendJob& job);
  void end_remove(queue::RemoveJob& job);
  void end_verify(queue::VerifyJob& job);
  void after_job(Message& message, const std::optional<Error>& error);
  void park(Message& message);
  void complain(const std::string& what);

  Parts& parts_;
  ev::Condition synced_;
  ev::Condition indexed_;
  std::uint64_t index_begun_ = 0, index_done_ = 0; // jobs so far
  ev::Timer sync_timer_;
  ev::Timer tick_timer_;
  std::deque<queue::Id> to_migrate_, to_save_;
  std::size_t jobs_ = 0;                   // out
  std::size_t migrating_ = 0, saving_ = 0; // jobs
  bool syncing_ = false, rotating_ = false;
  bool removing_ = false, indexing_ = false, verifying_ = false;
  std::unordered_set<queue::Id> finished_files_;
  bool files_to_remove_ = true; // some may be left from before the start
  SteadyTime complained_{};
};

} // namespace postrider::qmgr
