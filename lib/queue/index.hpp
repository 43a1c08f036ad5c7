// SPDX-License-Identifier: MIT
// The index (LMDB): message files by due time and by destination, so that a million deferred
// messages cost neither start-up time nor memory. Never the only copy of a fact: it can be rebuilt
// from the files, and it says when it may not agree with them. Owned by qmgr; apply() blocks (one
// transaction, one sync) and may run on a pool thread as long as only one runs at a time; reads
// take a snapshot and are quick.
//
//   'm' id(8)                       -> entry          numbers big-endian
//   't' due(8) id(8)                -> nothing        deferred/ and incoming/ only
//   'd' destination NUL id(8)       -> nothing
//   'n' 'd' destination, 'n' 'r' reason -> number of messages
//   'M' "state" "pool" "version" "size"
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "queue/layout.hpp"
#include "queue/state.hpp"

namespace postrider::queue {

// What the queue view shows without opening the file.
struct IndexEntry {
  std::uint64_t number = 0; // of the id
  Folder folder = Folder::deferred;
  std::int64_t due = 0; // unix time, microseconds
  std::int64_t arrival = 0;
  std::uint64_t size = 0;
  std::string sender;
  std::vector<std::string> destinations; // of the open recipients, each once
  std::uint32_t open_recipients = 0;
  std::string first_recipient;
  std::string reason; // last reason, shortened

  bool operator==(const IndexEntry&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("id", s.number);
    v("folder", s.folder);
    v("due", s.due);
    v("arrival", s.arrival);
    v("size", s.size);
    v("sender", s.sender);
    v("destinations", s.destinations);
    v("open", s.open_recipients);
    v("first", s.first_recipient);
    v("reason", s.reason);
  }
};

// destinations: what the message waits for. The reason is the last reply or text of an open
// recipient, cut to 160 bytes.
IndexEntry make_entry(const MessageState& state, Folder folder,
                      std::vector<std::string> destinations);

struct IndexChange {
  Id id;
  std::optional<IndexEntry> entry; // absent: remove
};

struct Tally {
  std::string name;
  std::uint64_t messages = 0;
};

class Index {
 public:
  virtual ~Index() = default;

  // Opens or creates. A file that cannot be used (damage, other version, other pool) is deleted and
  // made anew, and state() is `empty`.
  // A damaged page can kill whoever touches it (LMDB maps the file). So starts are counted until
  // proven() or close_clean(), and the third in a row begins with an empty index.
  static Result<std::unique_ptr<Index>> open(const Layout& layout, std::uint64_t pool,
                                             std::uint64_t map_size = 1ULL << 34);

  enum class State { clean, stale, empty };
  // How it was found at open: clean (closed properly), stale (in use when the process died: a few
  // entries may not agree with the files), empty (all must be rebuilt).
  virtual State found() const = 0;

  // One transaction for all changes.
  virtual Result<void> apply(const std::vector<IndexChange>& changes) = 0;
  virtual Result<void> clear() = 0;

  virtual Result<std::optional<IndexEntry>> find(Id id) = 0;
  // Deferred messages due at or before `until`, earliest first. `after`: to go on behind.
  struct Due {
    std::int64_t at = 0;
    Id id;
  };
  virtual Result<std::vector<Due>> due(std::int64_t until, std::size_t limit,
                                       std::optional<Due> after = {}) = 0;
  virtual Result<std::optional<std::int64_t>> next_due(std::int64_t after) = 0;
  // A page of all entries in order of id, behind `after`.
  virtual Result<std::vector<IndexEntry>> page(Id after, std::size_t limit) = 0;
  virtual Result<std::vector<Id>> by_destination(const std::string& destination, Id after,
                                                 std::size_t limit) = 0;
  virtual Result<std::vector<Tally>> destinations(std::size_t limit) = 0; // most mail first
  virtual Result<std::vector<Tally>> reasons(std::size_t limit) = 0;
  virtual Result<std::uint64_t> size() = 0;

  // It has been read as a whole, and the process lives: see open().
  virtual void proven() = 0;
  // Clean shutdown: after this the next open finds `clean`.
  virtual Result<void> close_clean() = 0;
};

} // namespace postrider::queue
