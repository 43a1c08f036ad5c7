// SPDX-License-Identifier: MIT
#include "wire.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace postrider::evil {

namespace {
constexpr std::size_t kMostDescriptors = 253;
constexpr int kPatience = 300; // milliseconds, for a peer that does not read
} // namespace

std::string header(std::uint32_t length, std::uint16_t type, std::uint8_t version,
                   std::uint8_t descriptors) {
  std::string out;
  put_le(out, length);
  put_le(out, type);
  out.push_back(static_cast<char>(version));
  out.push_back(static_cast<char>(descriptors));
  return out;
}

std::string frame(std::uint16_t type, ByteView body, std::uint8_t descriptors) {
  return header(static_cast<std::uint32_t>(body.size()), type, 1, descriptors) + std::string(body);
}

Result<Wire> Wire::connect(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket", errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno("connect", errno);
  return Wire(std::move(fd));
}

bool Wire::raw(ByteView bytes, const std::vector<int>& descriptors) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    iovec piece{.iov_base = const_cast<char*>(bytes.data()) + sent, .iov_len = bytes.size() - sent};
    alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (sent == 0 && !descriptors.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
      cmsghdr* part = CMSG_FIRSTHDR(&message);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size() * sizeof(int));
    }
    const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
      continue;
    }
    if (errno != EAGAIN) {
      closed_ = true;
      return false;
    }
    pollfd wait{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&wait, 1, kPatience) == 0) return true;
  }
  return true;
}

bool Wire::fill(int milliseconds) {
  pollfd wait{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, milliseconds) <= 0) return false;
  char bytes[65536];
  iovec piece{.iov_base = bytes, .iov_len = sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n <= 0) {
    closed_ = true;
    return false;
  }
  in_.append(bytes, static_cast<std::size_t>(n));
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof number);
      fds_.emplace_back(number);
    }
  }
  return true;
}

std::optional<Heard> Wire::hear(int milliseconds) {
  while (true) {
    if (in_.size() >= 8) {
      const std::size_t length = get_le<std::uint32_t>(in_);
      if (in_.size() - 8 >= length) {
        Heard out;
        out.type = get_le<std::uint16_t>(ByteView(in_).substr(4));
        out.body = in_.substr(8, length);
        const auto count = std::min<std::size_t>(static_cast<unsigned char>(in_[7]), fds_.size());
        for (std::size_t i = 0; i < count; ++i)
          out.fds.push_back(std::move(fds_[i]));
        fds_.erase(fds_.begin(), fds_.begin() + static_cast<std::ptrdiff_t>(count));
        in_.erase(0, 8 + length);
        return out;
      }
    }
    if (!fill(milliseconds)) return {};
  }
}

bool Wire::wait_closed(int milliseconds) {
  while (!closed_ && fill(milliseconds))
    in_.clear();
  return closed_;
}

} // namespace postrider::evil
