// SPDX-License-Identifier: MIT
#include "base/text_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.hpp"

namespace postrider {

namespace {

FileStamp to_stamp(const struct stat& st) {
  constexpr std::int64_t kNanos = 1'000'000'000;
  return {.device = st.st_dev,
          .inode = st.st_ino,
          .size = static_cast<std::uint64_t>(st.st_size),
          .mtime_nanos = st.st_mtim.tv_sec * kNanos + st.st_mtim.tv_nsec,
          .ctime_nanos = st.st_ctim.tv_sec * kNanos + st.st_ctim.tv_nsec};
}

Result<void> refuse_if_open_to_all(const std::string& path, const struct stat& file) {
  if ((file.st_mode & S_IWOTH) != 0)
    return Error(ErrorKind::refused, path + ": everybody on this host may write to it; chmod o-w");
  const std::size_t slash = path.rfind('/');
  const std::string directory =
      slash == std::string::npos ? "." : (slash == 0 ? "/" : path.substr(0, slash));
  struct stat st {};
  if (::stat(directory.c_str(), &st) != 0) return Error::from_errno(directory, errno);
  if ((st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0)
    return Error(ErrorKind::refused,
                 directory + ": everybody on this host may replace files in it; chmod o-w");
  return {};
}

} // namespace

Result<TextFile> read_text_file(const std::string& path, std::size_t limit) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return Error::from_errno(path, errno);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return Error::from_errno(path, errno);
  if (!S_ISREG(st.st_mode)) return Error(ErrorKind::refused, path + ": not a regular file");
  POSTRIDER_TRY_VOID(refuse_if_open_to_all(path, st));
  if (static_cast<std::uint64_t>(st.st_size) > limit)
    return Error(ErrorKind::limit, path + ": larger than " + std::to_string(limit) + " bytes");
  TextFile file{.text = {}, .stamp = to_stamp(st)};
  file.text.reserve(static_cast<std::size_t>(st.st_size));
  char buffer[65536];
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(path, errno);
    if (got == 0) break;
    if (file.text.size() + static_cast<std::size_t>(got) > limit)
      return Error(ErrorKind::limit, path + ": larger than " + std::to_string(limit) + " bytes");
    file.text.append(buffer, static_cast<std::size_t>(got));
  }
  return file;
}

Result<FileStamp> stamp_of(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return Error::from_errno(path, errno);
  return to_stamp(st);
}

} // namespace postrider
