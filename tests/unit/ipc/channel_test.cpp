// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/channel.hpp"
#include "net/tcp_stream.hpp"
#include "proto/deliver.hpp"
#include "proto/intake.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::ipc {
namespace {

using namespace std::chrono_literals;
using test::run_task;

struct Pair {
  ev::Loop loop;
  std::unique_ptr<Channel> a;
  std::unique_ptr<Channel> b;
  bool plain_only = true; // as programs do: Hello has no descriptors
  explicit Pair(Limits limits = {}) {
    auto fds = net::socket_pair();
    a = std::make_unique<Channel>(loop, std::move(fds->first), limits);
    b = std::make_unique<Channel>(loop, std::move(fds->second), limits);
  }
  Result<std::string> receive_label() {
    return run_task<Result<std::string>>(loop, [this] { return label(); });
  }
  ev::Task<Result<std::string>> label() {
    Result<Frame> frame = co_await b->receive(loop.after(5s));
    if (!frame) co_return frame.error();
    if (plain_only) {
      Result<Hello> plain = as<Hello>(*frame);
      if (!plain) co_return plain.error();
    }
    Result<Hello> hello = decode<Hello>(frame->body);
    if (!hello) co_return hello.error();
    co_return hello->protocol + "/" + std::to_string(frame->fds.size());
  }
};

Hello hello(std::string text) { return Hello{.protocol = std::move(text), .version = 1}; }

TEST(ChannelFrames, ArriveInOrder) {
  Pair pair;
  for (int i = 0; i < 1000; ++i)
    pair.a->send(hello("m" + std::to_string(i)));
  for (int i = 0; i < 1000; ++i) {
    const auto label = pair.receive_label();
    ASSERT_TRUE(label.ok()) << label.error().text();
    EXPECT_EQ(*label, "m" + std::to_string(i) + "/0");
  }
}

TEST(ChannelFrames, DescriptorsStayWithTheirFrame) {
  Pair pair;
  pair.plain_only = false;
  for (int i = 0; i < 50; ++i) {
    if (i % 3 == 0) {
      std::vector<Fd> fds;
      for (int n = 0; n <= i % 2; ++n)
        fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      pair.a->send(hello("with"), std::move(fds));
    } else {
      pair.a->send(hello("plain"));
    }
  }
  for (int i = 0; i < 50; ++i) {
    const auto label = pair.receive_label();
    ASSERT_TRUE(label.ok()) << label.error().text();
    EXPECT_EQ(*label, i % 3 == 0 ? "with/" + std::to_string(1 + i % 2) : "plain/0");
  }
}

TEST(ChannelFrames, LargeFrameCrossesASmallSocketBuffer) {
  Pair pair;
  pair.a->send(hello(std::string(3'000'000, 'x')));
  const auto label = pair.receive_label();
  ASSERT_TRUE(label.ok()) << label.error().text();
  EXPECT_EQ(label->size(), 3'000'002u);
}

struct Garbage {
  std::string name, bytes;
};
class ChannelGarbage : public testing::TestWithParam<Garbage> {};

TEST_P(ChannelGarbage, EndsTheChannelAndNothingElse) {
  ev::Loop loop;
  auto fds = net::socket_pair();
  Channel channel(loop, std::move(fds->second));
  ASSERT_EQ(::send(fds->first.get(), GetParam().bytes.data(), GetParam().bytes.size(), 0),
            static_cast<ssize_t>(GetParam().bytes.size()));
  fds->first.reset();
  struct Body {
    static ev::Task<Result<void>> read(Channel& c, ev::Loop& l) {
      while (true) {
        Result<Frame> frame = co_await c.receive(l.after(5s));
        if (!frame) co_return frame.error();
        Result<Hello> decoded = as<Hello>(*frame);
        if (!decoded) co_return decoded.error();
      }
    }
  };
  const auto result = run_task<Result<void>>(loop, [&] { return Body::read(channel, loop); });
  ASSERT_FALSE(result.ok());
  EXPECT_TRUE(result.error().kind() == ErrorKind::protocol ||
              result.error().kind() == ErrorKind::closed);
}

std::string frame(std::uint32_t length, std::uint16_t type, char version, char fds,
                  std::string body) {
  std::string out;
  put_le(out, length);
  put_le(out, type);
  out += version;
  out += fds;
  return out + body;
}
INSTANTIATE_TEST_SUITE_P(Hostile, ChannelGarbage,
                         testing::ValuesIn<Garbage>({
                             {"nothing", ""},
                             {"cut_header", "abc"},
                             {"huge_length", frame(0xffffffff, 1, 1, 0, "x")},
                             {"cut_body", frame(100, 1, 1, 0, "short")},
                             {"wrong_version", frame(0, 1, 9, 0, "")},
                             {"announces_descriptors", frame(0, 1, 1, 3, "")},
                             {"too_many_descriptors", frame(0, 1, 1, '\x7f', "")},
                             {"unknown_type", frame(0, 999, 1, 0, "")},
                             {"no_fields", frame(0, 1, 1, 0, "")},
                             {"random", std::string(4096, '\xa5')},
                             {"field_name_past_end", frame(2, 1, 1, 0,
                                                           "\xff"
                                                           "a")},
                         }),
                         [](const auto& row) { return row.param.name; });

// Refused when it is announced, not when as much has come in.
TEST(ChannelLimits, ALengthIsNotBelieved) {
  for (const std::uint32_t length : {(1U << 20) + 1, 0x7fffffffU, 0xffffffffU}) {
    Pair pair({.frame = 1 << 20, .unsent = 1 << 20, .descriptors = 16});
    const std::string bytes = frame(length, 1, 1, 0, "x");
    ASSERT_EQ(::send(pair.a->fd(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    const auto label = pair.receive_label();
    ASSERT_FALSE(label.ok());
    EXPECT_EQ(label.error().kind(), ErrorKind::protocol) << label.error().text();
  }
}

TEST(ChannelLimits, APeerThatDoesNotReadIsGivenUp) {
  Pair pair({.frame = 1 << 20, .unsent = 1 << 20, .descriptors = 16});
  for (int i = 0; i < 100 && pair.a->open(); ++i)
    pair.a->send(hello(std::string(100'000, 'x')));
  EXPECT_FALSE(pair.a->open());
}

TEST(ChannelPeer, CredentialsAreOurs) {
  Pair pair;
  EXPECT_EQ(pair.a->peer().uid, ::getuid());
}

// One byte at a time: the frame as a whole has a limit, not the wait for the next byte.
TEST(ChannelLimits, AFrameThatIsBegunHasToEndInTime) {
  test::ManualClock clock;
  ev::Loop loop{clock};
  auto fds = net::socket_pair();
  Channel channel(loop, std::move(fds->second), {.frame_time = 60s});
  const std::string bytes = frame(1000, 1, 1, 0, std::string(1000, 'x'));
  struct Body {
    static ev::RootTask read(Channel& c, std::optional<Error>& out) {
      Result<Frame> frame = co_await c.receive(ev::Deadline::never());
      if (!frame) out = frame.error();
    }
  };
  std::optional<Error> ended;
  ev::Group group(loop);
  group.spawn(Body::read(channel, ended), "reader");
  clock.advance(3600s); // nothing has begun yet: may last as long as it likes
  for (std::size_t sent = 0; sent < 59; ++sent) {
    ASSERT_EQ(::send(fds->first.get(), &bytes[sent], 1, 0), 1);
    loop.turn(false);
    loop.turn(false);
    ASSERT_FALSE(ended.has_value()) << sent;
    clock.advance(1s);
  }
  clock.advance(2s);
  for (int i = 0; i < 3; ++i)
    loop.turn(false);
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->kind(), ErrorKind::protocol) << ended->text();
  EXPECT_FALSE(channel.open());
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for (int fd = 0; fd < 1024; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) ++count;
  return count;
}

void send_raw(int to, const std::string& bytes, std::size_t descriptors) {
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  iovec piece{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (descriptors > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
    const std::vector<int> numbers(descriptors, null.get());
    std::memcpy(CMSG_DATA(header), numbers.data(), descriptors * sizeof(int));
  }
  ASSERT_EQ(::sendmsg(to, &message, 0), static_cast<ssize_t>(bytes.size()));
}

struct Unwanted {
  std::string name;
  std::size_t announced, sent, times;
};
class ChannelDescriptors : public testing::TestWithParam<Unwanted> {};

TEST_P(ChannelDescriptors, ThatAreNotDueEndTheChannelAndAreClosed) {
  Pair pair;
  const std::size_t before = open_descriptors();
  const std::string body = encode(hello("x"));
  for (std::size_t i = 0; i < GetParam().times; ++i)
    send_raw(pair.a->fd(),
             frame(static_cast<std::uint32_t>(body.size()), Hello::kType, 1,
                   static_cast<char>(GetParam().announced), body),
             GetParam().sent);
  const Result<std::string> label = [&] {
    Result<std::string> last = pair.receive_label();
    for (std::size_t i = 1; i < GetParam().times && last; ++i)
      last = pair.receive_label();
    return last;
  }();
  ASSERT_FALSE(label.ok()) << *label;
  EXPECT_EQ(label.error().kind(), ErrorKind::protocol) << label.error().text();
  pair.b.reset();
  EXPECT_EQ(open_descriptors(), before - 1) << "something was not closed";
}
INSTANTIATE_TEST_SUITE_P(Hostile, ChannelDescriptors,
                         testing::ValuesIn<Unwanted>({
                             {"one_too_many", 1, 1, 1},
                             {"as_many_as_a_frame_may_have", 8, 8, 1},
                             {"one_more_than_that", 8, 9, 1},
                             {"as_many_as_the_kernel_takes", 0, 253, 1},
                             {"announced_and_not_sent", 2, 0, 1},
                             {"unannounced", 0, 4, 40},
                         }),
                         [](const auto& row) { return row.param.name; });

struct Permission {
  std::string name;
  int flags;
  bool file;
  bool fits; // for reading
};
class DescriptorCheck : public testing::TestWithParam<Permission> {};

TEST_P(DescriptorCheck, LooksAtTypeAndRights) {
  const test::ScratchDir scratch;
  const std::string path = scratch.path() + "/file";
  const Fd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const Fd fd(::open(GetParam().file ? path.c_str() : scratch.path().c_str(),
                     GetParam().flags | O_CLOEXEC));
  ASSERT_TRUE(fd);
  EXPECT_EQ(check_file(fd, O_RDONLY).ok(), GetParam().fits);
}
INSTANTIATE_TEST_SUITE_P(All, DescriptorCheck,
                         testing::ValuesIn<Permission>({
                             {"read_only", O_RDONLY, true, true},
                             {"write_only", O_WRONLY, true, false},
                             {"read_write", O_RDWR, true, false},
                             {"directory", O_RDONLY | O_DIRECTORY, false, false},
                         }),
                         [](const auto& row) { return row.param.name; });

TEST(DescriptorCheck, RefusesWhatIsNoFile) {
  auto pair = net::socket_pair();
  EXPECT_FALSE(check_file(pair->first, O_RDWR).ok());
  EXPECT_FALSE(check_file(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), O_RDONLY).ok());
  EXPECT_FALSE(check_file(Fd(), O_RDONLY).ok());
}

// Who listens is not who answers: the kernel names the sender, and a second one is not heard.
TEST(ChannelPeer, IsWhoeverSpoke) {
  ev::Loop loop;
  auto fds = net::socket_pair();
  ASSERT_TRUE(ask_for_senders(fds->second.get()).ok());
  Channel channel(loop, std::move(fds->second));
  const std::string body = encode(hello("x"));
  const std::string bytes =
      frame(static_cast<std::uint32_t>(body.size()), Hello::kType, 1, 0, body);
  const pid_t child = ::fork();
  if (child == 0) {
    const ssize_t n = ::send(fds->first.get(), bytes.data(), bytes.size(), 0);
    ::_exit(n == static_cast<ssize_t>(bytes.size()) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const auto next = [&] {
    struct Body {
      static ev::Task<Result<bool>> read(Channel& c, ev::Loop& l) {
        Result<Frame> frame = co_await c.receive(l.after(5s));
        if (!frame) co_return frame.error();
        co_return true;
      }
    };
    return run_task<Result<bool>>(loop, [&] { return Body::read(channel, loop); });
  };
  ASSERT_TRUE(next().ok());
  EXPECT_EQ(channel.peer().pid, child);
  send_raw(fds->first.get(), bytes, 0);
  const auto second = next();
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::protocol) << second.error().text();
}

TEST(ChannelHello, OfAnotherReleaseIsRefusedInPlainWords) {
  for (const auto& [protocol, version, words] :
       {std::tuple("qmgr", 2U, "another release"), std::tuple("tlsmgr", 1U, "look at master.cf")}) {
    Pair pair;
    Hello said;
    said.protocol = protocol;
    said.version = version;
    pair.a->send(said);
    const auto greeted = run_task<Result<void>>(
        pair.loop, [&] { return expect_hello(*pair.b, "qmgr", 1, pair.loop.after(5s)); });
    ASSERT_FALSE(greeted.ok());
    EXPECT_EQ(greeted.error().kind(), ErrorKind::refused) << "nobody misbehaves";
    EXPECT_NE(greeted.error().text().find(words), std::string::npos) << greeted.error().text();
  }
}

// base/fields.hpp through real messages.
TEST(ProtoMessages, DeliverSurvivesTheWire) {
  proto::Deliver d;
  d.slot = 7;
  d.id = 1ULL << 63;
  d.nexthop = "[127.0.0.1]:2525";
  d.envelope.sender = "a@b.test";
  d.envelope.arrival = -5;
  d.envelope.recipients = {{.address = "x@y.test", .orcpt = "rfc822;x", .notify = 3},
                           {.address = "z"}};
  d.recipient_indices = {4, 9};
  d.facts.size = 1234;
  const auto back = decode<proto::Deliver>(encode(d));
  ASSERT_TRUE(back.ok()) << back.error().text();
  EXPECT_EQ(back->envelope, d.envelope);
  EXPECT_EQ(back->facts, d.facts);
  EXPECT_EQ(back->recipient_indices, d.recipient_indices);
  EXPECT_EQ(back->id, d.id);
}

TEST(ProtoMessages, EveryTruncationIsRefusedOrLacksAField) {
  const std::string whole = encode(proto::SegmentDone{.loan = 1});
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(decode<proto::SegmentDone>(ByteView(whole).substr(0, n)).ok()) << n;
}

struct Newer {
  std::uint64_t extra = 1, slot = 5, more = 2;
  bool ok = true;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("extra", s.extra);
    v("ok", s.ok);
    v("more", s.more);
    v("slot", s.slot);
  }
};

TEST(ProtoMessages, UnknownFieldsArePassedOver) {
  const auto read = decode<proto::Reported>(encode(Newer{}));
  ASSERT_TRUE(read.ok()) << read.error().text();
  EXPECT_TRUE(read->ok);
  EXPECT_EQ(read->slot, 5u);
}

struct Wide {
  std::uint64_t role = 200;
  std::string program = "x";
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("role", s.role);
    v("program", s.program);
  }
};

TEST(ProtoMessages, EnumOutOfRangeIsRefused) {
  EXPECT_FALSE(decode<proto::Open>(encode(Wide{})).ok());
}

} // namespace
} // namespace postrider::ipc
