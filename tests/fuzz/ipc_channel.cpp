// SPDX-License-Identifier: MIT
// Frames out of a socket: whatever the other process writes, and however it is cut, the channel
// gives out the same whole frames and then an Error.
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

// What one channel sends the other one gets: each piece as a text, some with a descriptor.
void send_on(const std::vector<std::string>& pieces) {
  static ev::Loop loop;
  auto fds = net::socket_pair();
  POSTRIDER_CHECK(fds.ok());
  ipc::Channel from(loop, std::move(fds->first)), to(loop, std::move(fds->second));
  for (const std::string& piece : pieces) {
    ipc::Hello hello;
    hello.protocol = piece;
    hello.version = static_cast<std::uint32_t>(piece.size() % 2);
    if (hello.version == 1)
      from.send(hello, Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    else
      from.send(hello);
  }
  from.flush();
  for (const std::string& piece : pieces) {
    auto frame =
        test::run_task<Result<ipc::Frame>>(loop, [&] { return to.receive(ev::Deadline::never()); });
    POSTRIDER_CHECK(frame && frame->fds.size() == piece.size() % 2, "descriptors stay with theirs");
    const bool carries = !frame->fds.empty(); // which no Hello does
    const auto hello = ipc::as<ipc::Hello>(*frame);
    POSTRIDER_CHECK(hello.ok() != carries && (carries || hello->protocol == piece));
  }
  POSTRIDER_CHECK(from.unsent() == 0 && from.peer().pid == ::getpid());
  from.close();
  POSTRIDER_CHECK(!from.open());
}

} // namespace

FUZZ(input) {
  const std::vector<std::string> pieces = fuzz::cut(input.substr(0, 60'000));
  if (pieces.size() < 20) send_on(pieces);
  const Got got = run(pieces);
  POSTRIDER_CHECK(got == run({fuzz::joined(pieces)}), "cut into pieces");
}
