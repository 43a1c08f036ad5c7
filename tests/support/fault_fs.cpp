// SPDX-License-Identifier: MIT
#include "support/fault_fs.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <unistd.h>

namespace postrider::test {

namespace stdfs = std::filesystem;
using Kind = TraceOp::Kind;

Tree read_tree(const std::string& root, const std::string& except) {
  Tree tree;
  for (const auto& entry : stdfs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    const std::string name = stdfs::relative(entry.path(), root).string();
    if (!except.empty() && name.starts_with(except)) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::ostringstream bytes;
    bytes << in.rdbuf();
    tree.emplace(name, std::move(bytes).str());
  }
  return tree;
}

void write_tree(const std::string& root, const Tree& tree) {
  stdfs::create_directories(root);
  std::vector<stdfs::path> gone;
  for (const auto& entry : stdfs::recursive_directory_iterator(root))
    if (!entry.is_directory()) gone.push_back(entry.path());
  for (const auto& path : gone)
    stdfs::remove(path);
  for (const auto& [name, bytes] : tree) {
    const stdfs::path path = stdfs::path(root) / name;
    stdfs::create_directories(path.parent_path());
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    POSTRIDER_CHECK(fd >= 0 &&
                    ::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    ::close(fd);
  }
}

std::string FaultFs::relative(const std::string& path) const {
  return path.starts_with(root_ + "/") ? path.substr(root_.size() + 1) : path;
}

void FaultFs::start_recording() {
  base_ = read_tree(root_, "index/");
  trace_.clear();
  names_.clear();
  next_inode_ = 1;
  recording_ = true;
  for (const auto& [name, bytes] : base_)
    names_[name] = next_inode_++;
  // Descriptors that are open already: found again by name.
  for (auto& [fd, what] : open_)
    if (const auto found = names_.find(what.second); found != names_.end())
      what.first = found->second;
}

void FaultFs::note(std::string text) {
  TraceOp op;
  op.bytes = std::move(text);
  record(std::move(op));
}

void FaultFs::sync_begins(int fd) {
  if (const int inode = inode_of(fd); inode != 0) sync_started_[inode] = trace_.size();
}

void FaultFs::record(TraceOp op) {
  if (recording_) trace_.push_back(std::move(op));
}

int FaultFs::inode_of(int fd) {
  const auto found = open_.find(fd);
  return found == open_.end() ? 0 : found->second.first;
}

Result<void> FaultFs::before(std::string_view call, const std::string& path) {
  ++calls_;
  last_call_ = std::string(call) + " " + path;
  if (fail_call)
    if (const int code = fail_call(call, path); code != 0)
      return Error::from_errno("injected: " + last_call_, code);
  const bool now = fault_.call != 0 && calls_ == fault_.call;
  if (!now && (failing_.empty() || failing_ != call)) return {};
  fired_ = true;
  if (fault_.kill) {
    sync_started_.clear();
    throw Killed{};
  }
  if (fault_.forever) failing_ = call;
  return Error::from_errno("injected: " + last_call_, fault_.error);
}

Result<Fd> FaultFs::open(const std::string& path, int flags, std::uint32_t mode) {
  POSTRIDER_TRY_VOID(before("open", path));
  const bool existed = inner_.stat(path).ok();
  POSTRIDER_TRY(Fd fd, inner_.open(path, flags, mode));
  const std::string name = relative(path);
  if (!existed && (flags & O_CREAT) != 0) {
    names_[name] = next_inode_++;
    record({.kind = Kind::create, .inode = names_[name], .path = name});
  } else if ((flags & O_TRUNC) != 0) {
    record({.kind = Kind::truncate, .inode = names_[name], .offset = 0});
  }
  open_[fd.get()] = {names_[name], name};
  return fd;
}

Result<void> FaultFs::preallocate(int fd, std::uint64_t size) {
  POSTRIDER_TRY_VOID(before("preallocate", open_[fd].second));
  POSTRIDER_TRY_VOID(inner_.preallocate(fd, size));
  record({.kind = Kind::allocate, .inode = inode_of(fd), .offset = size});
  return {};
}

Result<void> FaultFs::truncate(int fd, std::uint64_t size) {
  POSTRIDER_TRY_VOID(before("truncate", open_[fd].second));
  POSTRIDER_TRY_VOID(inner_.truncate(fd, size));
  record({.kind = Kind::truncate, .inode = inode_of(fd), .offset = size});
  return {};
}

Result<void> FaultFs::pwrite(int fd, ByteView bytes, std::uint64_t offset) {
  if (auto fault = before("pwrite", open_[fd].second); !fault) {
    if (fault_.partial) {
      const ByteView half = bytes.substr(0, bytes.size() / 2);
      POSTRIDER_TRY_VOID(inner_.pwrite(fd, half, offset));
      record({.kind = Kind::write,
              .inode = inode_of(fd),
              .offset = offset,
              .bytes = std::string(half)});
    }
    return fault;
  }
  POSTRIDER_TRY_VOID(inner_.pwrite(fd, bytes, offset));
  record(
      {.kind = Kind::write, .inode = inode_of(fd), .offset = offset, .bytes = std::string(bytes)});
  return {};
}

Result<void> FaultFs::append(int fd, ByteView bytes) {
  POSTRIDER_TRY_VOID(before("append", open_[fd].second));
  POSTRIDER_TRY(const FileStat stat, inner_.stat(fd));
  POSTRIDER_TRY_VOID(inner_.append(fd, bytes));
  record({.kind = Kind::write,
          .inode = inode_of(fd),
          .offset = stat.size,
          .bytes = std::string(bytes)});
  return {};
}

Result<std::string> FaultFs::pread(int fd, std::size_t size, std::uint64_t offset) {
  const auto found = open_.find(fd);
  if (fail_read && found != open_.end())
    if (const int code = fail_read(found->second.second); code != 0)
      return Error::from_errno("injected: pread " + found->second.second, code);
  POSTRIDER_TRY(std::string bytes, inner_.pread(fd, size, offset));
  if (on_read && found != open_.end()) on_read(found->second.second, offset, bytes);
  return bytes;
}

Result<void> FaultFs::sync(std::string_view call, int fd) {
  const std::string path = open_[fd].second;
  const int inode = inode_of(fd);
  const auto begun = sync_started_.find(inode);
  const std::size_t started = begun == sync_started_.end() ? trace_.size() : begun->second;
  if (begun != sync_started_.end()) sync_started_.erase(begun);
  POSTRIDER_TRY_VOID(before(call, path));
  if (skip && skip(call, path)) return {};
  record({.kind = Kind::sync, .inode = inode, .started = started});
  return {}; // the medium is the recording: the real files need no sync
}

Result<void> FaultFs::fdatasync(int fd) { return sync("fdatasync", fd); }
Result<void> FaultFs::fsync(int fd) { return sync("fsync", fd); }

Result<void> FaultFs::sync_directory(const std::string& path) {
  POSTRIDER_TRY_VOID(before("sync_directory", path));
  if (skip && skip("sync_directory", path)) return {};
  record({.kind = Kind::sync_dir, .path = relative(path)});
  return {};
}

Result<void> FaultFs::close(Fd fd) {
  const std::string path = open_[fd.get()].second;
  const int inode = inode_of(fd.get());
  open_.erase(fd.get());
  if (lose_at_close && lose_at_close(path)) {
    fired_ = true;
    POSTRIDER_TRY_VOID(inner_.truncate(fd.get(), 0));
    record({.kind = Kind::lose, .inode = inode});
    if (hide_close) return inner_.close(std::move(fd));
    return Error::from_errno("injected: close " + path, ENOSPC);
  }
  if (auto fault = before("close", path); !fault) return fault;
  return inner_.close(std::move(fd));
}

Result<void> FaultFs::rename(const std::string& from, const std::string& to) {
  POSTRIDER_TRY_VOID(before("rename", to));
  POSTRIDER_TRY_VOID(inner_.rename(from, to));
  record({.kind = Kind::rename, .path = relative(from), .target = relative(to)});
  names_[relative(to)] = names_[relative(from)];
  names_.erase(relative(from));
  return {};
}

Result<void> FaultFs::link(const std::string& from, const std::string& to) {
  POSTRIDER_TRY_VOID(before("link", to));
  POSTRIDER_TRY_VOID(inner_.link(from, to));
  record({.kind = Kind::link, .path = relative(from), .target = relative(to)});
  names_[relative(to)] = names_[relative(from)];
  return {};
}

Result<void> FaultFs::unlink(const std::string& path) {
  POSTRIDER_TRY_VOID(before("unlink", path));
  POSTRIDER_TRY_VOID(inner_.unlink(path));
  record({.kind = Kind::unlink, .path = relative(path)});
  names_.erase(relative(path));
  return {};
}

Result<void> FaultFs::mkdir(const std::string& path, std::uint32_t mode) {
  POSTRIDER_TRY_VOID(before("mkdir", path));
  return inner_.mkdir(path, mode);
}

namespace {

constexpr std::size_t kBlock = 4096;

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

enum class Names { all, posix, ext4 };
enum class Data { all, synced };

struct How {
  Names names = Names::all;
  Data data = Data::all;
  std::optional<std::size_t> without; // index of an operation that did not reach the disk
  std::optional<std::size_t> cut;     // the write cut_at keeps only this much
  std::size_t cut_at = 0;
  const std::set<std::pair<int, std::uint64_t>>* old_blocks = nullptr;
};

// Applies a recording under one rule.
class Disk {
 public:
  Disk(const Tree& base, const std::vector<TraceOp>& trace, std::size_t prefix)
      : trace_(trace), prefix_(prefix) {
    int inode = 1; // start_recording() numbers the files of the beginning in the same order
    for (const auto& [name, bytes] : base) {
      names_[name] = inode;
      bytes_[inode++] = bytes;
    }
  }

  // Is operation i covered by a sync within the prefix?
  bool is_synced(std::size_t i, Names rule) const {
    const TraceOp& op = trace_[i];
    for (std::size_t j = i + 1; j < prefix_; ++j) {
      const TraceOp& later = trace_[j];
      switch (op.kind) {
      case Kind::write:
      case Kind::allocate:
      case Kind::truncate:
        if (later.kind == Kind::sync && later.inode == op.inode && later.started > i) return true;
        break;
      case Kind::create:
      case Kind::unlink:
        if (later.kind == Kind::sync_dir && later.path == directory_of(op.path)) return true;
        if (rule == Names::ext4 && op.kind == Kind::create && later.kind == Kind::sync &&
            later.inode == op.inode)
          return true;
        break;
      case Kind::rename:
      case Kind::link:
        if (later.kind == Kind::sync_dir && later.path == directory_of(op.target)) return true;
        break;
      case Kind::sync:
      case Kind::sync_dir:
      case Kind::lose:
      case Kind::note: return true;
      }
    }
    return op.kind == Kind::lose || op.kind == Kind::note || op.kind == Kind::sync ||
           op.kind == Kind::sync_dir;
  }

  Tree build(const How& how) const {
    std::map<std::string, int> names = names_;
    std::map<int, std::string> bytes = bytes_;
    for (std::size_t i = 0; i < prefix_; ++i) {
      if (how.without == i) continue;
      apply(i, how, names, bytes);
    }
    Tree tree;
    for (const auto& [name, inode] : names)
      tree.emplace(name, bytes[inode]);
    return tree;
  }

  std::set<std::pair<int, std::uint64_t>> dirty_blocks() const {
    std::set<std::pair<int, std::uint64_t>> out;
    for (std::size_t i = 0; i < prefix_; ++i) {
      const TraceOp& op = trace_[i];
      if (op.kind != Kind::write || op.bytes.empty() || is_synced(i, Names::posix)) continue;
      for (std::uint64_t b = op.offset / kBlock; b <= (op.offset + op.bytes.size() - 1) / kBlock;
           ++b)
        out.emplace(op.inode, b);
    }
    return out;
  }

 private:
  void apply(std::size_t i, const How& how, std::map<std::string, int>& names,
             std::map<int, std::string>& bytes) const {
    const TraceOp& op = trace_[i];
    switch (op.kind) {
    case Kind::write: {
      if (how.data == Data::synced && !is_synced(i, Names::posix)) return;
      std::string piece = op.bytes;
      if (how.cut && i == how.cut_at) piece.resize(std::min(piece.size(), *how.cut));
      write(op, piece, i, how, bytes[op.inode]);
      return;
    }
    case Kind::allocate:
      if (how.data == Data::synced && !is_synced(i, Names::posix)) return;
      if (bytes[op.inode].size() < op.offset) bytes[op.inode].resize(op.offset, '\0');
      return;
    case Kind::truncate:
      if (how.data == Data::synced && !is_synced(i, Names::posix)) return;
      bytes[op.inode].resize(op.offset, '\0');
      return;
    case Kind::lose: bytes[op.inode].clear(); return;
    case Kind::create:
      if (keeps(i, how)) names[op.path] = op.inode;
      return;
    case Kind::unlink:
      if (keeps(i, how)) names.erase(op.path);
      return;
    case Kind::link:
    case Kind::rename: {
      const int inode = inode_named(op.path, i);
      if (inode == 0) return;
      const bool same = directory_of(op.path) == directory_of(op.target);
      if (keeps(i, how)) {
        names[op.target] = inode;
        if (op.kind == Kind::rename && same) names.erase(op.path);
      }
      if (op.kind == Kind::rename && !same &&
          (how.names == Names::all || directory_synced(i, directory_of(op.path))))
        names.erase(op.path);
      return;
    }
    case Kind::sync:
    case Kind::sync_dir:
    case Kind::note: return;
    }
  }

  bool keeps(std::size_t i, const How& how) const {
    return how.names == Names::all || is_synced(i, how.names);
  }

  bool directory_synced(std::size_t i, const std::string& directory) const {
    for (std::size_t j = i + 1; j < prefix_; ++j)
      if (trace_[j].kind == Kind::sync_dir && trace_[j].path == directory) return true;
    return false;
  }

  void write(const TraceOp& op, const std::string& piece, std::size_t i, const How& how,
             std::string& file) const {
    const bool mixed = how.old_blocks != nullptr && !is_synced(i, Names::posix);
    for (std::size_t at = 0; at < piece.size();) {
      const std::uint64_t offset = op.offset + at;
      const std::size_t length = std::min<std::size_t>(piece.size() - at, kBlock - offset % kBlock);
      if (!mixed || !how.old_blocks->contains({op.inode, offset / kBlock})) {
        if (file.size() < offset + length) file.resize(offset + length, '\0');
        file.replace(offset, length, piece, at, length);
      }
      at += length;
    }
  }

  // Which file had this name when operation i was done.
  int inode_named(const std::string& path, std::size_t i) const {
    std::map<std::string, int> names = names_;
    for (std::size_t j = 0; j < i; ++j) {
      const TraceOp& op = trace_[j];
      if (op.kind == Kind::create)
        names[op.path] = op.inode;
      else if (op.kind == Kind::unlink)
        names.erase(op.path);
      else if (op.kind == Kind::link)
        names[op.target] = names[op.path];
      else if (op.kind == Kind::rename) {
        names[op.target] = names[op.path];
        names.erase(op.path);
      }
    }
    const auto found = names.find(path);
    return found == names.end() ? 0 : found->second;
  }

  const std::vector<TraceOp>& trace_;
  std::size_t prefix_;
  std::map<std::string, int> names_;
  std::map<int, std::string> bytes_;
};

} // namespace

void CrashStates::each(std::size_t prefix, const Visit& visit) const {
  const Disk disk(base_, trace_, prefix);
  visit("kill", disk.build({}));
  visit("posix", disk.build({.names = Names::posix, .data = Data::synced}));
  visit("ext4", disk.build({.names = Names::ext4, .data = Data::synced}));
  visit("names", disk.build({.names = Names::all, .data = Data::synced}));
  for (std::size_t i = 0; i < prefix; ++i)
    if (!disk.is_synced(i, Names::posix))
      visit("minus " + std::to_string(i), disk.build({.without = i}));
  std::size_t last = prefix; // behind the last operation that is not a note
  while (last > 0 && trace_[last - 1].kind == Kind::note)
    --last;
  if (last > 0 && trace_[last - 1].kind == Kind::write) {
    const std::size_t size = trace_[last - 1].bytes.size();
    const std::uint64_t offset = trace_[last - 1].offset;
    std::set<std::size_t> cuts;
    for (const std::size_t unit : {std::size_t{512}, kBlock}) {
      const std::size_t first = unit - offset % unit;
      for (std::size_t cut = first, n = 0; cut < size && n < 6; cut += unit, ++n)
        cuts.insert(cut);
    }
    for (const std::size_t cut : cuts)
      visit("torn " + std::to_string(cut), disk.build({.cut = cut, .cut_at = last - 1}));
  }
  const auto dirty = disk.dirty_blocks();
  const std::vector<std::pair<int, std::uint64_t>> blocks(dirty.begin(), dirty.end());
  if (blocks.empty()) return;
  std::vector<std::set<std::pair<int, std::uint64_t>>> choices;
  if (blocks.size() <= 5) {
    for (unsigned mask = 1; mask < (1U << blocks.size()); ++mask) {
      auto& old = choices.emplace_back();
      for (std::size_t b = 0; b < blocks.size(); ++b)
        if (((mask >> b) & 1) != 0) old.insert(blocks[b]);
    }
  } else {
    for (const auto& block : blocks) {
      choices.push_back({block});
      choices.push_back(dirty);
      choices.back().erase(block);
    }
  }
  for (std::size_t c = 0; c < choices.size(); ++c)
    visit("blocks " + std::to_string(c), disk.build({.old_blocks = &choices[c]}));
}

} // namespace postrider::test
