// SPDX-License-Identifier: MIT
#include "queue/message_file.hpp"

#include <algorithm>
#include <fcntl.h>
#include <set>

#include "base/crc32c.hpp"
#include "base/fields.hpp"
#include "base/random.hpp"

namespace postrider::queue {

namespace {

constexpr std::uint64_t kMaxTail = 256U << 20;
constexpr std::size_t kPiece = 256 << 10;

std::uint64_t aligned(std::uint64_t offset) { return (offset + 7) & ~std::uint64_t{7}; }

Result<Fd> create_temporary(FileSystem& fs, const std::string& path) {
  auto fd = fs.open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd || fd.error().saved_errno() != EEXIST) return fd;
  // Left by an attempt that failed; nobody was told about it.
  POSTRIDER_TRY_VOID(fs.unlink(path));
  return fs.open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
}

Result<void> write_copy(FileSystem& fs, int to, MigrateJob::Item& item) {
  const MessageState& state = item.state;
  const Place& place = state.place;
  RecordHeader header;
  header.id = state.id;
  header.tag = item.new_tag;
  std::string front(kRecordHeader, '\0');
  encode_to(front, state.envelope);
  header.envelope_length = static_cast<std::uint32_t>(front.size() - kRecordHeader);
  encode_to(front, state.facts);
  header.facts_length =
      static_cast<std::uint32_t>(front.size() - kRecordHeader - header.envelope_length);
  header.meta_crc = crc32c(ByteView(front).substr(kRecordHeader));
  header.type = state.envelope.report_for.empty() ? RecordType::message : RecordType::report;
  header.length = front.size() + state.facts.size;

  // The source must still be the record that was asked for.
  POSTRIDER_TRY(const std::string old, fs.pread(item.source.get(), kRecordHeader, place.offset));
  if (old.size() < kRecordHeader) return Error(ErrorKind::protocol, "record: cut short");
  RecordOrigin origin{.segment = place.segment, .tag = place.tag, .place = place.offset};
  origin.pool = get_le<std::uint64_t>(ByteView(old).substr(24));
  POSTRIDER_TRY(const RecordHeader source, parse_header(old, origin));
  if (source.id != state.id || source.content_length() != state.facts.size)
    return Error(ErrorKind::protocol, "record: another message");

  std::uint32_t crc = 0;
  std::string buffer = std::move(front);
  std::uint64_t written = 0;
  for (std::uint64_t at = 0; at < state.facts.size;) {
    const std::size_t want = std::min<std::uint64_t>(kPiece, state.facts.size - at);
    POSTRIDER_TRY(const std::string piece,
                  fs.pread(item.source.get(), want, state.content_offset + at));
    if (piece.size() != want) return Error(ErrorKind::protocol, "record: content cut short");
    crc = crc32c(piece, crc);
    buffer += piece;
    at += want;
    if (written == 0 && at == state.facts.size) break; // all in memory: one write
    POSTRIDER_TRY_VOID(fs.pwrite(to, buffer, written));
    written += buffer.size();
    buffer.clear();
  }
  if (crc != source.content_crc) return Error(ErrorKind::protocol, "record: content checksum");
  item.content_crc = header.content_crc = crc;
  std::string head;
  put_header(head, header);
  if (written == 0) buffer.replace(0, kRecordHeader, head);
  buffer.append(aligned(written + buffer.size()) - (written + buffer.size()), '\0');
  buffer += encode_tail(events_of(state), item.new_tag, written + buffer.size());
  POSTRIDER_TRY_VOID(fs.pwrite(to, buffer, written));
  if (written != 0) POSTRIDER_TRY_VOID(fs.pwrite(to, head, 0));
  item.tail_end = written + buffer.size();
  item.new_place = {.segment = 0, .tag = item.new_tag, .offset = 0, .length = header.length};
  return {};
}

// The copy, not yet durable, under a name that nobody looks at.
Result<Fd> begin_copy(FileSystem& fs, const Layout& layout, MigrateJob::Item& item) {
  const std::string temporary = layout.temporary(item.folder, item.state.id);
  POSTRIDER_TRY(Fd fd, create_temporary(fs, temporary));
  auto written = write_copy(fs, fd.get(), item);
  if (written) {
    fs.start_writeback(fd.get());
    return fd;
  }
  fd.reset();
  if (auto gone = fs.unlink(temporary); !gone)
    return written.error().in("(and a temporary file stays)");
  return written.error();
}

Result<void> commit_copy(FileSystem& fs, const Layout& layout, const MigrateJob::Item& item,
                         Fd fd) {
  const std::string temporary = layout.temporary(item.folder, item.state.id);
  const auto work = [&]() -> Result<void> {
    POSTRIDER_TRY_VOID(fs.fsync(fd.get()));
    POSTRIDER_TRY_VOID(fs.close(std::move(fd)));
    return fs.rename(temporary, layout.file(item.folder, item.state.id));
  };
  auto done = work();
  if (!done) {
    fd.reset();
    if (auto gone = fs.unlink(temporary); !gone)
      return done.error().in("(and a temporary file stays)");
  }
  return done;
}

Result<void> append_and_move(FileSystem& fs, const Layout& layout, AppendJob::Item& item) {
  const std::string path = layout.file(item.folder, item.id);
  if (!item.events.empty()) {
    POSTRIDER_TRY(Fd fd, fs.open(path, O_WRONLY));
    POSTRIDER_TRY(const FileStat stat, fs.stat(fd.get()));
    POSTRIDER_TRY_VOID(check_regular(stat, path, true));
    const std::string cells = encode_tail(item.events, item.tag, item.tail_end);
    POSTRIDER_TRY_VOID(fs.pwrite(fd.get(), cells, item.tail_end));
    POSTRIDER_TRY_VOID(fs.fdatasync(fd.get()));
    POSTRIDER_TRY_VOID(fs.close(std::move(fd)));
    item.tail_end += cells.size();
  }
  if (!item.move_to || *item.move_to == item.folder) return {};
  // Not rename: the new name must be durable before the old one goes, whatever order the file
  // system writes two directories in.
  const std::string to = layout.file(*item.move_to, item.id);
  if (auto linked = fs.link(path, to); !linked && linked.error().saved_errno() != EEXIST)
    return linked;
  POSTRIDER_TRY_VOID(fs.sync_directory(layout.shard(*item.move_to, item.id)));
  POSTRIDER_TRY_VOID(fs.unlink(path));
  item.folder = *item.move_to;
  return {};
}

} // namespace

