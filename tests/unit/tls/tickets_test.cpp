// SPDX-License-Identifier: MIT
// Resumption at a server with changing keys, and server names.
#include <gtest/gtest.h>

#include "test_pair.hpp"
#include "tls/verify.hpp"

namespace postrider::tls {
namespace {

const std::string kOld(64, 'o'), kNew(64, 'n');

// What a connection under `wish` leaves behind.
std::string session_under(ev::Loop& loop, const ServerHandshake& wish, const char* priority,
                          const std::string& session = {}) {
  TestPair pair(loop);
  pair.server_wish = wish;
  pair.client_wish.priority = priority;
  pair.client_wish.session = session;
  pair.shake_hands();
  if (!pair.client || !pair.server) return {};
  EXPECT_TRUE(pair.server_writes("220 hello\r\n").ok());
  EXPECT_EQ(pair.client_reads(11), "220 hello\r\n");
  const std::vector<std::string> sessions = pair.client->take_sessions();
  return sessions.empty() ? std::string() : sessions.back();
}

bool is_resumed(ev::Loop& loop, const ServerHandshake& wish, const char* priority,
                const std::string& session) {
  TestPair pair(loop);
  pair.server_wish = wish;
  pair.client_wish.priority = priority;
  pair.client_wish.session = session;
  pair.shake_hands();
  EXPECT_TRUE(pair.client && pair.server);
  if (!pair.client || !pair.server) return false;
  EXPECT_EQ(pair.client->facts().resumed, pair.server->facts().resumed);
  return pair.server->facts().resumed;
}

ServerHandshake server_with(const std::vector<std::string>& keys) {
  ServerHandshake wish{shared_server(), kNormal, false, keys};
  wish.ticket_context = "smtp";
  return wish;
}

struct Case {
  const char* name;
  std::vector<std::string> made, asked; // keys at the first connection, and at the second
  bool resumed;
};
class Tickets : public testing::TestWithParam<Case> {};

TEST_P(Tickets, OpenUnderTheseKeys) {
  ev::Loop loop;
  for (const char* priority : {kNormal, kTls12}) {
    const std::string session = session_under(loop, server_with(GetParam().made), priority);
    EXPECT_EQ(is_resumed(loop, server_with(GetParam().asked), priority, session),
              GetParam().resumed)
        << priority;
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, Tickets,
                         testing::ValuesIn<Case>({
                             {"Same", {kOld}, {kOld}, true},
                             {"OlderOpens", {kOld}, {kNew, kOld}, true},
                             {"NewerOpens", {kNew, kOld}, {kNew}, true},
                             {"ForgottenDoesNot", {kOld}, {kNew}, false},
                             {"NoneDoesNot", {kOld}, {}, false},
                         }),
                         [](const auto& c) { return std::string(c.param.name); });

// Whoever is another service, has other certificates or asks another name.
TEST(TicketsOf, OneServiceAreNothingToAnother) {
  ev::Loop loop;
  const test::ScratchDir dir;
  const auto other = server_credentials(dir, {make_certificate({.name = "other.example.com"})});
  for (const char* priority : {kNormal, kTls12}) {
    const ServerHandshake usual = server_with({kNew});
    const std::string session = session_under(loop, usual, priority);
    ServerHandshake service = usual;
    service.ticket_context = "smtps";
    EXPECT_FALSE(is_resumed(loop, service, priority, session)) << priority;
    ServerHandshake certificate = usual;
    certificate.credentials = other;
    EXPECT_FALSE(is_resumed(loop, certificate, priority, session)) << priority;
    ServerHandshake named = usual;
    named.named = [&](std::string_view) { return other; };
    EXPECT_FALSE(is_resumed(loop, named, priority, session)) << priority;
    EXPECT_TRUE(is_resumed(loop, usual, priority, session)) << priority;
  }
}

TEST(TicketsOf, ResumedSessionsGoOn) {
  ev::Loop loop;
  const std::string first = session_under(loop, server_with({kOld}), kNormal);
  const std::string second = session_under(loop, server_with({kNew, kOld}), kNormal, first);
  EXPECT_FALSE(second.empty());
}

TEST(ServerNames, ChooseCredentialsAndAreTold) {
  ev::Loop loop;
  const test::ScratchDir dir;
  const TestCertificate made = make_certificate({.name = "other.example.com"});
  const auto other = server_credentials(dir, {made});
  for (const char* priority : {kNormal, kTls12})
    for (const std::string name : {"mx.example.com", "other.example.com", ""}) {
      TestPair pair(loop);
      pair.server_wish.named = [&](std::string_view asked) {
        return asked == "other.example.com" ? other : nullptr;
      };
      pair.client_wish.priority = priority;
      pair.client_wish.server_name = name;
      pair.shake_hands();
      ASSERT_TRUE(pair.client && pair.server);
      const bool is_other = name == "other.example.com";
      EXPECT_EQ(names_of(pair.client->chain().front()).subject,
                is_other ? "other.example.com" : "mx.example.com");
      EXPECT_EQ(pair.server->facts().server_name, is_other ? name : "");
    }
}

// A name that GnuTLS's client would not send: bytes of the ClientHello are exchanged on the way.
// No handshake gets through like that, as both sides saw different bytes; it must end, though.
TEST(ServerNames, OddBytesEndTheHandshake) {
  for (const char odd : {'\0', '_', '\x80', '\r', ' ', '/'})
    for (const char* priority : {kNormal, kTls12}) {
      ev::Loop loop;
      test::MemoryStream::Mode to_server;
      to_server.change = [&](std::string& bytes) {
        const std::size_t at = bytes.find("mx.example.com");
        if (at != std::string::npos) bytes[at + 4] = odd;
      };
      TestPair pair(loop, {}, to_server);
      bool unknown = true;
      pair.server_wish.named = [&](std::string_view asked) {
        unknown = unknown && asked != "mx.example.com";
        return nullptr;
      };
      pair.client_wish.priority = priority;
      pair.shake_hands();
      EXPECT_FALSE(pair.server);
      EXPECT_TRUE(unknown);
    }
}

} // namespace
} // namespace postrider::tls
