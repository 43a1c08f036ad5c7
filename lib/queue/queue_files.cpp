// SPDX-License-Identifier: MIT
// Queue: mail in files of its own: moved out of the journal, saved, put on the index, found there
// when it is due, and removed.
#include <algorithm>

#include "base/random.hpp"
#include "queue/marks.hpp"
#include "queue/queue.hpp"

namespace postrider::queue {

MigrateJob Queue::begin_migrate(std::vector<MigrateJob::Item> items) {
  MigrateJob job;
  job.layout = layout_;
  for (MigrateJob::Item& item : items) {
    const auto found = entries_.find(item.state.id);
    POSTRIDER_CHECK(found != entries_.end() && !found->second.job_out &&
                    found->second.place.in_segment());
    found->second.job_out = true;
    found->second.marks_in_job = found->second.marks.size();
    item.state.place = found->second.place;
    while (item.new_tag == 0)
      item.new_tag = secure_random();
    JournalPool::Segment* segment = pool_->find(item.state.place.segment);
    POSTRIDER_CHECK(segment != nullptr);
    ++segment->readers;
    auto source = segment->reader.duplicate();
    if (source)
      item.source = std::move(*source);
    else
      item.error = source.error();
  }
  job.items = std::move(items);
  return job;
}

void Queue::finish_migrate(MigrateJob& job) {
  for (MigrateJob::Item& item : job.items) {
    const Id id = item.state.id;
    item.source.reset();
    pool_->closed_by_reader(item.state.place.segment);
    const auto found = entries_.find(id);
    POSTRIDER_CHECK(found != entries_.end());
    Entry& entry = found->second;
    entry.job_out = false;
    if (!item.error) {
      const Place old = entry.place;
      const std::string since = entry.marks.substr(entry.marks_in_job);
      entry.place = item.new_place;
      entry.folder = item.folder;
      entry.tail_end = item.tail_end;
      entry.marks.clear();
      // What happened while the copy was made is said again about the copy.
      each_mark(since, [&](std::uint8_t kind, ByteView body) { append(id, entry, kind, body); });
      // The file and its name are durable: only now is the record finished (P3).
      finish_segment_record(id, old, EventKind::moved);
      item.state.place = item.new_place;
      item.state.content_offset = item.new_place.length - item.state.facts.size;
    }
    if (entry.finish_wanted) {
      entry.finish_wanted = false;
      finish(id);
    }
  }
}

AppendJob Queue::begin_save(const std::vector<std::pair<Id, Folder>>& messages) {
  AppendJob job;
  job.layout = layout_;
  for (const auto& [id, folder] : messages) {
    const auto found = entries_.find(id);
    POSTRIDER_CHECK(found != entries_.end() && !found->second.job_out &&
                    !found->second.place.in_segment());
    Entry& entry = found->second;
    entry.job_out = true;
    entry.marks_in_job = entry.marks.size();
    AppendJob::Item item;
    item.id = id;
    item.folder = entry.folder;
    item.tag = entry.place.tag;
    item.tail_end = entry.tail_end;
    item.events = to_events(entry.marks);
    if (folder != entry.folder) item.move_to = folder;
    job.items.push_back(std::move(item));
  }
  return job;
}

void Queue::finish_save(AppendJob& job) {
  for (AppendJob::Item& item : job.items) {
    const auto found = entries_.find(item.id);
    POSTRIDER_CHECK(found != entries_.end());
    Entry& entry = found->second;
    entry.job_out = false;
    if (!item.error) {
      entry.marks.erase(0, entry.marks_in_job);
      entry.tail_end = item.tail_end;
      entry.folder = item.folder;
    }
    if (entry.finish_wanted) {
      entry.finish_wanted = false;
      finish(item.id);
    }
  }
}

std::vector<std::string> Queue::destinations_of(const MessageState& state) const {
  if (options_.destinations) return options_.destinations(state);
  std::vector<std::string> out;
  for (std::size_t i = 0; i < state.recipients.size(); ++i) {
    if (is_settled(state.recipients[i])) continue;
    const std::string& address = state.envelope.recipients[i].address;
    const std::size_t at = address.rfind('@');
    out.push_back(at == std::string::npos ? address : address.substr(at + 1));
  }
  return out;
}

void Queue::change_index(IndexChange change) {
  ++changing_[change.id];
  changes_.push_back(std::move(change));
}

void Queue::park(const MessageState& state) {
  const auto found = entries_.find(state.id);
  POSTRIDER_CHECK(found != entries_.end() && !found->second.job_out &&
                  !found->second.place.in_segment());
  const Entry& entry = found->second;
  if (!entry.marks.empty()) file_marks_[state.id] = to_events(entry.marks);
  change_index({state.id, make_entry(state, entry.folder, destinations_of(state))});
  entries_.erase(found);
}

RemoveJob Queue::begin_remove(std::size_t limit) {
  RemoveJob job;
  job.layout = layout_;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < doomed_.size(); ++i) {
    // Gone only after the ledger knows it for sure: else a half-told story would be lost with it.
    if (job.items.size() < limit && ledger_->synced() >= doomed_[i].position) {
      job.items.push_back({doomed_[i].id, doomed_[i].folder, {}});
      removing_.push_back(doomed_[i]);
    } else {
      doomed_[kept++] = doomed_[i];
    }
  }
  doomed_.resize(kept);
  return job;
}

