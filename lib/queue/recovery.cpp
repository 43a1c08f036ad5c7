// SPDX-License-Identifier: MIT
#include "queue/recovery.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

#include "queue/message_file.hpp"

namespace postrider::queue {

namespace {

constexpr std::size_t kPiece = 256 << 10;

bool exists(FileSystem& fs, const std::string& path) { return fs.stat(path).ok(); }

// Everything the ledger says, sorted by what it is about.
struct Books {
  struct Generation {
    std::uint64_t loan = 0;
    std::uint64_t tag = 0;
    bool drained = false;
  };
  std::map<std::uint32_t, Generation> generations; // newest, by segment
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::vector<bool>> finished; // by generation
  struct Told {
    MarkKey key;
    Event event;
  };
  std::unordered_map<Id, std::vector<Told>> events;
  std::unordered_set<Id> removed_files;
  std::uint64_t unreadable = 0;

  void take(const Mark& mark);
  void take_generation(const Mark& mark);
  void finish(const MarkKey& key, std::uint32_t sequence);
};

void Books::take_generation(const Mark& mark) {
  Generation& known = generations[mark.key.segment];
  const std::uint64_t loan = mark.key.id.number();
  if (loan < known.loan) return;
  if (loan > known.loan) known = {loan, mark.key.tag, false};
  if (mark.kind == kDrainedMark) known.drained = true;
}

void Books::finish(const MarkKey& key, std::uint32_t sequence) {
  std::vector<bool>& bits = finished[{key.segment, key.tag}];
  if (bits.size() <= sequence) bits.resize(sequence + 1);
  bits[sequence] = true;
}

void Books::take(const Mark& mark) {
  if (mark.kind == kLentMark || mark.kind == kDrainedMark) return take_generation(mark);
  if (mark.kind == kFinishedMark) {
    if (mark.event.size() > (1U << (Id::kSequenceBits - 3))) return;
    for (std::size_t i = 0; i < mark.event.size() * 8; ++i)
      if ((static_cast<unsigned char>(mark.event[i / 8]) >> (i % 8)) & 1)
        finish(mark.key, static_cast<std::uint32_t>(i));
    return;
  }
  auto event = decode_event(mark.kind, mark.event);
  if (!event) {
    ++unreadable;
    return;
  }
  if (event->kind == EventKind::removed || event->kind == EventKind::moved) {
    if (mark.key.segment != 0)
      finish(mark.key, mark.key.id.sequence());
    else if (event->kind == EventKind::removed)
      removed_files.insert(mark.key.id);
    // A message that is gone needs no history; one that moved keeps it for its file.
    if (event->kind == EventKind::removed) events.erase(mark.key.id);
    return;
  }
  events[mark.key.id].push_back({mark.key, std::move(*event)});
}

class Recovery {
 public:
  Recovery(FileSystem& fs, const Layout& layout, std::uint64_t pool,
           const std::function<void(FileContents&&, Folder)>& each)
      : fs_(fs), layout_(layout), pool_(pool), each_(each) {}

  Result<Recovered> run() {
    POSTRIDER_TRY(out_.ledger, replay_ledger(fs_, layout_, pool_,
                                             [this](const Mark& mark) { books_.take(mark); }));
    sum_.damaged_marks = out_.ledger.damaged_marks + books_.unreadable;
    if (sum_.damaged_marks > 0)
      alarm(std::to_string(sum_.damaged_marks) + " damaged ledger entries: those recipients count "
                                                 "as not done");
    out_.last_loan = out_.ledger.last_loan;
    for (const auto& [number, generation] : books_.generations)
      out_.last_loan = std::max(out_.last_loan, generation.loan);
    POSTRIDER_TRY_VOID(read_segments());
    POSTRIDER_TRY_VOID(read_incoming());
    apply_reports();
    hand_over();
    return std::move(out_);
  }

 private:
  void alarm(std::string text) { sum_.alarms.push_back(std::move(text)); }

