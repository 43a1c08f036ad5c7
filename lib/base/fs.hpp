// SPDX-License-Identifier: MIT
// The file-system seam: everything lib/queue asks of the operating system goes through FileSystem,
// so that tests can fail the n-th call, record the calls, and forget what was not synced.
// All calls may block. Descriptors are plain numbers here so that a fake can follow them; owners
// wrap them in Fd. Short writes and EINTR are dealt with inside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/fd.hpp"

namespace postrider {

struct FileStat {
  std::uint64_t size = 0;
  std::uint64_t inode = 0;
  std::uint64_t links = 0;
  std::int64_t mtime_micros = 0;
  std::uint32_t mode = 0; // st_mode, type included
  std::uint32_t uid = 0;
};

struct SpaceLeft {
  std::uint64_t bytes = 0;  // for an unprivileged process
  std::uint64_t inodes = 0; // UINT64_MAX where the file system does not count them
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // flags as open(2); O_CLOEXEC and O_NOFOLLOW are always added.
  virtual Result<Fd> open(const std::string& path, int flags, std::uint32_t mode = 0600) = 0;
  virtual Result<void> preallocate(int fd, std::uint64_t size) = 0; // posix_fallocate(3)
  virtual Result<void> truncate(int fd, std::uint64_t size) = 0;
  virtual Result<void> pwrite(int fd, ByteView bytes, std::uint64_t offset) = 0; // all or error
  virtual Result<void> append(int fd, ByteView bytes) = 0;                       // O_APPEND
  // Up to `size` bytes; fewer only at end of file.
  virtual Result<std::string> pread(int fd, std::size_t size, std::uint64_t offset) = 0;
  virtual Result<void> fdatasync(int fd) = 0;
  virtual Result<void> fsync(int fd) = 0;
  // A hint before several syncs in a row: begin to write, wait for nothing, promise nothing.
  virtual void start_writeback(int) {}
  virtual Result<void> sync_directory(const std::string& path) = 0;
  virtual Result<void> close(Fd fd) = 0; // reports what close(2) says
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> link(const std::string& from, const std::string& to) = 0;
  virtual Result<void> unlink(const std::string& path) = 0;
  virtual Result<void> mkdir(const std::string& path, std::uint32_t mode = 0700) = 0;
  virtual Result<FileStat> stat(const std::string& path) = 0; // lstat(2)
  virtual Result<FileStat> stat(int fd) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0; // sorted
  // flock(2), exclusive: false when another open file has it. Lasts until every copy of the
  // descriptor is closed, in whatever process.
  virtual Result<bool> try_lock(int fd) = 0;
  virtual Result<SpaceLeft> space_left(const std::string& path) = 0;
};

FileSystem& real_file_system();

} // namespace postrider
