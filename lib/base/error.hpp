// SPDX-License-Identifier: MIT
// What can go wrong for an outside reason, as a value. An Error says which kind of trouble it is
// (callers decide by kind), keeps errno where there was one, and carries a short text for the log.
#pragma once

#include <string>
#include <string_view>

namespace postrider {

enum class ErrorKind {
  timeout,   // a deadline passed
  closed,    // the other side ended the connection
  refused,   // the other side, or the system, said no
  protocol,  // bytes that the protocol does not allow
  limit,     // more than was agreed: size, count, memory
  cancelled, // the waiting task was told to stop
  busy,      // no room now, later perhaps
  io,        // the operating system failed a call
  not_found,
  config, // what the administrator wrote cannot be used
};

std::string_view to_string(ErrorKind kind);

class [[nodiscard]] Error {
 public:
  Error(ErrorKind kind, std::string text, int saved_errno = 0)
      : kind_(kind), errno_(saved_errno), text_(std::move(text)) {}

  // "what: strerror(errno)". The kind follows from errno (ETIMEDOUT: timeout, ECONNREFUSED:
  // refused, EPIPE and ECONNRESET: closed, ENOENT: not_found, everything else: io).
  static Error from_errno(std::string_view what, int saved_errno);

  ErrorKind kind() const { return kind_; }
  int saved_errno() const { return errno_; }
  const std::string& text() const { return text_; }
  // The same error with "what: " in front of the text.
  Error in(std::string_view what) const;

 private:
  ErrorKind kind_;
  int errno_;
  std::string text_;
};

} // namespace postrider
