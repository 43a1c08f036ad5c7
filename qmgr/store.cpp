// SPDX-License-Identifier: MIT
#include "store.hpp"

#include "base/log.hpp"
#include "finish.hpp"
#include "intake.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBatch = 32; // messages per job: they share the directory syncs
// At a time: files that are synced together share the file system's commits. The pool has threads
// left for the ledger and for writers (main.cpp).
constexpr std::size_t kMostMigrations = 4;
constexpr std::size_t kMostSaves = 2;
constexpr Duration kTick = 100ms;
constexpr Duration kComplainEvery = 60s;

} // namespace

Store::Store(Parts& parts)
    : parts_(parts), synced_(parts.loop), indexed_(parts.loop),
      sync_timer_(
          parts.loop, [](void* self) { static_cast<Store*>(self)->start_sync(); }, this),
      tick_timer_(
          parts.loop, [](void* self) { static_cast<Store*>(self)->tick(); }, this) {}

void Store::complain(const std::string& what) {
  const SteadyTime now = parts_.loop.now();
  if (complained_ != SteadyTime{} && now - complained_ < kComplainEvery) return;
  complained_ = now;
  log::error(what);
}

template <typename Job>
bool Store::submit(std::shared_ptr<Job> job, void (Store::*done)(Job&)) {
  FileSystem* const fs = &parts_.fs;
  const bool accepted = parts_.offload.submit([job, fs] { job->run(*fs); },
                                              [this, job, done] {
                                                --jobs_;
                                                (this->*done)(*job);
                                              });
  if (accepted) ++jobs_;
  return accepted;
}

// --- the ledger --------------------------------------------------------------------------------

void Store::turn_end() {
  // L2: without a ledger completions cannot be recorded, so delivery must end. A new start finds
  // what is there, on a ledger of its own.
  if (auto flushed = parts_.queue.flush(); !flushed)
    log::fatal("the ledger cannot be written: " + flushed.error().text());
  queue::Ledger& ledger = parts_.queue.ledger();
  if (!syncing_ && ledger.needs_sync()) {
    if (ledger.sync_due(parts_.loop.now()))
      start_sync();
    else if (const auto next = ledger.next_sync(); next && !sync_timer_.armed())
      sync_timer_.arm(ev::Deadline::at(*next));
  }
  if (parts_.queue.rotation_due() && !rotating_) start_rotation();
  // At the end mail stays where it is, and is found there at the next start.
  if (!parts_.stopping) {
    while (migrating_ < kMostMigrations && !to_migrate_.empty())
      start_migrate();
    while (saving_ < kMostSaves && !to_save_.empty())
      start_save();
  }
  if (!tick_timer_.armed() && has_work()) tick_timer_.arm(parts_.loop.after(kTick));
}

void Store::start_sync() {
  queue::Ledger& ledger = parts_.queue.ledger();
  if (syncing_ || !ledger.needs_sync()) return;
  sync_timer_.disarm();
  struct Job {
    queue::Ledger::Sync sync;
    Result<void> result;
  };
  auto job = std::make_shared<Job>();
  job->sync = ledger.begin_sync();
  FileSystem* const fs = &parts_.fs;
  syncing_ = parts_.offload.submit(
      [job, fs] { job->result = queue::Ledger::run_sync(*fs, job->sync); },
      [this, job] {
        --jobs_;
        syncing_ = false;
        if (auto done = parts_.queue.ledger().finish_sync(job->sync, job->result); !done)
          log::fatal("the ledger cannot be made durable: " + done.error().text());
        synced_.notify_all();
      });
  if (syncing_) {
    ++jobs_;
    return;
  }
  // The pool is full of other work: here and now, rather than late.
  if (auto done = ledger.finish_sync(job->sync, queue::Ledger::run_sync(parts_.fs, job->sync));
      !done)
    log::fatal("the ledger cannot be made durable: " + done.error().text());
  synced_.notify_all();
}

void Store::start_rotation() {
  auto job = std::make_shared<queue::RotateJob>(parts_.queue.begin_rotation());
  const auto end = [this](queue::RotateJob& done) {
    rotating_ = false;
    if (auto finished = parts_.queue.finish_rotation(done); !finished)
      complain("the ledger cannot be rewritten: " + finished.error().text());
  };
  FileSystem* const fs = &parts_.fs;
  rotating_ = parts_.offload.submit([job, fs] { job->run(*fs); },
                                    [this, job, end] {
                                      --jobs_;
                                      end(*job);
                                    });
  if (rotating_) {
    ++jobs_;
    return;
  }
  job->run(parts_.fs);
  end(*job);
}

