// SPDX-License-Identifier: MIT
#include "queue/layout.hpp"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.hpp"
#include "base/random.hpp"

namespace postrider::queue {

namespace {

constexpr std::string_view kShards = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
constexpr std::size_t kPoolFile = 20; // "PRpl" version(4) pool(8) crc(4)

Result<void> ensure_directory(FileSystem& fs, const std::string& path, const std::string& parent) {
  auto stat = fs.stat(path);
  if (!stat && stat.error().kind() == ErrorKind::not_found) {
    if (auto made = fs.mkdir(path, 0700); !made && made.error().saved_errno() != EEXIST)
      return made;
    if (!parent.empty()) POSTRIDER_TRY_VOID(fs.sync_directory(parent));
    stat = fs.stat(path);
  }
  if (!stat) return stat.error();
  if (!S_ISDIR(stat->mode))
    return Error(ErrorKind::config, path + " is not a directory (symbolic links are refused)");
  if (stat->uid != ::geteuid())
    return Error(ErrorKind::config, path + " belongs to user " + std::to_string(stat->uid) +
                                        ", not to " + std::to_string(::geteuid()));
  if ((stat->mode & 022) != 0) return Error(ErrorKind::config, path + " is writable by others");
  return {};
}

} // namespace

std::string_view to_string(Folder folder) {
  switch (folder) {
  case Folder::incoming: return "incoming";
  case Folder::deferred: return "deferred";
  case Folder::hold: return "hold";
  }
  return "?";
}

std::string_view shard_letters() { return kShards; }

std::string Layout::segment(std::uint32_t number) const {
  char name[32];
  std::snprintf(name, sizeof name, "/%08u.seg", number);
  return journal() + name;
}

std::string Layout::ledger(unsigned which) const {
  return journal() + (which == 0 ? "/ledger.0" : "/ledger.1");
}

std::string Layout::folder(Folder which) const {
  return root_ + "/" + std::string(to_string(which));
}

std::string Layout::shard(Folder which, Id id) const {
  return folder(which) + "/" + id.text().back();
}

std::string Layout::file(Folder which, Id id) const { return shard(which, id) + "/" + id.text(); }

std::string Layout::temporary(Folder which, Id id) const { return file(which, id) + ".tmp"; }

Result<void> Layout::create(FileSystem& fs) const {
  POSTRIDER_TRY_VOID(ensure_directory(fs, root_, ""));
  for (const std::string& path : {journal(), corrupt(), index()})
    POSTRIDER_TRY_VOID(ensure_directory(fs, path, root_));
  for (const Folder which : kFolders) {
    const std::string top = folder(which);
    POSTRIDER_TRY_VOID(ensure_directory(fs, top, root_));
    // The shards' names are synced together: none is used before create() returns.
    for (const char letter : kShards)
      POSTRIDER_TRY_VOID(ensure_directory(fs, top + "/" + letter, ""));
    POSTRIDER_TRY_VOID(fs.sync_directory(top));
  }
  return {};
}

std::uint32_t parse_segment_name(std::string_view name) {
  if (name.size() != 12 || name.substr(8) != ".seg") return 0;
  std::uint32_t number = 0;
  for (const char c : name.substr(0, 8)) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return number;
}

Result<Fd> lock_queue(FileSystem& fs, const Layout& layout) {
  POSTRIDER_TRY(Fd fd, fs.open(layout.lock(), O_RDWR | O_CREAT, 0600));
  POSTRIDER_TRY(const bool locked, fs.try_lock(fd.get()));
  if (!locked) return Error(ErrorKind::busy, layout.root() + " is in use by another qmgr");
  return fd;
}

Result<std::uint64_t> load_pool_identity(FileSystem& fs, const Layout& layout) {
  auto existing = fs.open(layout.pool(), O_RDONLY);
  if (existing) {
    POSTRIDER_TRY(const std::string bytes, fs.pread(existing->get(), kPoolFile, 0));
    const ByteView view = bytes;
    if (view.size() != kPoolFile || view.substr(0, 4) != "PRpl" ||
        crc32c(view.substr(0, 16)) != get_le<std::uint32_t>(view.substr(16)))
      return Error(ErrorKind::config, layout.pool() + " is damaged; it is the identity of this " +
                                          "queue: restore it, or see doc/queue.md");
    return get_le<std::uint64_t>(view.substr(8));
  }
  if (existing.error().kind() != ErrorKind::not_found) return existing.error();

  std::string bytes = "PRpl";
  put_le<std::uint32_t>(bytes, 1);
  const std::uint64_t pool = secure_random() | 1;
  put_le<std::uint64_t>(bytes, pool);
  put_le<std::uint32_t>(bytes, crc32c(bytes));
  const std::string temporary = layout.pool() + ".tmp";
  POSTRIDER_TRY(Fd fd, fs.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  POSTRIDER_TRY_VOID(fs.pwrite(fd.get(), bytes, 0));
  POSTRIDER_TRY_VOID(fs.fsync(fd.get()));
  POSTRIDER_TRY_VOID(fs.close(std::move(fd)));
  POSTRIDER_TRY_VOID(fs.rename(temporary, layout.pool()));
  POSTRIDER_TRY_VOID(fs.sync_directory(layout.journal()));
  return pool;
}

Result<void> check_regular(const FileStat& stat, std::string_view path, bool allow_two_links) {
  const auto odd = [&](std::string_view what) {
    return Error(ErrorKind::refused, std::string(path) + " " + std::string(what));
  };
  if (!S_ISREG(stat.mode)) return odd("is not a regular file");
  if (stat.uid != ::geteuid()) return odd("belongs to another user");
  if ((stat.mode & 022) != 0) return odd("is writable by others");
  if (stat.links > (allow_two_links ? 2 : 1)) return odd("has further links");
  return {};
}

} // namespace postrider::queue
