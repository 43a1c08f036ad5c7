// SPDX-License-Identifier: MIT
// Channel: typed frames, with descriptors where stated, over a UNIX stream socket between two of
// our processes. The other end is not trusted: every frame is bounded, malformed input ends the
// channel with an Error and nothing else, and what waits to be sent is bounded too.
//
//   frame = body-length(4) type(2) version(1) descriptor-count(1) body        little-endian
//   body  = named fields (base/fields.hpp)
//
// Messages are structs with `static constexpr std::uint16_t kType` and a fields() function; one
// that carries descriptors says how many: `static constexpr std::size_t kDescriptors = 1`. Sent
// frames are gathered and written once per turn of the loop. The accepting side opens with Hello,
// which names protocol and version, so that wrong wiring is said aloud.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <sys/socket.h>
#include <sys/types.h>
#include <vector>

#include "base/fields.hpp"
#include "ev/condition.hpp"
#include "ev/task.hpp"

namespace postrider::ipc {

struct Limits {
  std::size_t frame = 4 * 1024 * 1024;   // largest body accepted
  std::size_t unsent = 64 * 1024 * 1024; // bytes that may wait for a slow peer
  std::size_t descriptors = 16;          // received and not yet claimed by a frame
  // From the first byte of a frame to its last, however slowly they come.
  Duration frame_time = std::chrono::seconds(60);
};

struct Frame {
  std::uint16_t type = 0;
  ByteView body; // valid until the next receive
  std::vector<Fd> fds;
  Frame() {}
};

struct Credentials {
  pid_t pid = 0;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};
Credentials peer_credentials(int fd); // SO_PEERCRED

// For a socket that is to be connected to one on which master listens and somebody else answers:
// the kernel then says with every piece who wrote it, and Channel::peer() is that process from its
// first frame on. A piece from another process ends the channel.
Result<void> ask_for_senders(int fd); // SO_PASSCRED

// What came as a permission: a regular file, opened with `access` (O_RDONLY, O_WRONLY) and no more.
// Error protocol otherwise.
Result<void> check_file(const Fd& fd, int access);

class Channel {
 public:
  // REQUIRES: fd is a connected, non-blocking UNIX stream socket.
  Channel(ev::Loop& loop, Fd fd, Limits limits = {});
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Never waits. Errors (peer gone, too much unsent) end the channel: receive() then reports them.
  template <typename Message>
  void send(const Message& message) {
    send(message, std::vector<Fd>());
  }
  template <typename Message>
  void send(const Message& message, Fd fd) {
    std::vector<Fd> fds;
    fds.push_back(std::move(fd));
    send(message, std::move(fds));
  }
  template <typename Message>
  void send(const Message& message, std::vector<Fd> fds) {
    const std::size_t at = begin_frame(Message::kType, fds.size());
    encode_to(out_, message);
    end_frame(at, std::move(fds));
  }
  // Writes what was gathered, as far as the kernel takes it. Also done once per turn of the loop.
  void flush();

  // WAITS for the next frame. Not for two tasks at once. Error closed when the peer has closed,
  // protocol when it sent what is not a frame, or began one and did not end it in time.
  ev::Task<Result<Frame>> receive(ev::Deadline deadline);
  // A frame that has been received completely already.
  bool has_frame() const;

  // WAITS until everything is written.
  ev::Task<Result<void>> wait_sent(ev::Deadline deadline);
  std::size_t unsent() const { return out_.size() - sent_; }

  // Ends the channel: receive() of the other task returns Error closed.
  void close();
  bool open() const { return !failed_; }
  const Credentials& peer() const { return peer_; }
  int fd() const { return fd_.get(); }

 private:
  struct Attached {
    std::size_t at; // offset in out_ of the frame that carries them
    std::vector<Fd> fds;
  };
  std::size_t begin_frame(std::uint16_t type, std::size_t fds);
  void end_frame(std::size_t at, std::vector<Fd> fds);
  Result<bool> receive_now(); // false: nothing there
  Result<bool> parse(Frame& frame);
  Result<void> take_control(msghdr& message);
  void fail(Error error);

  ev::Loop& loop_;
  Fd fd_;
  Limits limits_;
  Credentials peer_;
  std::unique_ptr<ev::FdWatch> watch_;
  ev::Condition changed_;
  std::size_t hook_;
  std::string out_;
  std::size_t sent_ = 0;
  std::deque<Attached> attached_;
  std::string in_;
  std::size_t in_start_ = 0;
  std::size_t in_taken_ = 0; // bytes of the frame last handed out
  std::deque<Fd> fds_in_;
  std::optional<Error> failed_;
  bool flushing_blocked_ = false;
  bool sender_known_ = false;
  std::optional<SteadyTime> frame_began_; // its first byte is here, its last one is not
};

struct Hello {
  static constexpr std::uint16_t kType = 1;
  std::string protocol;
  std::uint32_t version = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("protocol", s.protocol);
    v("version", s.version);
  }
};

// WAITS for the accepting side's Hello. Error refused when it speaks something else or another
// version, as after an upgrade: nobody misbehaves, but one of the two has to be restarted.
ev::Task<Result<void>> expect_hello(Channel& channel, std::string_view protocol,
                                    std::uint32_t version, ev::Deadline deadline);

template <typename Message>
constexpr std::size_t descriptors_of() {
  if constexpr (requires { Message::kDescriptors; }) return Message::kDescriptors;
  return 0;
}

// Decodes a frame that must be a Message, with the descriptors that belong to it. Error protocol
// otherwise; what came with it is closed with the frame.
template <typename Message>
Result<Message> as(const Frame& frame) {
  if (frame.type != Message::kType)
    return Error(ErrorKind::protocol, "unexpected frame type " + std::to_string(frame.type));
  if (frame.fds.size() != descriptors_of<Message>())
    return Error(ErrorKind::protocol, "frame of type " + std::to_string(frame.type) + " with " +
                                          std::to_string(frame.fds.size()) + " descriptors");
  return decode<Message>(frame.body);
}

} // namespace postrider::ipc