  Result<void> read_segments() {
    POSTRIDER_TRY(const std::vector<std::string> names, fs_.list(layout_.journal()));
    bool any_mail = false;
    for (const std::string& name : names) {
      const std::uint32_t number = parse_segment_name(name);
      if (number == 0) {
        if (!name.starts_with("ledger.") && !name.starts_with("pool")) ++sum_.odd_entries;
        continue;
      }
      ++sum_.segments;
      POSTRIDER_TRY(const bool mail, read_segment(number));
      any_mail = any_mail || mail;
    }
    // A segment's name may be as new as its bytes.
    if (sum_.segments > 0) POSTRIDER_TRY_VOID(fs_.sync_directory(layout_.journal()));
    if (any_mail && !out_.ledger.found) {
      sum_.ledger_lost = true;
      alarm("the ledger is lost: recipients already completed in " +
            std::to_string(sum_.live_segments) + " live segments are delivered again, at most " +
            std::to_string(sum_.segment_messages) + " messages");
    }
    return {};
  }

  // Leaves a file alone, with its number, so that nothing overwrites it.
  bool leave(std::uint32_t number, const std::string& why) {
    out_.reserved_numbers.push_back(number);
    ++sum_.odd_entries;
    alarm(layout_.segment(number) + ": " + why + "; left as it is");
    return false;
  }

  Result<bool> read_segment(std::uint32_t number) {
    const std::string path = layout_.segment(number);
    auto fd = fs_.open(path, O_RDONLY | O_NONBLOCK);
    if (!fd) {
      const int code = fd.error().saved_errno();
      if (code == EMFILE || code == ENFILE || code == ENOMEM) return fd.error();
      return leave(number, fd.error().text());
    }
    POSTRIDER_TRY(const FileStat stat, fs_.stat(fd->get()));
    if (auto regular = check_regular(stat, "it", false); !regular)
      return leave(number, regular.error().text());
    auto block = fs_.pread(fd->get(), kSegmentHeader, 0);
    if (!block) return leave(number, block.error().text());
    auto info = parse_segment_header(*block);
    const auto known = books_.generations.find(number);
    const bool told = known != books_.generations.end();
    if (!info) {
      // Never lent (a crash while it was made), or drained and then torn by the next loan's header.
      const bool blank = block->find_first_not_of('\0') == std::string::npos;
      if ((blank && !told) || (told && known->second.drained)) {
        POSTRIDER_TRY_VOID(fs_.unlink(path));
        return false;
      }
      return leave(number, info.error().text());
    }
    if (info->segment != number) return leave(number, "belongs to another number");
    if (info->pool != pool_) {
      sum_.foreign = true;
      return leave(number, "belongs to another queue");
    }
    out_.last_loan = std::max(out_.last_loan, info->loan);
    JournalPool::Segment segment;
    segment.info = *info;
    segment.info.size = std::min(info->size, stat.size);
    bool mail = false;
    // A writer that outlived qmgr may still add to it, and answer 250.
    segment.lent = is_held(path);
    if (told && known->second.drained && known->second.tag == info->tag) {
      segment.lent = false; // its writer had given it back
      segment.admitted_end = info->size;
    } else {
      POSTRIDER_TRY(mail, read_records(segment, fd->get(), told ? &known->second : nullptr));
    }
    segment.info.size = info->size;
    segment.reader = std::move(*fd);
    out_.segments.push_back(std::move(segment));
    return mail;
  }

  bool is_held(const std::string& path) {
    auto probe = fs_.open(path, O_WRONLY);
    if (!probe) return true; // not known to be free
    auto locked = fs_.try_lock(probe->get());
    return !locked || !*locked;
  }

  // Kept as it is until the next start: what it holds is the only copy.
  static void pin(JournalPool::Segment& segment) {
    segment.retired = true;
    ++segment.live;
  }