void Queue::finish_remove(RemoveJob& job) {
  for (const RemoveJob::Item& item : job.items) {
    const auto found = std::find_if(removing_.begin(), removing_.end(),
                                    [&](const Doomed& d) { return d.id == item.id; });
    if (found == removing_.end()) continue;
    if (item.error) {
      alarms_.push_back("cannot remove " + item.id.text() + ": " + item.error->text());
      doomed_.push_back(*found);
    } else {
      file_marks_.erase(item.id);
      finished_.erase(item.id);
    }
    removing_.erase(found);
  }
}

// --- waiting mail ------------------------------------------------------------------------------

Result<std::vector<Id>> Queue::due(std::int64_t now, std::size_t limit) {
  std::vector<Id> out;
  std::optional<Index::Due> after;
  while (out.size() < limit) {
    POSTRIDER_TRY(const std::vector<Index::Due> page, index_->due(now, 256, after));
    for (const Index::Due& due : page) {
      after = due;
      if (entries_.contains(due.id) || loading_.contains(due.id) || changing_.contains(due.id))
        continue;
      out.push_back(due.id);
      if (out.size() == limit) break;
    }
    if (page.size() < 256) break;
  }
  return out;
}

LoadJob Queue::begin_load(const std::vector<Id>& ids) {
  LoadJob job;
  job.layout = layout_;
  for (const Id id : ids) {
    if (entries_.contains(id) || finished_.contains(id) || !loading_.insert(id).second) continue;
    LoadJob::Item item;
    item.id = id;
    job.items.push_back(std::move(item));
  }
  return job;
}

void LoadJob::run(FileSystem& fs) {
  for (Item& item : items) {
    item.error = Error(ErrorKind::not_found, "no file of " + item.id.text());
    for (const Folder folder : {Folder::deferred, Folder::hold, Folder::incoming}) {
      if (item.folder && *item.folder != folder) continue;
      const std::string path = layout.file(folder, item.id);
      auto contents = read_message_file(fs, path, Check::envelope);
      if (contents && contents->state.id != item.id)
        contents = Error(ErrorKind::protocol, "the file holds another id");
      if (contents) {
        item.contents = std::move(*contents);
        item.folder = folder;
        item.error.reset();
        break;
      }
      if (contents.error().kind() == ErrorKind::not_found) continue;
      item.error = contents.error();
      if (contents.error().kind() != ErrorKind::protocol) break; // EIO, EMFILE: later
      if (auto moved = fs.rename(path, layout.corrupt() + "/" + item.id.text())) {
        item.set_aside = true;
        if (auto synced = fs.sync_directory(layout.corrupt()); !synced) item.error = synced.error();
      }
      break;
    }
  }
}

std::vector<Arrived> Queue::finish_load(LoadJob& job) {
  std::vector<Arrived> out;
  for (LoadJob::Item& item : job.items) {
    loading_.erase(item.id);
    if (!item.contents) {
      if (item.error->kind() == ErrorKind::not_found || item.set_aside) change_index({item.id, {}});
      if (item.error->kind() != ErrorKind::not_found)
        alarms_.push_back(item.id.text() + ": " + item.error->text() +
                          (item.set_aside ? "; set aside in corrupt/" : ""));
      continue;
    }
    Entry entry;
    entry.place = item.contents->state.place;
    entry.folder = *item.folder;
    entry.tail_end = item.contents->tail_end;
    if (const auto told = file_marks_.find(item.id); told != file_marks_.end()) {
      for (const Event& event : told->second) {
        if (auto applied = apply(item.contents->state, event); !applied)
          alarms_.push_back(item.id.text() + ": " + applied.error().text());
      }
      put_events(entry.marks, told->second);
      file_marks_.erase(told);
    }
    entries_.emplace(item.id, std::move(entry));
    out.push_back({std::move(item.contents->state), *item.folder});
  }
  return out;
}

} // namespace postrider::queue
