// SPDX-License-Identifier: MIT
#include "ipc/channel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace postrider::ipc {

namespace {
constexpr std::size_t kHeader = 8;
constexpr char kVersion = 1;
constexpr std::size_t kMostFdsPerFrame = 8;
constexpr std::size_t kChunk = 128 * 1024;
constexpr std::size_t kFlushAt = 64 * 1024;
} // namespace

Credentials peer_credentials(int fd) {
  ucred cred{};
  socklen_t length = sizeof cred;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) != 0) return {};
  return {.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
}

Result<void> ask_for_senders(int fd) {
  const int yes = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
    return Error::from_errno("setsockopt(SO_PASSCRED)", errno);
  return {};
}

Result<void> check_file(const Fd& fd, int access) {
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode))
    return Error(ErrorKind::protocol, "a descriptor that is no file");
  if ((::fcntl(fd.get(), F_GETFL) & O_ACCMODE) != access)
    return Error(ErrorKind::protocol, "a descriptor with other rights than are due");
  return {};
}

Channel::Channel(ev::Loop& loop, Fd fd, Limits limits)
    : loop_(loop), fd_(std::move(fd)), limits_(limits), peer_(peer_credentials(fd_.get())),
      changed_(loop) {
  watch_ = std::make_unique<ev::FdWatch>(
      loop_, fd_.get(),
      [](void* self, bool, bool writable) {
        auto* channel = static_cast<Channel*>(self);
        if (writable) {
          channel->flushing_blocked_ = false;
          channel->flush();
        }
        channel->changed_.notify_all();
      },
      this);
  hook_ = loop_.add_turn_hook([this] { flush(); });
}

Channel::~Channel() {
  if (open()) flush();
  loop_.remove_turn_hook(hook_);
  watch_.reset();
}

void Channel::fail(Error error) {
  if (failed_) return;
  failed_.emplace(std::move(error));
  attached_.clear();
  out_.clear();
  sent_ = 0;
  changed_.notify_all();
}

void Channel::close() {
  flush();
  fail(Error(ErrorKind::closed, "channel closed"));
  ::shutdown(fd_.get(), SHUT_RDWR);
}

std::size_t Channel::begin_frame(std::uint16_t type, std::size_t fds) {
  POSTRIDER_CHECK(fds <= kMostFdsPerFrame);
  const std::size_t at = out_.size();
  put_le<std::uint32_t>(out_, 0);
  put_le<std::uint16_t>(out_, type);
  out_.push_back(kVersion);
  out_.push_back(static_cast<char>(fds));
  return at;
}

void Channel::end_frame(std::size_t at, std::vector<Fd> fds) {
  if (failed_) {
    out_.clear();
    return;
  }
  const auto length = static_cast<std::uint32_t>(out_.size() - at - kHeader);
  for (std::size_t i = 0; i < 4; ++i)
    out_[at + i] = static_cast<char>(length >> (8 * i));
  if (!fds.empty()) attached_.push_back({at, std::move(fds)});
  if (unsent() > limits_.unsent)
    fail(
        Error(ErrorKind::limit, "peer does not read: " + std::to_string(unsent()) + " bytes wait"));
  else if (unsent() >= kFlushAt)
    flush();
}

void Channel::flush() {
  if (failed_ || flushing_blocked_) return;
  while (sent_ < out_.size()) {
    // Descriptors travel with the first byte of their frame, so a write ends where one begins.
    std::size_t end = out_.size();
    std::vector<int> raw;
    if (!attached_.empty() && attached_.front().at == sent_) {
      for (const Fd& fd : attached_.front().fds)
        raw.push_back(fd.get());
      if (attached_.size() > 1) end = attached_[1].at;
    } else if (!attached_.empty()) {
      end = attached_.front().at;
    }
    iovec piece{.iov_base = out_.data() + sent_, .iov_len = end - sent_};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(kMostFdsPerFrame * sizeof(int))];
    if (!raw.empty()) {
      std::memset(control, 0, sizeof control);
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(raw.size() * sizeof(int));
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(raw.size() * sizeof(int));
      std::memcpy(CMSG_DATA(header), raw.data(), raw.size() * sizeof(int));
    }
    const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      flushing_blocked_ = true;
      break;
    }
    if (n < 0) {
      // What the peer sent before it went is still worth reading; receive() will see the end.
      fail(Error::from_errno("send to peer", errno));
      return;
    }
    if (!raw.empty()) attached_.pop_front();
    sent_ += static_cast<std::size_t>(n);
  }
  if (sent_ == out_.size()) {
    const bool had = sent_ > 0;
    out_.clear();
    sent_ = 0;
    if (out_.capacity() > 4 * kFlushAt) std::string().swap(out_);
    if (had && changed_.has_waiters()) changed_.notify_all();
  } else if (sent_ > 1024 * 1024) {
    out_.erase(0, sent_);
    for (Attached& a : attached_)
      a.at -= sent_;
    sent_ = 0;
  }
}

bool Channel::has_frame() const {
  const ByteView have = ByteView(in_).substr(in_start_ + in_taken_);
  return have.size() >= kHeader && have.size() - kHeader >= get_le<std::uint32_t>(have);
}