  Result<bool> read_records(JournalPool::Segment& segment, int fd, const Books::Generation* known) {
    const SegmentInfo& info = segment.info;
    auto scan = scan_segment(fs_, fd, info);
    // After the scan: what was scanned is covered.
    if (scan)
      if (auto synced = fs_.fdatasync(fd); !synced) scan = synced.error();
    if (!scan) {
      // Nothing else can be said about its mail.
      pin(segment);
      alarm("segment " + std::to_string(info.segment) + " cannot be read: " + scan.error().text());
      return false;
    }
    const bool foreign =
        out_.ledger.found && !scan->records.empty() && (known == nullptr || known->tag != info.tag);
    if (foreign) {
      sum_.foreign = true;
      alarm("segment " + std::to_string(info.segment) +
            " and the ledger do not belong together "
            "(one was restored from a backup?): its mail is held");
    }
    const auto bits = books_.finished.find({info.segment, info.tag});
    segment.admitted_end = scan->end;
    for (StoredRecord& record : scan->records) {
      const Id id = record.header.id;
      segment.last_sequence = id.sequence();
      if (record.header.type == RecordType::report) note_report(record.envelope);
      if (bits != books_.finished.end() && id.sequence() < bits->second.size() &&
          bits->second[id.sequence()])
        continue;
      POSTRIDER_TRY_VOID(take_record(segment, std::move(record), foreign));
    }
    // What is finished stays finished in the next ledger.
    if (bits != books_.finished.end()) {
      segment.finished.resize(std::max(segment.finished.size(), bits->second.size()));
      for (std::size_t i = 0; i < bits->second.size(); ++i)
        if (bits->second[i]) segment.finished[i] = true;
    }
    for (const Damage& damage : scan->damage)
      if (damage.acknowledged || !segment.lent) quarantine(segment, fd, damage);
    sum_.damaged_records += scan->repeated_ids;
    if (segment.live > 0) ++sum_.live_segments;
    return !scan->records.empty();
  }

  Result<void> take_record(JournalPool::Segment& segment, StoredRecord record, bool foreign) {
    const Id id = record.header.id;
    // A copy in a file wins, if it is whole.
    for (const Folder folder : kFolders) {
      const std::string path = layout_.file(folder, id);
      if (!exists(fs_, path)) continue;
      auto contents = read_message_file(fs_, path, Check::everything);
      if (contents && contents->state.id == id) {
        POSTRIDER_TRY_VOID(fs_.sync_directory(layout_.shard(folder, id)));
        ++sum_.duplicates_reconciled;
        segment.finished.resize(std::max<std::size_t>(segment.finished.size(), id.sequence() + 1));
        segment.finished[id.sequence()] = true;
        if (folder != Folder::incoming) take_file(std::move(*contents), folder);
        return {};
      }
    }
    FileContents contents;
    contents.state = make_state(std::move(record));
    std::vector<Event> carried;
    const auto told = books_.events.find(id);
    if (told != books_.events.end()) {
      for (Books::Told& entry : told->second) {
        const bool here =
            entry.key.segment == segment.info.segment && entry.key.tag == segment.info.tag;
        // Segment 0: told before the place was known, as reports are.
        if ((!here && entry.key.segment != 0) || !apply(contents.state, entry.event)) {
          ++sum_.stray_marks;
          continue;
        }
        carried.push_back(std::move(entry.event));
      }
      books_.events.erase(told);
    }
    if (foreign) {
      contents.state.held = true;
      contents.state.hold_reason = "journal and ledger do not belong together";
    }
    ++segment.live;
    ++sum_.segment_messages;
    if (!carried.empty()) out_.segment_marks.emplace(id, std::move(carried));
    messages_.push_back({std::move(contents), Folder::incoming});
    return {};
  }

  void take_file(FileContents contents, Folder folder) {
    const Id id = contents.state.id;
    const auto told = books_.events.find(id);
    if (told != books_.events.end()) {
      std::vector<Event>& kept = out_.file_marks[id];
      for (Books::Told& entry : told->second) {
        if (!apply(contents.state, entry.event)) {
          ++sum_.stray_marks;
          continue;
        }
        kept.push_back(std::move(entry.event));
      }
      books_.events.erase(told);
    }
    ++sum_.file_messages;
    messages_.push_back({std::move(contents), folder});
  }

