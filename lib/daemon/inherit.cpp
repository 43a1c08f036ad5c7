// SPDX-License-Identifier: MIT
#include "daemon/inherit.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/ascii.hpp"
#include "proto/child_status.hpp"

namespace postrider::daemon {

namespace {

Result<Fd> take(int number, std::string_view what) {
  if (::fcntl(number, F_GETFD) < 0)
    return Error(ErrorKind::config, "master gave no " + std::string(what) + " descriptor");
  Fd fd(number);
  POSTRIDER_TRY_VOID(set_close_on_exec(number, true));
  return fd;
}

} // namespace

Result<Inherited> take_inherited() {
  Inherited out;
  const char* generation = std::getenv(proto::kGenerationVariable);
  const char* listeners = std::getenv(proto::kListenersVariable);
  if (generation == nullptr || listeners == nullptr) return out;
  const auto generation_number = parse_decimal(generation);
  const auto count = parse_decimal(listeners);
  if (!generation_number || *generation_number > UINT32_MAX || !count ||
      *count > proto::kMostListeners)
    return Error(ErrorKind::config, "malformed environment from master");
  out.from_master = true;
  out.generation = static_cast<std::uint32_t>(*generation_number);
  POSTRIDER_TRY(out.status, take(proto::kStatusFd, "status"));
  POSTRIDER_TRY(out.lifeline, take(proto::kLifelineFd, "lifeline"));
  POSTRIDER_TRY(out.log, take(proto::kLogFd, "log"));
  POSTRIDER_TRY_VOID(set_nonblocking(out.status.get()));
  POSTRIDER_TRY_VOID(set_nonblocking(out.lifeline.get()));
  for (std::uint64_t i = 0; i < *count; ++i) {
    const int number = proto::kFirstListenerFd + static_cast<int>(i);
    POSTRIDER_TRY(Fd listener, take(number, "listening"));
    int accepts = 0;
    socklen_t size = sizeof accepts;
    if (::getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) != 0 || accepts == 0)
      return Error(ErrorKind::config, "a descriptor from master is no listening socket");
    out.listeners.push_back(std::move(listener));
  }
  ::unsetenv(proto::kGenerationVariable);
  ::unsetenv(proto::kListenersVariable);
  return out;
}

} // namespace postrider::daemon
