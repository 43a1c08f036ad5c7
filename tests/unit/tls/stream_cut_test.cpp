// SPDX-License-Identifier: MIT
// What happens to the bytes of a TLS stream on their way: cut, held up, in pieces, changed.
#include <gtest/gtest.h>

#include "support/manual_clock.hpp"
#include "test_pair.hpp"

namespace postrider::tls {
namespace {

using test::MemoryStream;

const std::string kReply = "250-mx.example.com\r\n250 SIZE\r\n";
const std::string kCommand = "MAIL FROM:<a@example.com>\r\n";

// Both sides shake hands, the server says kReply, the client kCommand, both end properly. What the
// client and the server got stays in the members.
struct Dialogue {
  Dialogue(const char* priority, MemoryStream::Mode client_mode, MemoryStream::Mode server_mode)
      : pair(loop, std::move(client_mode), std::move(server_mode)) {
    pair.client_wish.priority = priority;
    pair.shake_hands();
    if (pair.server) {
      (void)pair.server_writes(kReply);
      pair.server->shutdown_write();
    } else {
      pair.below_server.reset();
    }
    if (pair.client) {
      (void)pair.client_writes(kCommand);
      pair.client->shutdown_write();
      to_client = pair.client_reads(kReply.size() + 1);
      if (to_client.size() > 0) pair.client_reads(1);
      client_end = pair.end;
    } else {
      client_end = pair.client_error();
    }
    if (pair.server) {
      to_server = pair.server_reads(kCommand.size() + 1);
      if (to_server.size() > 0) pair.server_reads(1);
      server_end = pair.end;
    } else {
      server_end = pair.server_result->error();
    }
    if (pair.client && pair.server) {
      bytes_to_server = pair.raw_client->sent();
      bytes_to_client = pair.raw_server->sent();
    }
  }

  ev::Loop loop;
  TestPair pair;
  std::string to_client, to_server;
  std::optional<Error> client_end, server_end;
  std::size_t bytes_to_client = 0, bytes_to_server = 0;
};

class TlsCut : public testing::TestWithParam<const char*> {};

// A FIN behind every byte of what the server sends: the client never has more than was sent, and
// the end is told as what it is.
TEST_P(TlsCut, ServersStreamBehindEveryByte) {
  const Dialogue whole(GetParam(), {}, {});
  ASSERT_EQ(whole.to_client, kReply);
  ASSERT_EQ(whole.client_end->text(), "TLS connection closed by peer");
  std::size_t with_everything = 0;
  for (std::size_t cut = 0; cut < whole.bytes_to_client - 8; ++cut) {
    const Dialogue dialogue(GetParam(), {.cut = cut}, {});
    ASSERT_TRUE(dialogue.client_end) << cut;
    EXPECT_EQ(dialogue.client_end->kind(), ErrorKind::closed) << cut;
    EXPECT_TRUE(dialogue.to_client.empty() || dialogue.to_client == kReply) << cut;
    const bool up = dialogue.pair.client != nullptr;
    EXPECT_EQ(dialogue.client_end->text() == "TLS connection cut without close_notify", up) << cut;
    with_everything += dialogue.to_client == kReply;
  }
  EXPECT_GT(with_everything, 0U); // only the close_notify was cut
}

TEST_P(TlsCut, ClientsStreamBehindEveryByte) {
  const Dialogue whole(GetParam(), {}, {});
  ASSERT_EQ(whole.to_server, kCommand);
  for (std::size_t cut = 0; cut < whole.bytes_to_server - 8; ++cut) {
    const Dialogue dialogue(GetParam(), {}, {.cut = cut});
    ASSERT_TRUE(dialogue.server_end) << cut;
    EXPECT_EQ(dialogue.server_end->kind(), ErrorKind::closed) << cut;
    EXPECT_TRUE(dialogue.to_server.empty() || dialogue.to_server == kCommand) << cut;
  }
}

TEST_P(TlsCut, OneByteAtATimeChangesNothing) {
  const Dialogue bytewise(GetParam(), {.piece = 1}, {.piece = 1});
  EXPECT_EQ(bytewise.to_client, kReply);
  EXPECT_EQ(bytewise.to_server, kCommand);
  EXPECT_EQ(bytewise.client_end->text(), "TLS connection closed by peer");
  EXPECT_EQ(bytewise.server_end->text(), "TLS connection closed by peer");
}

// The peer falls silent behind every byte of the handshake: only the deadline ends it.
TEST_P(TlsCut, HandshakeStallsEndAtTheDeadline) {
  const Dialogue whole(GetParam(), {}, {});
  std::size_t timeouts = 0;
  for (std::size_t stall = 0; stall < whole.bytes_to_client; stall += 7) {
    test::ManualClock clock;
    ev::Loop loop(clock);
    TestPair pair(loop, {.stall = stall}, {});
    pair.client_wish.priority = GetParam();
    pair.begin();
    for (int turn = 0; turn < 100; ++turn)
      loop.turn(false);
    if (pair.client_result && *pair.client_result) break; // the handshake is shorter than that
    EXPECT_FALSE(pair.client_result) << stall;
    clock.advance(pair.patience + std::chrono::seconds(1));
    while (!pair.client_result)
      loop.turn(false);
    ASSERT_FALSE(pair.client_result->ok()) << stall;
    EXPECT_EQ(pair.client_error().kind(), ErrorKind::timeout) << stall;
    ++timeouts;
  }
  EXPECT_GT(timeouts, 50U);
}

// close_notify behind every byte of a message, and clear text right behind it.
TEST_P(TlsCut, NothingBehindCloseNotifyIsSeen) {
  const std::string message = "Subject: close_notify\r\n\r\nEvery byte of this.\r\n.\r\n";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{1} << 20})
    for (std::size_t sent = 0; sent <= message.size(); ++sent) {
      ev::Loop loop;
      bool inject = false;
      const auto change = [&inject](std::string& bytes) {
        if (inject) bytes += "QUIT\r\n";
      };
      TestPair pair(loop, {}, {.piece = piece, .change = change});
      pair.client_wish.priority = GetParam();
      pair.shake_hands();
      ASSERT_TRUE(pair.client && pair.server);
      if (sent > 0) {
        ASSERT_TRUE(pair.client_writes(message.substr(0, sent)).ok());
      }
      inject = true;
      pair.client->shutdown_write();
      EXPECT_EQ(pair.server_reads(message.size() + 6), message.substr(0, sent));
      for (int again = 0; again < 3; ++again) {
        EXPECT_EQ(pair.server_reads(1), "");
        EXPECT_EQ(pair.end->text(), "TLS connection closed by peer");
        EXPECT_EQ(pair.end->kind(), ErrorKind::closed);
      }
      EXPECT_TRUE(pair.server->buffered().empty());
      EXPECT_FALSE(pair.server->is_quiet());
      EXPECT_TRUE(pair.server_writes("421 4.3.2 bye\r\n").ok()); // that way is still open
      EXPECT_EQ(pair.client_reads(15), "421 4.3.2 bye\r\n");
    }
}