  void quarantine(JournalPool::Segment& segment, int fd, const Damage& damage) {
    if (damage.id) {
      const auto bits = books_.finished.find({segment.info.segment, segment.info.tag});
      if (bits != books_.finished.end() && damage.id->sequence() < bits->second.size() &&
          bits->second[damage.id->sequence()])
        return; // delivered before it was damaged
    }
    const std::string name =
        (damage.id ? damage.id->text() : "segment-" + std::to_string(segment.info.segment)) + "-" +
        std::to_string(segment.info.loan) + "-" + std::to_string(damage.offset);
    if (damage.acknowledged) {
      ++sum_.damaged_records;
      alarm("acknowledged mail damaged: " + name + ": " + damage.reason +
            "; set aside in corrupt/");
    } else {
      ++sum_.torn_records;
    }
    const std::string reason =
        std::string(damage.acknowledged ? "damaged" : "torn") + " " + damage.reason;
    if (auto copied = set_aside(fs_, layout_, name, fd, damage.offset, damage.length, reason);
        !copied) {
      pin(segment);
      alarm("cannot set aside " + name + ": " + copied.error().text());
    }
  }

  Result<void> read_incoming() {
    for (const char letter : shard_letters()) {
      const std::string directory = layout_.folder(Folder::incoming) + "/" + letter;
      POSTRIDER_TRY(const std::vector<std::string> names, fs_.list(directory));
      if (!names.empty()) POSTRIDER_TRY_VOID(fs_.sync_directory(directory));
      for (const std::string& name : names) {
        const std::string path = directory + "/" + name;
        if (name.ends_with(".tmp")) { // never acknowledged
          if (fs_.unlink(path))
            ++sum_.temporaries_removed;
          else
            ++sum_.odd_entries;
          continue;
        }
        const auto id = Id::parse(name);
        if (!id || name.back() != letter) {
          ++sum_.odd_entries;
          continue;
        }
        ++sum_.files_seen;
        out_.last_loan = std::max(out_.last_loan, id->loan());
        if (books_.removed_files.contains(*id)) continue;
        POSTRIDER_TRY_VOID(read_one(*id, path));
      }
    }
    return {};
  }

  Result<void> read_one(Id id, const std::string& path) {
    // Moved on before the crash, old name still there: the newer folder has it.
    for (const Folder folder : {Folder::deferred, Folder::hold}) {
      if (!exists(fs_, layout_.file(folder, id))) continue;
      POSTRIDER_TRY_VOID(fs_.sync_directory(layout_.shard(folder, id)));
      ++sum_.duplicates_reconciled;
      if (!fs_.unlink(path)) ++sum_.odd_entries;
      return {};
    }
    auto contents = read_message_file(fs_, path, Check::everything);
    if (contents && contents->state.id == id) {
      take_file(std::move(*contents), Folder::incoming);
      return {};
    }
    const std::string why = contents ? "the file holds another id" : contents.error().text();
    if (!contents && contents.error().kind() != ErrorKind::protocol) {
      const int code = contents.error().saved_errno();
      if (code == EMFILE || code == ENFILE || code == ENOMEM) return contents.error();
      ++sum_.odd_entries; // not a file of ours, or not readable now: kept
      alarm(path + ": " + why + "; left as it is");
      return {};
    }
    ++sum_.damaged_files;
    alarm("message file " + path + ": " + why + "; set aside in corrupt/");
    auto moved = fs_.rename(path, layout_.corrupt() + "/" + id.text());
    if (moved) moved = fs_.sync_directory(layout_.corrupt());
    if (!moved) alarm("cannot set aside " + path + ": " + moved.error().text());
    return {};
  }

  void note_report(const mail::Envelope& report) {
    const auto original = Id::parse(report.report_for);
    if (!original) return;
    Event event;
    event.kind = report.report_kind == "delayed" ? EventKind::delay_reported : EventKind::reported;
    event.recipients = report.reported;
    reports_.push_back({*original, std::move(event)});
  }