Result<FileContents> read_message_file(FileSystem& fs, int fd, Check check) {
  POSTRIDER_TRY(const FileStat stat, fs.stat(fd));
  POSTRIDER_TRY_VOID(check_regular(stat, "message file", true));
  POSTRIDER_TRY(StoredRecord record, read_record(fs, fd, RecordOrigin{}, check));
  const std::uint64_t tail = aligned(record.header.length);
  if (stat.size < record.header.length) return Error(ErrorKind::protocol, "record: cut short");
  const std::uint64_t tag = record.header.tag;
  FileContents out;
  out.state = make_state(std::move(record));
  out.tail_end = tail;
  if (stat.size > tail) {
    POSTRIDER_TRY(const std::string bytes,
                  fs.pread(fd, std::min<std::uint64_t>(stat.size - tail, kMaxTail), tail));
    CellReader reader(bytes, tag, tail);
    Cell cell;
    while (reader.next(cell)) {
      auto event = decode_event(cell.kind, cell.body);
      if (!event || !apply(out.state, *event)) ++out.refused_events;
    }
    out.tail_end = reader.end();
    out.damaged_cells = reader.damaged();
  }
  return out;
}

Result<FileContents> read_message_file(FileSystem& fs, const std::string& path, Check check) {
  POSTRIDER_TRY(const Fd fd, fs.open(path, O_RDONLY | O_NONBLOCK)); // a FIFO must not hold us up
  return read_message_file(fs, fd.get(), check);
}

std::string encode_tail(const std::vector<Event>& events, std::uint64_t tag, std::uint64_t offset) {
  std::string out;
  for (const Event& event : events)
    put_cell(out, tag, offset + out.size(), static_cast<std::uint8_t>(event.kind),
             encode_event(event));
  return out;
}