// T1 in the other direction: clear text between two records is no data.
TEST_P(TlsCut, ClearTextBetweenRecordsEndsTheConnection) {
  ev::Loop loop;
  TestPair pair(loop);
  pair.client_wish.priority = GetParam();
  pair.shake_hands();
  ASSERT_TRUE(pair.client && pair.server);
  ASSERT_TRUE(pair.raw_server->write_now("250 clear\r\n").ok());
  EXPECT_EQ(pair.client_reads(1), "");
  EXPECT_EQ(pair.end->kind(), ErrorKind::protocol);
  EXPECT_FALSE(pair.client_writes("more").ok());
}

// Every byte of a record is protected: whichever is changed, nothing of it is delivered.
TEST_P(TlsCut, ChangedRecordsAreRefused) {
  std::size_t size = 0;
  for (std::size_t at = 0; size == 0 || at < size; ++at) {
    ev::Loop loop;
    bool spoil = false;
    const auto change = [&](std::string& bytes) {
      if (!spoil) return;
      size = bytes.size();
      bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
      spoil = false;
    };
    TestPair pair(loop, {.change = change}, {});
    pair.client_wish.priority = GetParam();
    pair.shake_hands();
    ASSERT_TRUE(pair.client && pair.server);
    spoil = true;
    ASSERT_TRUE(pair.server_writes("250 ok\r\n").ok());
    pair.server->shutdown_write();
    EXPECT_EQ(pair.client_reads(8), "") << at;
    ASSERT_TRUE(pair.end) << at;
    // A longer length waits for what never comes.
    EXPECT_TRUE(pair.end->kind() == ErrorKind::protocol || pair.end->kind() == ErrorKind::closed)
        << at << pair.end->text();
  }
}