  // A report that is durable has been issued, whether or not the ledger got to know.
  void apply_reports() {
    std::unordered_map<Id, std::size_t> places;
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      const FileContents& message = messages_[i].contents;
      places.emplace(message.state.id, i);
      if (!message.state.envelope.report_for.empty() && !message.state.place.in_segment())
        note_report(message.state.envelope);
    }
    for (auto& [id, event] : reports_) {
      const auto found = places.find(id);
      if (found == places.end()) {
        // Its original waits in a file, or is gone.
        books_.events[id].push_back({MarkKey{id, 0, 0}, std::move(event)});
        continue;
      }
      MessageState& state = messages_[found->second].contents.state;
      if (!apply(state, event)) {
        ++sum_.stray_marks;
        continue;
      }
      auto& marks = state.place.in_segment() ? out_.segment_marks : out_.file_marks;
      marks[id].push_back(std::move(event));
    }
  }

  void hand_over() {
    // What is left speaks of files that wait, or of records that are not there.
    for (auto& [id, told] : books_.events) {
      bool file = exists(fs_, layout_.file(Folder::deferred, id)) ||
                  exists(fs_, layout_.file(Folder::hold, id));
      for (Books::Told& entry : told) {
        if (file)
          out_.file_marks[id].push_back(std::move(entry.event));
        else if (entry.key.segment != 0)
          take_stray(entry.key);
      }
    }
    if (sum_.marks_ahead > 0)
      alarm("the ledger speaks of " + std::to_string(sum_.marks_ahead) +
            " completions of mail that is not in its segment: ignored");
    out_.removed_files.assign(books_.removed_files.begin(), books_.removed_files.end());
    out_.summary = std::move(sum_);
    for (Message& message : messages_)
      each_(std::move(message.contents), message.folder);
  }

  // Of an older generation: that mail is long gone. Of the one in the segment: nothing is delivered
  // before its record is durable, so one of the two has lost something.
  void take_stray(const MarkKey& key) {
    ++sum_.stray_marks;
    for (const JournalPool::Segment& segment : out_.segments) {
      if (segment.info.segment != key.segment || segment.info.tag != key.tag) continue;
      const auto& finished = segment.finished;
      const std::uint32_t sequence = key.id.sequence();
      if (sequence >= finished.size() || !finished[sequence]) ++sum_.marks_ahead;
    }
  }

  struct Message {
    FileContents contents;
    Folder folder;
  };

  FileSystem& fs_;
  const Layout& layout_;
  std::uint64_t pool_;
  const std::function<void(FileContents&&, Folder)>& each_;
  Recovered out_;
  RecoverySummary sum_;
  Books books_;
  std::vector<Message> messages_;
  std::vector<std::pair<Id, Event>> reports_;
};

} // namespace

Result<Recovered> recover(FileSystem& fs, const Layout& layout, std::uint64_t pool,
                          const std::function<void(FileContents&&, Folder)>& each) {
  return Recovery(fs, layout, pool, each).run();
}

Result<void> set_aside(FileSystem& fs, const Layout& layout, const std::string& name, int fd,
                       std::uint64_t offset, std::uint64_t length, const std::string& reason) {
  const std::string path = layout.corrupt() + "/" + name;
  if (fs.stat(path + ".reason")) return {}; // done by an earlier start
  POSTRIDER_TRY(Fd out, fs.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  for (std::uint64_t at = 0; at < length;) {
    const std::size_t want = std::min<std::uint64_t>(kPiece, length - at);
    POSTRIDER_TRY(const std::string piece, fs.pread(fd, want, offset + at));
    if (piece.empty()) break;
    POSTRIDER_TRY_VOID(fs.pwrite(out.get(), piece, at));
    at += piece.size();
  }
  POSTRIDER_TRY_VOID(fs.fsync(out.get()));
  POSTRIDER_TRY_VOID(fs.close(std::move(out)));
  // The reason comes last: where it stands, the copy is whole.
  POSTRIDER_TRY(Fd note, fs.open(path + ".reason", O_WRONLY | O_CREAT | O_TRUNC, 0600));
  POSTRIDER_TRY_VOID(fs.pwrite(note.get(), reason + "\n", 0));
  POSTRIDER_TRY_VOID(fs.fsync(note.get()));
  POSTRIDER_TRY_VOID(fs.close(std::move(note)));
  return fs.sync_directory(layout.corrupt());
}

} // namespace postrider::queue
