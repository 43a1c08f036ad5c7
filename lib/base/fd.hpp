// SPDX-License-Identifier: MIT
// An owned file descriptor.
#pragma once

#include <utility>

#include "base/result.hpp"

namespace postrider {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();                 // closes; the result of close is lost
  Result<void> close();         // closes; the result of close is reported
  Result<Fd> duplicate() const; // close-on-exec

 private:
  int fd_ = -1;
};

Result<void> set_nonblocking(int fd);
Result<void> set_close_on_exec(int fd, bool on);

} // namespace postrider
