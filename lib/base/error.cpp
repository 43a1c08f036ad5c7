// SPDX-License-Identifier: MIT
#include "base/error.hpp"

#include <cerrno>
#include <cstring>

namespace postrider {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::timeout: return "timeout";
  case ErrorKind::closed: return "closed";
  case ErrorKind::refused: return "refused";
  case ErrorKind::protocol: return "protocol";
  case ErrorKind::limit: return "limit";
  case ErrorKind::cancelled: return "cancelled";
  case ErrorKind::busy: return "busy";
  case ErrorKind::io: return "io";
  case ErrorKind::not_found: return "not_found";
  case ErrorKind::config: return "config";
  }
  return "unknown";
}

namespace {

ErrorKind kind_of(int saved_errno) {
  switch (saved_errno) {
  case ETIMEDOUT: return ErrorKind::timeout;
  case ECONNREFUSED:
  case EACCES:
  case EPERM: return ErrorKind::refused;
  case EPIPE:
  case ECONNRESET: return ErrorKind::closed;
  case ENOENT: return ErrorKind::not_found;
  default: return ErrorKind::io;
  }
}

} // namespace

Error Error::from_errno(std::string_view what, int saved_errno) {
  char buffer[128];
  const char* reason = strerror_r(saved_errno, buffer, sizeof buffer);
  return {kind_of(saved_errno), std::string(what) + ": " + reason, saved_errno};
}

Error Error::in(std::string_view what) const {
  return {kind_, std::string(what) + ": " + text_, errno_};
}

} // namespace postrider
