// SPDX-License-Identifier: MIT
// A FileSystem for fault tests. It passes every call on to real files below one directory and
//   - fails the n-th call, once or from then on, or writes only a part before failing;
//   - throws Killed at the n-th call: the process that made it is gone;
//   - records what was done, with the points where something was synced;
//   - can be told to lie: leave out a sync, hide an error (seeded bugs that a harness must catch).
// CrashStates turns a recording into the directory contents that a power cut could leave behind.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fs.hpp"

namespace postrider::test {

struct TraceOp {
  enum class Kind {
    create,
    write,
    allocate,
    truncate,
    sync,
    sync_dir,
    rename,
    link,
    unlink,
    lose,
    note
  };
  Kind kind = Kind::note;
  int inode = 0;            // create, write, allocate, truncate, sync, lose
  std::string path;         // relative to the root: create, unlink, sync_dir, rename and link from
  std::string target;       // rename, link
  std::uint64_t offset = 0; // write; allocate and truncate: size
  std::string bytes;        // write; note: text
  std::size_t started = 0;  // sync: covers operations before this one
};

struct Killed {};

using Tree = std::map<std::string, std::string>; // path relative to the root -> contents

// All regular files below root.
Tree read_tree(const std::string& root, const std::string& except = "");
// Makes the regular files below root exactly these; directories are made, never removed.
void write_tree(const std::string& root, const Tree& tree);

class FaultFs final : public FileSystem {
 public:
  FaultFs(FileSystem& inner, std::string root) : inner_(inner), root_(std::move(root)) {}

  // Recording. What is there now is the durable beginning.
  void start_recording();
  const Tree& base() const { return base_; }
  const std::vector<TraceOp>& trace() const { return trace_; }
  void note(std::string text);
  // The sync of this descriptor that comes next begins now: later writes are not covered.
  void sync_begins(int fd);

  // Faults. Calls that can fail for lack of something are counted from 1.
  struct Fault {
    std::uint64_t call = 0;
    int error = 0;
    bool partial = false; // a write leaves half of its bytes
    bool forever = false; // all later calls of the same name fail as well
    bool kill = false;    // throws Killed before the call is made
  };
  void fail(Fault fault) {
    fault_ = fault;
    calls_ = 0;
    failing_.clear();
  }
  void stop_failing() {
    fault_ = {};
    failing_.clear();
  }
  std::uint64_t calls() const { return calls_; }
  bool fired() const { return fired_; }
  const std::string& last_call() const { return last_call_; }

  // Lies. `skip` answers success to a sync without doing it; `lose_at_close` makes close lose what
  // the file held, as a file system may that writes on close, and `hide_close` keeps quiet about
  // it.
  std::function<bool(std::string_view call, const std::string& path)> skip;
  std::function<bool(const std::string& path)> lose_at_close;
  bool hide_close = false;
  // The error number with which a call fails, or a read of a file; 0: it succeeds.
  std::function<int(std::string_view call, const std::string& path)> fail_call;
  std::function<int(const std::string& path)> fail_read;
  // Sees and may change what a read returns.
  std::function<void(const std::string& path, std::uint64_t offset, std::string& bytes)> on_read;

  Result<Fd> open(const std::string& path, int flags, std::uint32_t mode = 0600) override;
  Result<void> preallocate(int fd, std::uint64_t size) override;
  Result<void> truncate(int fd, std::uint64_t size) override;
  Result<void> pwrite(int fd, ByteView bytes, std::uint64_t offset) override;
  Result<void> append(int fd, ByteView bytes) override;
  Result<std::string> pread(int fd, std::size_t size, std::uint64_t offset) override;
  Result<void> fdatasync(int fd) override;
  Result<void> fsync(int fd) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> close(Fd fd) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> link(const std::string& from, const std::string& to) override;
  Result<void> unlink(const std::string& path) override;
  Result<void> mkdir(const std::string& path, std::uint32_t mode = 0700) override;
  Result<FileStat> stat(const std::string& path) override { return inner_.stat(path); }
  Result<FileStat> stat(int fd) override { return inner_.stat(fd); }
  Result<std::vector<std::string>> list(const std::string& d) override { return inner_.list(d); }
  Result<bool> try_lock(int fd) override { return inner_.try_lock(fd); }
  Result<SpaceLeft> space_left(const std::string& path) override { return inner_.space_left(path); }

 private:
  Result<void> before(std::string_view call, const std::string& path);
  void record(TraceOp op);
  int inode_of(int fd);
  std::string relative(const std::string& path) const;
  Result<void> sync(std::string_view call, int fd);

  FileSystem& inner_;
  std::string root_;
  bool recording_ = false;
  Tree base_;
  std::vector<TraceOp> trace_;
  std::map<std::string, int> names_;                // volatile: path -> inode
  std::map<int, std::pair<int, std::string>> open_; // fd -> inode, path at open
  std::map<int, std::size_t> sync_started_;         // inode -> index
  int next_inode_ = 1;
  Fault fault_;
  std::uint64_t calls_ = 0;
  bool fired_ = false;
  std::string failing_;
  std::string last_call_;
};

// What a power cut after the first `prefix` operations may leave, in these ways:
//   posix     names and data as far as syncs guarantee them
//   ext4      the same, but a synced file keeps its own name
//   kill      everything: only the processes died
//   names     every name, but only synced data
//   minus N   everything but one operation that was not synced
//   torn N    everything, the last write cut at a multiple of 512
//   blocks N  every name; of the unsynced 4 KiB blocks some are new and some old
class CrashStates {
 public:
  CrashStates(const Tree& base, const std::vector<TraceOp>& trace) : base_(base), trace_(trace) {}
  using Visit = std::function<void(const std::string& how, const Tree& tree)>;
  void each(std::size_t prefix, const Visit& visit) const;

 private:
  const Tree& base_;
  const std::vector<TraceOp>& trace_;
};

} // namespace postrider::test
