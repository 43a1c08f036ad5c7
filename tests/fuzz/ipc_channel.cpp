// SPDX-License-Identifier: MIT
// Frames out of a socket: whatever the other process writes, and however it is cut, the channel
// gives out the same whole frames and then an Error.
#include <cstring>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/target.hpp"
#include "ipc/channel.hpp"
#include "net/tcp_stream.hpp"
#include "support/run_task.hpp"

namespace {
using namespace postrider;

struct Got {
  std::string frames;
  ErrorKind end = ErrorKind::io;
  bool operator==(const Got&) const = default;
};

ev::Task<Got> receive_all(ipc::Channel& channel) {
  Got got;
  while (true) {
    Result<ipc::Frame> frame = co_await channel.receive(ev::Deadline::never());
    if (!frame) {
      got.end = frame.error().kind();
      co_return got;
    }
    got.frames += std::to_string(frame->type) + ":" + std::string(frame->body) + "\n";
    POSTRIDER_CHECK(frame->fds.empty(), "nobody sent descriptors");
    (void)ipc::as<ipc::Hello>(*frame);
  }
}

bool send_with(int to, ByteView bytes, int fd, std::size_t count) {
  iovec piece{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
  }
  return ::sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

ev::Task<bool> look_at_descriptors(ipc::Channel& channel) {
  while (true) {
    Result<ipc::Frame> frame = co_await channel.receive(ev::Deadline::never());
    if (!frame) co_return true;
    for (const Fd& fd : frame->fds)
      POSTRIDER_CHECK(ipc::check_file(fd, O_RDWR) && !ipc::check_file(fd, O_RDONLY));
  }
}

Got run(const std::vector<std::string>& pieces) {
  static ev::Loop loop;
  auto fds = net::socket_pair();
  POSTRIDER_CHECK(fds.ok());
  Fd writer = std::move(fds->first);
  ipc::Limits limits;
  limits.frame = 4096;
  ipc::Channel channel(loop, std::move(fds->second), limits);
  for (const std::string& piece : pieces) {
    if (::send(writer.get(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) break;
    loop.turn(false);
    (void)channel.has_frame();
  }
  writer.reset();
  return test::run_task<Got>(loop, [&] { return receive_all(channel); });
}

// The same with descriptors that nobody asked for: as many to each piece as its first byte says.
// All of them are closed in the end.
void bring_descriptors(const std::vector<std::string>& pieces) {
  static ev::Loop loop;
  static const Fd file(::memfd_create("file", MFD_CLOEXEC));
  const auto lowest_free = [&] { return Fd(::dup(file.get())).get(); };
  const int before = lowest_free();
  {
    auto fds = net::socket_pair();
    POSTRIDER_CHECK(fds && ipc::ask_for_senders(fds->second.get()));
    ipc::Limits limits;
    limits.frame = 4096;
    ipc::Channel channel(loop, std::move(fds->second), limits);
    for (std::string piece : pieces) {
      if (piece.empty()) continue;
      const auto count = static_cast<unsigned char>(piece.front()) % 16U;
      piece.erase(0, 1);
      if (!piece.empty() && !send_with(fds->first.get(), piece, file.get(), count)) break;
      loop.turn(false);
    }
    fds->first.reset();
    (void)test::run_task<bool>(loop, [&] { return look_at_descriptors(channel); });
    POSTRIDER_CHECK(!channel.open());
  }
  POSTRIDER_CHECK(lowest_free() == before, "a descriptor stays open");
}

// A peer that stops talking, in a frame or between two.
void stall(const std::string& bytes) {
  static ev::Loop loop;
  auto fds = net::socket_pair();
  POSTRIDER_CHECK(fds.ok());
  ipc::Limits limits;
  limits.frame_time = Duration::zero();
  ipc::Channel channel(loop, std::move(fds->second), limits);
  (void)!::send(fds->first.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  const auto hello = test::run_task<Result<void>>(
      loop, [&] { return ipc::expect_hello(channel, "ctl", 1, loop.after(Duration::zero())); });
  if (hello) return;
  POSTRIDER_CHECK(!hello.error().text().empty());
  const auto next = test::run_task<Result<ipc::Frame>>(
      loop, [&] { return channel.receive(loop.after(Duration::zero())); });
  if (!next)
    POSTRIDER_CHECK(channel.open() == (next.error().kind() == ErrorKind::timeout),
                    "a frame that was begun has to end");
}

// What one channel sends the other one gets: each piece as a text, some with a descriptor.
void send_on(const std::vector<std::string>& pieces, std::size_t times) {
  static ev::Loop loop;
  auto fds = net::socket_pair();
  POSTRIDER_CHECK(fds.ok());
  ipc::Channel from(loop, std::move(fds->first)), to(loop, std::move(fds->second));
  for (const std::string& piece : pieces) {
    ipc::Hello hello;
    for (std::size_t i = 0; i < times; ++i)
      hello.protocol += piece;
    hello.version = static_cast<std::uint32_t>(piece.size() % 2);
    if (hello.version == 1)
      from.send(hello, Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    else
      from.send(hello);
  }
  struct Sender {
    static ev::RootTask run(ipc::Channel& channel, bool& done) {
      Result<void> sent = co_await channel.wait_sent(ev::Deadline::never());
      POSTRIDER_CHECK(sent.ok());
      done = true;
    }
  };
  bool done = false;
  ev::Group group(loop);
  group.spawn(Sender::run(from, done), "sender");
  for (const std::string& piece : pieces) {
    auto frame =
        test::run_task<Result<ipc::Frame>>(loop, [&] { return to.receive(ev::Deadline::never()); });
    POSTRIDER_CHECK(frame && frame->fds.size() == piece.size() % 2, "descriptors stay with theirs");
    const bool carries = !frame->fds.empty(); // which no Hello does
    const auto hello = ipc::as<ipc::Hello>(*frame);
    POSTRIDER_CHECK(hello.ok() != carries &&
                    (carries || hello->protocol.size() == piece.size() * times));
  }
  while (!done)
    loop.turn(true);
  POSTRIDER_CHECK(from.unsent() == 0 && from.peer().pid == ::getpid());
  from.close();
  POSTRIDER_CHECK(!from.open());
  from.send(ipc::Hello());
  POSTRIDER_CHECK(from.unsent() == 0);
}

// Nobody reads: what waits is bounded.
void flood(const std::string& text) {
  static ev::Loop loop;
  auto fds = net::socket_pair();
  POSTRIDER_CHECK(fds.ok());
  ipc::Limits limits;
  limits.unsent = 10'000;
  ipc::Channel channel(loop, std::move(fds->first), limits);
  ipc::Hello hello;
  hello.protocol = text + std::string(5'000, 'x');
  for (std::size_t i = 0; i < 200 && channel.open(); ++i) {
    channel.send(hello);
    channel.flush();
    POSTRIDER_CHECK(channel.unsent() <= limits.unsent);
  }
  POSTRIDER_CHECK(!channel.open());
}

} // namespace

FUZZ(input) {
  const unsigned options = fuzz::take_byte(input);
  const std::vector<std::string> pieces = fuzz::cut(input.substr(0, 60'000));
  const std::string whole = fuzz::joined(pieces);
  if ((options & 1) != 0 && pieces.size() < 20) send_on(pieces, (options & 2) != 0 ? 300 : 1);
  if ((options & 4) != 0) bring_descriptors(pieces);
  if ((options & 8) != 0) stall(whole);
  if ((options & 16) != 0) flood(whole.substr(0, 5'000));
  const Got got = run(pieces);
  POSTRIDER_CHECK(got == run({whole}), "cut into pieces");
}
