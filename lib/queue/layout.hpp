// SPDX-License-Identifier: MIT
// The queue directory: names, creation, checks, the lock. Only qmgr uses these paths; every other
// program works on descriptors it was handed.
//
//   journal/pool             identity of this queue: 64 random bits, so that segments and ledger
//                            of another queue, or of a backup, are told apart
//   journal/NNNNNNNN.seg     segments
//   journal/ledger.0 .1      the ledger, written in turn
//   incoming/X/ID            committed messages too large for a segment
//   deferred/X/ID hold/X/ID  message files; X is the last letter of the id
//   */X/ID.tmp               being written: never acknowledged, removed at start
//   corrupt/                 what could not be read, with a .reason beside it
//   index/                   LMDB; may be deleted while qmgr is down
//   qmgr.lock                flock(2) held by the one qmgr
#pragma once

#include <cstdint>
#include <string>

#include "base/fs.hpp"
#include "queue/id.hpp"

namespace postrider::queue {

enum class Folder : std::uint8_t { incoming, deferred, hold };
constexpr Folder highest(Folder) { return Folder::hold; }
constexpr Folder kFolders[] = {Folder::incoming, Folder::deferred, Folder::hold};
std::string_view to_string(Folder folder);

class Layout {
 public:
  explicit Layout(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string journal() const { return root_ + "/journal"; }
  std::string pool() const { return root_ + "/journal/pool"; }
  std::string segment(std::uint32_t number) const;
  std::string ledger(unsigned which) const; // 0 or 1
  std::string corrupt() const { return root_ + "/corrupt"; }
  std::string index() const { return root_ + "/index"; }
  std::string lock() const { return root_ + "/qmgr.lock"; }
  std::string folder(Folder folder) const;
  std::string shard(Folder folder, Id id) const; // directory of the file
  std::string file(Folder folder, Id id) const;
  std::string temporary(Folder folder, Id id) const;

  // Makes what is missing and checks what is there: directories of our own user, closed to group
  // and others, no symbolic links. Every name made is synced.
  Result<void> create(FileSystem& fs) const;

 private:
  std::string root_;
};

// "00000007.seg" -> 7; 0 for any other name.
std::uint32_t parse_segment_name(std::string_view name);

// All shard letters, in order.
std::string_view shard_letters();

// The lock that keeps a second qmgr out. Error busy when another process holds it.
Result<Fd> lock_queue(FileSystem& fs, const Layout& layout);

// Reads the pool identity, making one (synced) in a new queue.
Result<std::uint64_t> load_pool_identity(FileSystem& fs, const Layout& layout);

// A regular file of our own user, one link, closed to others: else an Error that says what is odd.
Result<void> check_regular(const FileStat& stat, std::string_view path, bool allow_two_links);

} // namespace postrider::queue
