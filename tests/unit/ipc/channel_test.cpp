// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/channel.hpp"
#include "net/tcp_stream.hpp"
#include "proto/deliver.hpp"
#include "proto/intake.hpp"
#include "support/run_task.hpp"

namespace postrider::ipc {
namespace {

using namespace std::chrono_literals;
using test::run_task;

struct Pair {
  ev::Loop loop;
  std::unique_ptr<Channel> a;
  std::unique_ptr<Channel> b;
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
    Result<Hello> hello = as<Hello>(*frame);
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
