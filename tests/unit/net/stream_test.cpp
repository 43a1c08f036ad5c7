// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "ev/group.hpp"
#include "net/tcp_stream.hpp"
#include "support/run_task.hpp"

namespace postrider::net {
namespace {

using namespace std::chrono_literals;
using test::run_task;

ev::Task<Result<std::string>> line_of(Stream& stream, ev::Loop& loop, std::size_t most) {
  Result<Stream::Line> line = co_await stream.read_line(most, loop.after(5s));
  if (!line) co_return line.error();
  co_return line->text + (line->bare_lf ? "!" : "");
}

TEST(StreamLines, CrlfAndBareLfAreTold) {
  ev::Loop loop;
  auto fds = socket_pair();
  TcpStream stream(loop, std::move(fds->first));
  const std::string text = "one\r\ntwo\nthr\ree\r\n\r\n\n";
  ASSERT_EQ(::send(fds->second.get(), text.data(), text.size(), 0),
            static_cast<ssize_t>(text.size()));
  for (const char* expected : {"one", "two!", "thr\ree", "", "!"}) {
    const auto line =
        run_task<Result<std::string>>(loop, [&] { return line_of(stream, loop, 100); });
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(*line, expected);
  }
  fds->second.reset();
  const auto end = run_task<Result<std::string>>(loop, [&] { return line_of(stream, loop, 100); });
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().kind(), ErrorKind::closed);
}

TEST(StreamLines, OverlongLineIsALimitError) {
  ev::Loop loop;
  auto fds = socket_pair();
  TcpStream stream(loop, std::move(fds->first));
  const std::string text(5000, 'x');
  ASSERT_EQ(::send(fds->second.get(), text.data(), text.size(), 0), 5000);
  const auto line =
      run_task<Result<std::string>>(loop, [&] { return line_of(stream, loop, 1000); });
  ASSERT_FALSE(line.ok());
  EXPECT_EQ(line.error().kind(), ErrorKind::limit);
}

ev::Task<Result<void>> push(Stream& stream, ev::Loop& loop, const std::string& text) {
  Result<void> done = co_await stream.write(text, loop.after(10s));
  co_return done;
}

ev::RootTask echo(Stream& stream, ev::Loop& loop, std::size_t total, std::size_t& seen) {
  while (seen < total) {
    Result<void> more = co_await stream.fill(loop.after(10s));
    if (!more) co_return;
    std::string got(stream.buffered());
    stream.consume(got.size());
    seen += got.size();
    Result<void> sent = co_await stream.write(got, loop.after(10s));
    if (!sent) co_return;
  }
}

// C10: our peer echoes everything while we write without reading; both windows fill up. Only
// because a writer drains its input does this end.
TEST(StreamWrite, DrainsInputWhileItWaits) {
  ev::Loop loop;
  auto fds = socket_pair();
  const int small = 4096;
  ::setsockopt(fds->first.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  ::setsockopt(fds->second.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  TcpStream ours(loop, std::move(fds->first));
  TcpStream theirs(loop, std::move(fds->second));
  const std::string text(200'000, 'q');
  std::size_t seen = 0;
  ev::Group group(loop);
  group.spawn(echo(theirs, loop, text.size(), seen), "echo");
  const auto sent = run_task<Result<void>>(loop, [&] { return push(ours, loop, text); });
  EXPECT_TRUE(sent.ok());
  group.tear_down();
}

struct IpCase {
  std::string in, out;
};
TEST(AddressText, ParsesNumericFormsOnly) {
  for (const auto& [in, out] : std::vector<IpCase>{{"192.0.2.1", "192.0.2.1"},
                                                   {"[2001:db8::1]", "2001:db8::1"},
                                                   {"IPv6:2001:db8::1", "2001:db8::1"},
                                                   {"::ffff:192.0.2.1", "192.0.2.1"}}) {
    const auto address = Address::parse_ip(in, 25);
    ASSERT_TRUE(address.has_value()) << in;
    EXPECT_EQ(address->text(), out);
    EXPECT_EQ(address->port(), 25);
  }
  for (const char* bad : {"localhost", "", "1.2.3", "1.2.3.4.5", "[1.2.3.4", "1.2.3.4 ", "0x7f.1"})
    EXPECT_FALSE(Address::parse_ip(bad, 25).has_value()) << bad;
}

ev::Task<Result<std::unique_ptr<TcpStream>>> dial(ev::Loop& loop, const Address& target) {
  Result<std::unique_ptr<TcpStream>> stream = co_await connect(loop, target, loop.after(5s));
  co_return std::move(stream);
}

TEST(AddressKinds, OfTheNeighbourhood) {
  for (const char* near :
       {"169.254.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255", "fe80::1", "ff02::1"})
    EXPECT_TRUE(Address::parse_ip(near, 25)->is_link_local_or_group()) << near;
  for (const char* far : {"169.253.0.1", "192.0.2.1", "127.0.0.1", "2001:db8::1", "::1", "fd00::1"})
    EXPECT_FALSE(Address::parse_ip(far, 25)->is_link_local_or_group()) << far;
}

// shows: tcp_windowsize
TEST(Connect, FromAnAddressAndWithAWindow) {
  ev::Loop loop;
  ListenOptions small;
  small.window = 5000;
  auto listener = listen(*Address::parse_ip("127.0.0.1", 0), small);
  ASSERT_TRUE(listener.ok());
  const Address target = Address::local_of(listener->get());
  const auto buffer = [](int fd, int which) {
    int size = 0;
    socklen_t length = sizeof size;
    getsockopt(fd, SOL_SOCKET, which, &size, &length);
    return size;
  };
  EXPECT_EQ(buffer(listener->get(), SO_RCVBUF), 10000); // Linux doubles it
  auto socket = client_socket(AF_INET, 6000);
  ASSERT_TRUE(socket.ok());
  EXPECT_EQ(buffer(socket->get(), SO_RCVBUF), 12000);
  EXPECT_EQ(buffer(socket->get(), SO_SNDBUF), 12000);
  ASSERT_TRUE(bind_source(*socket, *Address::parse_ip("127.0.0.9", 0)));
  auto stream = run_task<Result<std::unique_ptr<TcpStream>>>(
      loop, [&] { return connect(loop, *socket, target, loop.after(5s)); });
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(Address::local_of((*stream)->fd()).text(), "127.0.0.9");

  auto other = client_socket(AF_INET);
  const auto bound = bind_source(*other, *Address::parse_ip("192.0.2.9", 0));
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().text(), "bind 192.0.2.9: Cannot assign requested address");
}

TEST(Connect, KnowsWhereThereIsNoWay) {
  EXPECT_TRUE(has_route(*Address::parse_ip("127.0.0.1", 25)));
  EXPECT_TRUE(has_route(Address::unix_path("/run/x").value()));
}

TEST(Connect, ReachesAListenerAndReportsRefusal) {
  ev::Loop loop;
  auto listener = listen(*Address::parse_ip("127.0.0.1", 0), {});
  ASSERT_TRUE(listener.ok());
  const Address target = Address::local_of(listener->get());
  auto stream =
      run_task<Result<std::unique_ptr<TcpStream>>>(loop, [&] { return dial(loop, target); });
  EXPECT_TRUE(stream.ok());
  listener->reset();
  auto refused =
      run_task<Result<std::unique_ptr<TcpStream>>>(loop, [&] { return dial(loop, target); });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::refused);
}

} // namespace
} // namespace postrider::net
