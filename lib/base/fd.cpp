// SPDX-License-Identifier: MIT
#include "base/fd.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace postrider {

void Fd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<void> Fd::close() {
  if (fd_ >= 0 && ::close(std::exchange(fd_, -1)) != 0 && errno != EINTR)
    return Error::from_errno("close", errno);
  return {};
}

Result<Fd> Fd::duplicate() const {
  const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return Error::from_errno("dup", errno);
  return Fd(copy);
}

Result<void> set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return Error::from_errno("fcntl O_NONBLOCK", errno);
  return {};
}

Result<void> set_close_on_exec(int fd, bool on) {
  if (::fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) != 0)
    return Error::from_errno("fcntl FD_CLOEXEC", errno);
  return {};
}

} // namespace postrider