ev::Task<Result<void>> Store::wait_synced(std::uint64_t position, ev::Deadline deadline) {
  while (!parts_.queue.is_synced(position)) {
    Result<void> woken = co_await synced_.wait(deadline, "the ledger's sync");
    if (!woken) co_return woken.error();
  }
  co_return Result<void>();
}

// --- message files -----------------------------------------------------------------------------

void Store::put(Message& message) {
  parts_.intake->set_phase(message, Phase::storing);
  if (message.job_out) return; // after_job() goes on
  if (message.state.place.in_segment()) {
    to_migrate_.push_back(message.id());
    return;
  }
  const queue::Folder wanted = message.state.held ? queue::Folder::hold : queue::Folder::deferred;
  if (!message.dirty && parts_.queue.folder_of(message.id()) == wanted) {
    park(message);
    return;
  }
  to_save_.push_back(message.id());
}

void Store::move_out(Message& message) {
  if (!message.job_out && message.state.place.in_segment()) to_migrate_.push_back(message.id());
}

void Store::start_migrate() {
  std::vector<queue::MigrateJob::Item> items;
  while (!to_migrate_.empty() && items.size() < kBatch) {
    Message* const message = parts_.intake->find(to_migrate_.front());
    to_migrate_.pop_front();
    if (message == nullptr || message->job_out || !message->state.place.in_segment()) continue;
    message->job_out = true;
    message->dirty = false;
    queue::MigrateJob::Item item;
    item.state = message->state;
    item.folder = message->state.held ? queue::Folder::hold : queue::Folder::deferred;
    items.push_back(std::move(item));
  }
  if (items.empty()) return;
  auto job = std::make_shared<queue::MigrateJob>(parts_.queue.begin_migrate(std::move(items)));
  ++migrating_;
  if (submit(job, &Store::end_migrate)) return;
  for (queue::MigrateJob::Item& item : job->items)
    if (!item.error) item.error = Error(ErrorKind::busy, "too much waits for the disk");
  end_migrate(*job);
}

void Store::end_migrate(queue::MigrateJob& job) {
  --migrating_;
  parts_.queue.finish_migrate(job);
  for (queue::MigrateJob::Item& item : job.items) {
    Message* const message = parts_.intake->find(item.state.id);
    if (message == nullptr) { // finished meanwhile
      file_was_finished(item.state.id);
      continue;
    }
    message->job_out = false;
    if (!item.error) {
      message->state.place = item.new_place;
      message->state.content_offset = item.state.content_offset;
    } else {
      message->dirty = true;
      complain("cannot write a message file: " + item.error->text());
    }
    after_job(*message, item.error);
  }
}

void Store::start_save() {
  std::vector<std::pair<queue::Id, queue::Folder>> messages;
  while (!to_save_.empty() && messages.size() < kBatch) {
    Message* const message = parts_.intake->find(to_save_.front());
    to_save_.pop_front();
    if (message == nullptr || message->job_out || message->phase != Phase::storing) continue;
    message->job_out = true;
    message->dirty = false;
    messages.emplace_back(message->id(),
                          message->state.held ? queue::Folder::hold : queue::Folder::deferred);
  }
  if (messages.empty()) return;
  auto job = std::make_shared<queue::AppendJob>(parts_.queue.begin_save(messages));
  ++saving_;
  if (submit(job, &Store::end_save)) return;
  for (queue::AppendJob::Item& item : job->items)
    item.error = Error(ErrorKind::busy, "too much waits for the disk");
  end_save(*job);
}

void Store::end_save(queue::AppendJob& job) {
  --saving_;
  parts_.queue.finish_save(job);
  for (queue::AppendJob::Item& item : job.items) {
    Message* const message = parts_.intake->find(item.id);
    if (message == nullptr) {
      file_was_finished(item.id);
      continue;
    }
    message->job_out = false;
    if (item.error) {
      message->dirty = true;
      complain("cannot save " + item.id.text() + ": " + item.error->text());
    }
    after_job(*message, item.error);
  }
}

