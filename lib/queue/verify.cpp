// SPDX-License-Identifier: MIT
// The part of Queue that keeps the index and the message files in step.
#include <algorithm>

#include "queue/queue.hpp"

namespace postrider::queue {

namespace {

constexpr Folder kIndexed[] = {Folder::deferred, Folder::hold};
constexpr std::size_t kBatch = 1000;

} // namespace

void IndexJob::run() {
  if (auto done = index->apply(changes); !done) error = done.error();
}

IndexJob Queue::begin_index() {
  POSTRIDER_CHECK(index_needs_write());
  IndexJob job;
  job.index = index_.get();
  if (changes_.size() <= kBatch) {
    job.changes.swap(changes_);
  } else {
    const auto end = changes_.begin() + kBatch;
    job.changes.assign(std::make_move_iterator(changes_.begin()), std::make_move_iterator(end));
    changes_.erase(changes_.begin(), end);
  }
  index_busy_ = true;
  return job;
}

void Queue::finish_index(IndexJob& job) {
  POSTRIDER_CHECK(index_busy_);
  index_busy_ = false;
  for (const IndexChange& change : job.changes) {
    const auto found = changing_.find(change.id);
    if (found != changing_.end() && --found->second == 0) changing_.erase(found);
  }
  if (!job.error) return;
  // Nothing is lost: the files have it. Until they are compared again the index says it is stale.
  alarms_.push_back("index: " + job.error->text());
  verifying_ = true;
  verify_next_ = 0;
  verify_after_ = Id();
  verify_rest_.reset();
}

void VerifyJob::run(FileSystem& fs) {
  found.clear();
  lost.clear();
  alarms.clear();
  error.reset();
  const auto fail = [this](const Error& why) {
    error = why;
    done = true;
  };
  if (shard == 0) {
    auto page = index->page(after, kBatch);
    if (!page) return fail(page.error());
    for (const IndexEntry& entry : *page) {
      const Id id(entry.number);
      if (id <= after) return fail(Error(ErrorKind::protocol, "the index is out of order"));
      after = id;
      if (!fs.stat(layout.file(entry.folder, id))) lost.push_back(id);
    }
    done = page->size() < kBatch;
    return;
  }
  const std::string directory = layout.folder(folder) + "/" + shard;
  if (!listed) {
    auto list = fs.list(directory);
    if (!list) return fail(list.error());
    names = std::move(*list);
    listed = true;
  }
  std::size_t odd = 0;
  while (!names.empty() && found.size() < kVerifyStep) {
    const std::string name = std::move(names.back());
    names.pop_back();
    const std::string path = directory + "/" + name;
    const bool temporary = name.ends_with(".tmp");
    const auto id = Id::parse(temporary ? name.substr(0, name.size() - 4) : name);
    if (!id || id->text().back() != shard) {
      ++odd;
      continue;
    }
    if (active.contains(*id)) continue;
    if (temporary) {
      if (id->loan() > old_loans) continue; // somebody is writing it
      if (auto gone = fs.unlink(path); !gone) alarms.push_back(gone.error().text());
      continue;
    }
    auto known = index->find(*id);
    if (!known) return fail(known.error());
    if (*known && (*known)->folder == folder) continue;
    auto contents = read_message_file(fs, path, Check::envelope);
    if (contents && contents->state.id != *id)
      contents = Error(ErrorKind::protocol, "the file holds another id");
    if (contents) {
      found.push_back({std::move(*contents), folder});
    } else if (contents.error().kind() == ErrorKind::protocol) {
      auto moved = fs.rename(path, layout.corrupt() + "/" + name);
      if (moved) moved = fs.sync_directory(layout.corrupt());
      alarms.push_back(path + ": " + contents.error().text() +
                       (moved ? "; set aside in corrupt/" : "; " + moved.error().text()));
    } else if (contents.error().kind() != ErrorKind::not_found) {
      alarms.push_back(path + ": " + contents.error().text() + "; left as it is");
    }
  }
  if (odd > 0)
    alarms.push_back(directory + ": " + std::to_string(odd) +
                     " entries are not message files; left as they are");
  done = names.empty();
}

std::optional<VerifyJob> Queue::begin_verify() {
  if (!verifying_) return {};
  if (verify_rest_) {
    auto job = std::move(verify_rest_);
    verify_rest_.reset();
    return job;
  }
  const std::string_view letters = shard_letters();
  VerifyJob job;
  job.layout = layout_;
  job.index = index_.get();
  job.old_loans = old_loans_;
  if (verify_next_ < std::size(kIndexed) * letters.size()) {
    job.folder = kIndexed[verify_next_ / letters.size()];
    job.shard = letters[verify_next_ % letters.size()];
    for (const auto& [id, entry] : entries_)
      if (letters[id.number() % letters.size()] == job.shard) job.active.insert(id);
    job.active.insert(finished_.begin(), finished_.end());
  } else {
    job.after = verify_after_;
  }
  return job;
}

void Queue::finish_verify(VerifyJob& job) {
  alarms_.insert(alarms_.end(), job.alarms.begin(), job.alarms.end());
  if (job.error) {
    alarms_.push_back("comparing index and files: " + job.error->text());
    verify_rest_.reset();
    // The files have all of it.
    if (job.error->kind() == ErrorKind::protocol && !index_busy_) {
      if (auto cleared = index_->clear(); !cleared)
        alarms_.push_back("index: " + cleared.error().text());
      verify_next_ = 0;
      verify_after_ = Id();
    }
    return; // tried again
  }
  for (VerifyJob::Found& found : job.found) {
    MessageState& state = found.contents.state;
    const Id id = state.id;
    // Something happened to it meanwhile: then whoever did that tells the index.
    if (entries_.contains(id) || loading_.contains(id) || changing_.contains(id)) continue;
    // One message, two names: it was on its way to the other folder. The newer state decides.
    const Folder other = found.folder == Folder::hold ? Folder::deferred : Folder::hold;
    if (fs_.stat(layout_.file(other, id)) && state.held != (found.folder == Folder::hold)) {
      auto gone = fs_.sync_directory(layout_.shard(other, id));
      if (gone) gone = fs_.unlink(layout_.file(found.folder, id));
      if (!gone) alarms_.push_back(gone.error().text());
      continue;
    }
    if (const auto told = file_marks_.find(id); told != file_marks_.end())
      for (const Event& event : told->second)
        if (auto applied = apply(state, event); !applied)
          alarms_.push_back(id.text() + ": " + applied.error().text());
    if (may_remove(state)) {
      Entry entry;
      entry.place = state.place;
      entry.folder = found.folder;
      finish_file(id, entry);
      file_marks_.erase(id);
      continue;
    }
    change_index({id, make_entry(state, found.folder, destinations_of(state))});
  }
  for (const Id id : job.lost) {
    if (entries_.contains(id) || loading_.contains(id) || changing_.contains(id)) continue;
    const auto there = [&](Folder folder) { return fs_.stat(layout_.file(folder, id)).ok(); };
    if (std::any_of(std::begin(kIndexed), std::end(kIndexed), there)) continue;
    change_index({id, {}});
  }
  if (!job.done) {
    if (job.shard != 0)
      verify_rest_ = std::move(job);
    else
      verify_after_ = job.after;
    return;
  }
  if (job.shard != 0) {
    ++verify_next_;
    return;
  }
  verifying_ = false;
  index_->proven();
}

} // namespace postrider::queue