void MigrateJob::run(FileSystem& fs) {
  // First all are written, then all are synced: most syncs find their work done by the first.
  std::vector<Fd> copies(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].error) continue;
    auto begun = begin_copy(fs, layout, items[i]);
    if (begun)
      copies[i] = std::move(*begun);
    else
      items[i].error = begun.error();
  }
  std::set<std::string> directories;
  for (std::size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    if (item.error) continue;
    if (auto done = commit_copy(fs, layout, item, std::move(copies[i])); !done)
      item.error = done.error();
    else
      directories.insert(layout.shard(item.folder, item.state.id));
  }
  for (const std::string& directory : directories) {
    auto synced = fs.sync_directory(directory);
    if (synced) continue;
    // Not durable: the message goes on living where it was. The copy is found again by its id.
    for (Item& item : items)
      if (!item.error && layout.shard(item.folder, item.state.id) == directory)
        item.error = synced.error();
  }
}

void AppendJob::run(FileSystem& fs) {
  for (Item& item : items)
    if (auto done = append_and_move(fs, layout, item); !done) item.error = done.error();
}

void RemoveJob::run(FileSystem& fs) {
  std::set<std::string> directories;
  for (Item& item : items) {
    for (const Folder folder : kFolders) {
      if (item.folder && *item.folder != folder) continue;
      auto gone = fs.unlink(layout.file(folder, item.id));
      if (gone)
        directories.insert(layout.shard(folder, item.id));
      else if (gone.error().kind() != ErrorKind::not_found)
        item.error = gone.error();
    }
  }
  for (const std::string& directory : directories) {
    auto synced = fs.sync_directory(directory);
    if (synced) continue;
    for (Item& item : items)
      if (!item.error) item.error = synced.error();
  }
}

FileWriter::FileWriter(FileSystem& fs, Fd fd, Id id, const mail::Envelope& envelope)
    : fs_(fs), fd_(std::move(fd)), envelope_(encode(envelope)) {
  header_.id = id;
  header_.tag = secure_random() | 1;
  header_.type = envelope.report_for.empty() ? RecordType::message : RecordType::report;
  header_.envelope_length = static_cast<std::uint32_t>(envelope_.size());
  header_.facts_length = static_cast<std::uint32_t>(encode(mail::ContentFacts{}).size());
}

Result<void> FileWriter::write(ByteView content) {
  header_.content_crc = crc32c(content, header_.content_crc);
  pending_.append(content);
  if (pending_.size() < kPiece) return {};
  POSTRIDER_TRY_VOID(fs_.pwrite(fd_.get(), pending_, header_.content_offset() + written_));
  written_ += pending_.size();
  pending_.clear();
  return {};
}

Result<void> FileWriter::finish(const mail::ContentFacts& facts) {
  POSTRIDER_CHECK(facts.size == written_ + pending_.size());
  if (!pending_.empty())
    POSTRIDER_TRY_VOID(fs_.pwrite(fd_.get(), pending_, header_.content_offset() + written_));
  written_ = facts.size;
  pending_.clear();
  std::string meta = envelope_;
  encode_to(meta, facts);
  POSTRIDER_CHECK(meta.size() == header_.envelope_length + header_.facts_length);
  header_.meta_crc = crc32c(meta);
  header_.length = header_.content_offset() + written_;
  std::string front;
  put_header(front, header_);
  front += meta;
  return fs_.pwrite(fd_.get(), front, 0);
}

std::uint64_t FileWriter::length() const {
  return header_.content_offset() + written_ + pending_.size();
}

Result<void> FileWriter::run_commit(FileSystem& fs, Commit commit) {
  POSTRIDER_TRY_VOID(fs.fsync(commit.fd.get()));
  return fs.close(std::move(commit.fd));
}

void AcceptFileJob::run(FileSystem& fs) {
  const std::string temporary = layout.temporary(Folder::incoming, id);
  const auto work = [&]() -> Result<void> {
    POSTRIDER_TRY(FileContents read, read_message_file(fs, temporary, Check::everything));
    if (read.state.id != id) return Error(ErrorKind::protocol, "the file holds another id");
    // Nothing but the record: a tail is ours to write.
    if (read.tail_end != aligned(read.state.place.length) || read.refused_events != 0)
      return Error(ErrorKind::protocol, "the file has a tail");
    POSTRIDER_TRY_VOID(fs.rename(temporary, layout.file(Folder::incoming, id)));
    POSTRIDER_TRY_VOID(fs.sync_directory(layout.shard(Folder::incoming, id)));
    contents = std::move(read); // accepted from here
    return {};
  };
  if (auto done = work(); !done) error = done.error();
}

} // namespace postrider::queue