Result<bool> Channel::receive_now() {
  if (in_start_ == in_.size()) {
    in_.clear();
    in_start_ = 0;
  } else if (in_start_ > kChunk) {
    in_.erase(0, in_start_);
    in_start_ = 0;
  }
  // Shared by the channels of a loop: making room in in_ first would clear it, every time.
  static thread_local char chunk[kChunk];
  while (true) {
    iovec piece{.iov_base = chunk, .iov_len = kChunk};
    alignas(cmsghdr) char
        control[CMSG_SPACE(kMostFdsPerFrame * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const int saved_errno = errno;
    if (n > 0) in_.append(chunk, static_cast<std::size_t>(n));
    if (n < 0) {
      if (saved_errno == EINTR) continue;
      if (saved_errno == EAGAIN || saved_errno == EWOULDBLOCK) return false;
      return Error::from_errno("receive", saved_errno);
    }
    POSTRIDER_TRY_VOID(take_control(message));
    if (fds_in_.size() > limits_.descriptors)
      return Error(ErrorKind::protocol, "peer sent descriptors that no frame announces");
    if (n == 0) return Error(ErrorKind::closed, "peer closed the channel");
    return true;
  }
}

// Descriptors, all of them taken over before anything is found wrong; and who sent them.
Result<void> Channel::take_control(msghdr& message) {
  std::size_t most = 0;
  std::optional<ucred> sender;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS)
      std::memcpy(&sender.emplace(), CMSG_DATA(header), sizeof(ucred));
    if (header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    most = std::max(most, count);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds_in_.emplace_back(fd);
    }
  }
  if (sender && sender->pid != 0) {
    if (sender_known_ && sender->pid != peer_.pid)
      return Error(ErrorKind::protocol, "another process speaks than before");
    sender_known_ = true;
    peer_ = {.pid = sender->pid, .uid = sender->uid, .gid = sender->gid};
  }
  if ((message.msg_flags & MSG_CTRUNC) == 0) return {};
  if (most >= kMostFdsPerFrame)
    return Error(ErrorKind::protocol, "peer sent more descriptors than a frame can have");
  return Error(ErrorKind::io, "descriptors of a frame were lost (too many open files)");
}

Result<bool> Channel::parse(Frame& frame) {
  const ByteView have = ByteView(in_).substr(in_start_);
  if (have.size() < kHeader) return false;
  const std::size_t length = get_le<std::uint32_t>(have);
  if (length > limits_.frame)
    return Error(ErrorKind::protocol, "frame of " + std::to_string(length) + " bytes");
  if (have[6] != kVersion)
    return Error(ErrorKind::protocol, "frame version " +
                                          std::to_string(static_cast<unsigned char>(have[6])) +
                                          "; are all programs of one release?");
  const auto count = static_cast<unsigned char>(have[7]);
  if (count > kMostFdsPerFrame) return Error(ErrorKind::protocol, "too many descriptors");
  if (have.size() - kHeader < length) return false;
  if (fds_in_.size() < count) return Error(ErrorKind::protocol, "a frame lacks its descriptors");
  frame.type = get_le<std::uint16_t>(have.substr(4));
  frame.body = have.substr(kHeader, length);
  frame.fds.clear();
  for (unsigned i = 0; i < count; ++i) {
    frame.fds.push_back(std::move(fds_in_.front()));
    fds_in_.pop_front();
  }
  in_taken_ = kHeader + length;
  return true;
}

ev::Task<Result<Frame>> Channel::receive(ev::Deadline deadline) {
  in_start_ += in_taken_;
  in_taken_ = 0;
  while (true) {
    Frame frame;
    Result<bool> parsed = parse(frame);
    if (!parsed) {
      fail(parsed.error());
      co_return parsed.error();
    }
    if (*parsed) {
      frame_began_.reset();
      co_return std::move(frame);
    }
    Result<bool> received = receive_now();
    if (!received) {
      fail(received.error());
      co_return received.error();
    }
    if (*received) continue;
    if (failed_) co_return *failed_;
    if (in_start_ == in_.size())
      frame_began_.reset();
    else if (!frame_began_)
      frame_began_ = loop_.now();
    const ev::Deadline whole =
        frame_began_ ? ev::Deadline::at(*frame_began_ + limits_.frame_time) : deadline;
    Result<void> woken = co_await changed_.wait(deadline.earlier(whole), "a frame");
    if (woken) continue;
    if (frame_began_ && loop_.now() >= *frame_began_ + limits_.frame_time) {
      fail(Error(ErrorKind::protocol, "a frame was begun and not ended in time"));
      co_return *failed_;
    }
    co_return woken.error();
  }
}

ev::Task<Result<void>> Channel::wait_sent(ev::Deadline deadline) {
  flush();
  while (unsent() > 0) {
    if (failed_) co_return *failed_;
    Result<void> woken = co_await changed_.wait(deadline, "room to send");
    if (!woken) co_return woken.error();
  }
  if (failed_) co_return *failed_;
  co_return Result<void>();
}

ev::Task<Result<void>> expect_hello(Channel& channel, std::string_view protocol,
                                    std::uint32_t version, ev::Deadline deadline) {
  Result<Frame> frame = co_await channel.receive(deadline);
  if (!frame) co_return frame.error();
  Result<Hello> hello = as<Hello>(*frame);
  if (!hello) co_return hello.error();
  if (hello->protocol != protocol)
    co_return Error(ErrorKind::refused, "the other program speaks \"" +
                                            hello->protocol.substr(0, 32) + "\" instead of \"" +
                                            std::string(protocol) + "\": look at master.cf");
  if (hello->version != version)
    co_return Error(ErrorKind::refused, "the other program is of another release (" +
                                            std::string(protocol) + " " +
                                            std::to_string(hello->version) + ", here " +
                                            std::to_string(version) + "): restart Postrider");
  co_return Result<void>();
}

} // namespace postrider::ipc