// Nothing is ever delivered changed. (Some bytes do not matter: the type of an encrypted record of
// TLS 1.3, the content of the compatibility record.)
TEST_P(TlsCut, ChangedHandshakesDeliverNothingElse) {
  std::size_t failures = 0;
  for (std::size_t at = 0; at < 1500; at += 3) {
    std::size_t passed = 0;
    const auto change = [&](std::string& bytes) {
      if (at >= passed && at < passed + bytes.size())
        bytes[at - passed] = static_cast<char>(bytes[at - passed] ^ 0x01);
      passed += bytes.size();
    };
    test::ManualClock clock;
    ev::Loop loop(clock);
    TestPair pair(loop, {.change = change}, {});
    pair.client_wish.priority = GetParam();
    pair.begin();
    for (int turn = 0; turn < 50; ++turn)
      loop.turn(false);
    clock.advance(pair.patience + std::chrono::seconds(1));
    while (!pair.client_result || !pair.server_result)
      loop.turn(false);
    if (!pair.client || !pair.server) {
      ++failures;
      continue;
    }
    EXPECT_TRUE(pair.server_writes("250 ok\r\n").ok());
    pair.server->shutdown_write();
    const std::string got = pair.client_reads(8);
    EXPECT_TRUE(got == "250 ok\r\n" || (got.empty() && pair.end)) << at;
  }
  EXPECT_GT(failures, 150U);
}

ev::RootTask writes(net::Stream& stream, ev::Loop& loop, const std::string& text, bool& done) {
  std::string_view rest = text;
  while (!rest.empty()) {
    Result<std::size_t> sent =
        co_await stream.write_some(rest, loop.after(std::chrono::seconds(60)));
    if (!sent) co_return;
    rest.remove_prefix(*sent);
  }
  done = true;
}

ev::RootTask reads(net::Stream& stream, ev::Loop& loop, std::size_t count, std::string& text) {
  Result<std::string> got = co_await read_some(stream, count, loop.after(std::chrono::seconds(60)));
  if (got) text = std::move(*got);
}

std::string numbers(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i)
    text += std::to_string(i) + "\r\n";
  text.resize(size);
  return text;
}

// Waits at every call, one byte taken at a time, windows of a few bytes, both ways at once: no byte
// is lost and none comes twice.
TEST_P(TlsCut, NoByteIsLostOrDoubledWhereEveryCallWaits) {
  const MemoryStream::Mode tight{.piece = 5, .window = 11, .accepts = 1, .bumpy = true};
  ev::Loop loop;
  TestPair pair(loop, tight, tight);
  pair.client_wish.priority = GetParam();
  pair.shake_hands();
  ASSERT_TRUE(pair.client && pair.server);
  const std::string there = numbers(40'000), back = numbers(20'000);
  bool wrote_there = false, wrote_back = false;
  std::string got_there, got_back;
  pair.group.spawn(writes(*pair.client, loop, there, wrote_there), "there");
  pair.group.spawn(reads(*pair.server, loop, there.size(), got_there), "read there");
  pair.group.spawn(writes(*pair.server, loop, back, wrote_back), "back");
  pair.group.spawn(reads(*pair.client, loop, back.size(), got_back), "read back");
  while (!pair.group.empty())
    loop.turn(true);
  EXPECT_TRUE(wrote_there && wrote_back);
  EXPECT_TRUE(got_there == there);
  EXPECT_TRUE(got_back == back);
}

ev::RootTask writes_then_reads(net::Stream& stream, ev::Loop& loop, const std::string& text,
                               std::string& got) {
  Result<void> sent = co_await stream.write(text, loop.after(std::chrono::seconds(60)));
  if (!sent) co_return;
  Result<std::string> read =
      co_await read_some(stream, text.size(), loop.after(std::chrono::seconds(60)));
  if (read) got = std::move(*read);
}

// C10: both write all they have before they read; the windows are smaller than that.
TEST_P(TlsCut, TwoWritersDoNotBlockOneAnother) {
  const MemoryStream::Mode small{.window = 3000};
  ev::Loop loop;
  TestPair pair(loop, small, small);
  pair.client_wish.priority = GetParam();
  pair.shake_hands();
  ASSERT_TRUE(pair.client && pair.server);
  const std::string text = numbers(150'000);
  std::string at_client, at_server;
  pair.group.spawn(writes_then_reads(*pair.client, loop, text, at_client), "client");
  pair.group.spawn(writes_then_reads(*pair.server, loop, text, at_server), "server");
  while (!pair.group.empty())
    loop.turn(true);
  EXPECT_TRUE(at_client == text);
  EXPECT_TRUE(at_server == text);
}

INSTANTIATE_TEST_SUITE_P(Versions, TlsCut, testing::Values(kNormal, kTls12),
                         [](const auto& each) { return each.index == 0 ? "Tls13" : "Tls12"; });

} // namespace
} // namespace postrider::tls