void Store::after_job(Message& message, const std::optional<Error>& error) {
  if (message.phase != Phase::storing) return; // it goes on
  if (message.drop_wanted || message.hold_wanted || message.forced) {
    parts_.intake->again(message);
    return;
  }
  if (error) {
    parts_.intake->rest(message);
    return;
  }
  const queue::Folder wanted = message.state.held ? queue::Folder::hold : queue::Folder::deferred;
  if (message.dirty || parts_.queue.folder_of(message.id()) != wanted) {
    put(message);
    return;
  }
  park(message);
}

void Store::park(Message& message) {
  parts_.queue.park(message.state);
  parts_.intake->parked(message);
}

// --- index, removal ----------------------------------------------------------------------------

bool Store::has_work() const {
  return parts_.queue.index_needs_write() || files_to_remove_ || !finished_files_.empty() ||
         (parts_.queue.index_is_stale() && !parts_.stopping);
}

void Store::tick() {
  for (const std::string& alarm : parts_.queue.take_alarms())
    log::error(alarm);
  if (!indexing_ && parts_.queue.index_needs_write()) start_index();
  if (!removing_ && (files_to_remove_ || !finished_files_.empty())) start_remove();
  if (!verifying_ && parts_.queue.index_is_stale() && !parts_.stopping) start_verify();
  if (has_work()) tick_timer_.arm(parts_.loop.after(kTick));
}

void Store::start_index() {
  auto job = std::make_shared<queue::IndexJob>(parts_.queue.begin_index());
  ++index_begun_;
  indexing_ =
      parts_.offload.submit([job] { job->run(); },
                            [this, job] {
                              --jobs_;
                              indexing_ = false;
                              if (job->error)
                                complain("the index cannot be written: " + job->error->text());
                              parts_.queue.finish_index(*job);
                              ++index_done_;
                              indexed_.notify_all();
                            });
  if (indexing_) {
    ++jobs_;
    return;
  }
  job->run();
  parts_.queue.finish_index(*job);
  ++index_done_;
  indexed_.notify_all();
}

ev::Task<Result<void>> Store::wait_indexed(ev::Deadline deadline) {
  const std::uint64_t wanted = index_begun_ + (parts_.queue.index_needs_write() ? 1 : 0);
  while (index_done_ < wanted) {
    if (!indexing_) start_index();
    if (index_done_ >= wanted) break;
    Result<void> woken = co_await indexed_.wait(deadline, "the index");
    if (!woken) co_return woken.error();
  }
  co_return Result<void>();
}

void Store::start_remove() {
  auto job = std::make_shared<queue::RemoveJob>(parts_.queue.begin_remove());
  if (job->items.empty()) {
    // Nothing, or it waits for the ledger.
    if (parts_.queue.is_synced(parts_.queue.ledger().position())) {
      files_to_remove_ = false;
      finished_files_.clear();
    }
    return;
  }
  removing_ = submit(job, &Store::end_remove);
  if (removing_) return;
  for (queue::RemoveJob::Item& item : job->items)
    item.error = Error(ErrorKind::busy, "too much waits for the disk");
  end_remove(*job);
}

void Store::end_remove(queue::RemoveJob& job) {
  removing_ = false;
  parts_.queue.finish_remove(job);
  for (const queue::RemoveJob::Item& item : job.items)
    if (!item.error) finished_files_.erase(item.id);
  if (!parts_.stopping) tick();
}

void Store::start_verify() {
  auto next = parts_.queue.begin_verify();
  if (!next) return;
  auto job = std::make_shared<queue::VerifyJob>(std::move(*next));
  verifying_ = submit(job, &Store::end_verify);
  if (verifying_) return;
  job->error = Error(ErrorKind::busy, "too much waits for the disk");
  end_verify(*job);
}

void Store::end_verify(queue::VerifyJob& job) {
  verifying_ = false;
  if (job.error) complain("cannot check the queue directory: " + job.error->text());
  const bool failed = job.error.has_value();
  parts_.queue.finish_verify(job);
  // Nobody waits for it, but the sooner it is done the better; after an error with the next tick.
  if (!failed && !parts_.stopping && parts_.queue.index_is_stale()) start_verify();
  if (!parts_.queue.index_is_stale()) {
    log::info("the index has been checked against the message files");
    parts_.intake->index_is_ready();
  }
}

} // namespace postrider::qmgr
