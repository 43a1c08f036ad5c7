// SPDX-License-Identifier: MIT
#include "milter/spool.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace postrider::milter {

namespace {

// In a chroot there may be no /var/tmp: then memory that the system may swap.
Result<Fd> nameless_file() {
  int fd = ::open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) fd = ::memfd_create("content", MFD_CLOEXEC);
  if (fd < 0) return Error::from_errno("a temporary file", errno);
  return Fd(fd);
}

} // namespace

Result<void> Spool::append(ByteView bytes) {
  memory_.append(bytes);
  if (memory_.size() <= kInMemory) return {};
  return flush();
}

Result<void> Spool::flush() {
  if (!file_) {
    POSTRIDER_TRY(file_, nameless_file());
  }
  std::size_t done = 0;
  while (done < memory_.size()) {
    const ssize_t n = ::pwrite(file_.get(), memory_.data() + done, memory_.size() - done,
                               static_cast<off_t>(written_ + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno("write to a temporary file", errno);
    done += static_cast<std::size_t>(n);
  }
  written_ += done;
  memory_.clear();
  return {};
}

Result<ByteView> Spool::read(std::uint64_t offset, std::size_t most) {
  if (offset >= written_) {
    const std::uint64_t at = std::min<std::uint64_t>(offset - written_, memory_.size());
    return ByteView(memory_).substr(at, most);
  }
  piece_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(most, written_ - offset)));
  std::size_t done = 0;
  while (done < piece_.size()) {
    const ssize_t n = ::pread(file_.get(), piece_.data() + done, piece_.size() - done,
                              static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno("read from a temporary file", errno);
    if (n == 0) return Error(ErrorKind::io, "a temporary file has become shorter");
    done += static_cast<std::size_t>(n);
  }
  return ByteView(piece_);
}

} // namespace postrider::milter
