// SPDX-License-Identifier: MIT
#include "base/fs.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace postrider {

namespace {

FileStat to_file_stat(const struct stat& st) {
  return {.size = static_cast<std::uint64_t>(st.st_size),
          .inode = st.st_ino,
          .links = st.st_nlink,
          .mtime_micros = st.st_mtim.tv_sec * 1'000'000LL + st.st_mtim.tv_nsec / 1000,
          .mode = st.st_mode,
          .uid = st.st_uid};
}

Result<void> checked(int rc, std::string_view call, const std::string& path) {
  if (rc == 0) return {};
  return Error::from_errno(std::string(call) + " " + path, errno);
}

Result<void> checked_fd(int rc, std::string_view call) {
  if (rc == 0) return {};
  return Error::from_errno(call, errno);
}

template <typename Call>
int retry_eintr(Call call) {
  int rc;
  do
    rc = call();
  while (rc < 0 && errno == EINTR);
  return rc;
}

class RealFileSystem final : public FileSystem {
 public:
  Result<Fd> open(const std::string& path, int flags, std::uint32_t mode) override {
    const int fd =
        retry_eintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode); });
    if (fd < 0) return Error::from_errno("open " + path, errno);
    return Fd(fd);
  }

  Result<void> preallocate(int fd, std::uint64_t size) override {
    int rc;
    do
      rc = ::posix_fallocate(fd, 0, static_cast<off_t>(size));
    while (rc == EINTR);
    if (rc != 0) return Error::from_errno("fallocate", rc);
    return {};
  }

  Result<void> truncate(int fd, std::uint64_t size) override {
    return checked_fd(retry_eintr([&] { return ::ftruncate(fd, static_cast<off_t>(size)); }),
                      "ftruncate");
  }

  Result<void> pwrite(int fd, ByteView bytes, std::uint64_t offset) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Error::from_errno("pwrite", n < 0 ? errno : ENOSPC);
      bytes.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  Result<void> append(int fd, ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Error::from_errno("write", n < 0 ? errno : ENOSPC);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  Result<std::string> pread(int fd, std::size_t size, std::uint64_t offset) override {
    std::string out(size, '\0');
    std::size_t used = 0;
    while (used < size) {
      const ssize_t n =
          ::pread(fd, out.data() + used, size - used, static_cast<off_t>(offset + used));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Error::from_errno("pread", errno);
      if (n == 0) break;
      used += static_cast<std::size_t>(n);
    }
    out.resize(used);
    return out;
  }

  Result<void> fdatasync(int fd) override { return checked_fd(::fdatasync(fd), "fdatasync"); }
  Result<void> fsync(int fd) override { return checked_fd(::fsync(fd), "fsync"); }
  void start_writeback(int fd) override {
    (void)!::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  }

  Result<void> sync_directory(const std::string& path) override {
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return Error::from_errno("open " + path, errno);
    return checked(::fsync(fd.get()), "fsync", path);
  }

  Result<void> close(Fd fd) override { return fd.close(); }

  Result<void> rename(const std::string& from, const std::string& to) override {
    return checked(::rename(from.c_str(), to.c_str()), "rename " + from + " to", to);
  }
  Result<void> link(const std::string& from, const std::string& to) override {
    return checked(::link(from.c_str(), to.c_str()), "link " + from + " to", to);
  }
  Result<void> unlink(const std::string& path) override {
    return checked(::unlink(path.c_str()), "unlink", path);
  }
  Result<void> mkdir(const std::string& path, std::uint32_t mode) override {
    return checked(::mkdir(path.c_str(), mode), "mkdir", path);
  }

  Result<FileStat> stat(const std::string& path) override {
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) return Error::from_errno("stat " + path, errno);
    return to_file_stat(st);
  }
  Result<FileStat> stat(int fd) override {
    struct stat st {};
    if (::fstat(fd, &st) != 0) return Error::from_errno("fstat", errno);
    return to_file_stat(st);
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    DIR* dir = ::opendir(directory.c_str());
    if (!dir) return Error::from_errno("opendir " + directory, errno);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<bool> try_lock(int fd) override {
    if (retry_eintr([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    return Error::from_errno("flock", errno);
  }

  Result<SpaceLeft> space_left(const std::string& path) override {
    struct statvfs st {};
    if (::statvfs(path.c_str(), &st) != 0) return Error::from_errno("statvfs " + path, errno);
    return SpaceLeft{.bytes = static_cast<std::uint64_t>(st.f_bavail) * st.f_frsize,
                     .inodes = st.f_files == 0 ? UINT64_MAX : st.f_favail};
  }
};

} // namespace

FileSystem& real_file_system() {
  static RealFileSystem instance;
  return instance;
}

} // namespace postrider
