// SPDX-License-Identifier: MIT
// One file per message: mail that was deferred, held, or is too large for a segment. The same
// record as in a segment (pool, segment, place 0; a random tag of its own), then events as cells.
//
//   file = record pad-to-8 cell(kind = EventKind, body = event) ...
//
// Nothing in the file depends on its name's folder, its inode or this host: a copy put into another
// queue's hold/ or deferred/ is a message there.
//
// Commit, in this order: write, fsync, close (checked), rename from ID.tmp, sync the directory.
#pragma once

#include <optional>
#include <vector>

#include "queue/cell.hpp"
#include "queue/layout.hpp"
#include "queue/state.hpp"

namespace postrider::queue {

// A message file read back: the state after all its events.
struct FileContents {
  MessageState state;
  std::uint64_t tail_end = 0; // where the next cell goes
  std::uint64_t damaged_cells = 0;
  std::uint64_t refused_events = 0;
};
// check: Check::everything also proves the content (reads all of it). Blocks.
Result<FileContents> read_message_file(FileSystem& fs, int fd, Check check);
Result<FileContents> read_message_file(FileSystem& fs, const std::string& path, Check check);

// Cells of events, as they will stand at `offset` of the file with this tag.
std::string encode_tail(const std::vector<Event>& events, std::uint64_t tag, std::uint64_t offset);

// The offload jobs below own what they use; run() blocks and may run on any thread; each reports in
// `error`, and on error leaves no temporary file behind.

// Copies a message out of its segment (or from anywhere) into a file and commits it. Several share
// the directory syncs: items of one job. An item that fails does not stop the others.
struct MigrateJob {
  struct Item {
    MessageState state; // in: place says where the content is
    Folder folder = Folder::deferred;
    Fd source;                     // duplicated reader of the segment or file
    std::uint32_t content_crc = 0; // out
    std::uint64_t new_tag = 0;     // in: random
    std::uint64_t tail_end = 0;    // out
    Place new_place;               // out
    std::optional<Error> error;
  };
  Layout layout{""};
  std::vector<Item> items;
  void run(FileSystem& fs);
};

// Appends events to the tails of message files and syncs each file.
struct AppendJob {
  struct Item {
    Id id;
    Folder folder = Folder::deferred;
    std::uint64_t tag = 0;
    std::uint64_t tail_end = 0; // in and out
    std::vector<Event> events;
    std::optional<Folder> move_to; // then also link, sync, unlink
    std::optional<Error> error;
  };
  Layout layout{""};
  std::vector<Item> items;
  void run(FileSystem& fs);
};

// Removes message files. The directories are synced once each, so that `error` empty means gone.
struct RemoveJob {
  struct Item {
    Id id;
    std::optional<Folder> folder; // unknown: all of them
    std::optional<Error> error;
  };
  Layout layout{""};
  std::vector<Item> items;
  void run(FileSystem& fs);
};

// Large mail. qmgr opens incoming/X/ID.tmp and lends it; the receiving process streams the content
// behind room left for header, envelope and facts (whose sizes are known before the content is),
// writes those last, and syncs. qmgr then proves the file, renames it and syncs the directory.
class FileWriter {
 public:
  // REQUIRES the final envelope; facts are encoded with fixed length.
  FileWriter(FileSystem& fs, Fd fd, Id id, const mail::Envelope& envelope);

  Result<void> write(ByteView content);
  // Writes the front. facts.size must be what was written.
  Result<void> finish(const mail::ContentFacts& facts);
  std::uint64_t length() const;

  // fsync, and close with its result looked at. Blocks: run it on a pool thread after
  // finish().
  struct Commit {
    Fd fd;
  };
  Commit begin_commit() { return Commit{std::move(fd_)}; }
  static Result<void> run_commit(FileSystem& fs, Commit commit);

 private:
  FileSystem& fs_;
  Fd fd_;
  RecordHeader header_;
  std::string envelope_;
  std::uint64_t written_ = 0;
  std::string pending_; // gathers small pieces
};

// qmgr's part of the commit: check everything in ID.tmp, rename, sync the directory. Accepted from
// the moment this has succeeded: then qmgr answers the receiving process, which answers 250.
struct AcceptFileJob {
  Layout layout{""};
  Id id;
  std::optional<FileContents> contents; // out
  std::optional<Error> error;
  void run(FileSystem& fs);
};

} // namespace postrider::queue
