// SPDX-License-Identifier: MIT
#include <algorithm>
#include <gtest/gtest.h>

#include "base/log.hpp"
#include "test_pair.hpp"
#include "tls/facts.hpp"

namespace postrider::tls {
namespace {

using test::MemoryStream;

TEST(TlsStreamTest, SpeaksBothWays) {
  for (const char* priority : {kNormal, kTls12}) {
    ev::Loop loop;
    TestPair pair(loop);
    pair.client_wish.priority = priority;
    pair.shake_hands();
    ASSERT_TRUE(pair.client) << pair.client_error().text();
    ASSERT_TRUE(pair.server);
    ASSERT_TRUE(pair.client_writes("EHLO client.example\r\n").ok());
    EXPECT_EQ(pair.server_reads(21), "EHLO client.example\r\n");
    ASSERT_TRUE(pair.server_writes("250 mx.example.com\r\n").ok());
    EXPECT_EQ(pair.client_reads(20), "250 mx.example.com\r\n");
    EXPECT_EQ(pair.client->chain().size(), 1U);
    EXPECT_TRUE(pair.server->chain().empty());
  }
}

struct FactsCase {
  std::string name, priority, facts;
};
class TlsFacts : public testing::TestWithParam<FactsCase> {};
TEST_P(TlsFacts, AreInPostfixsWords) {
  ev::Loop loop;
  TestPair pair(loop);
  pair.client_wish.priority = pair.server_wish.priority = GetParam().priority;
  pair.shake_hands();
  ASSERT_TRUE(pair.client) << pair.client_error().text();
  EXPECT_EQ(to_string(pair.client->facts()), GetParam().facts);
  EXPECT_EQ(to_string(pair.server->facts()), GetParam().facts);
}
INSTANTIATE_TEST_SUITE_P(
    Postfix, TlsFacts,
    testing::ValuesIn<FactsCase>({
        {"X25519", "NORMAL:-GROUP-ALL:+GROUP-X25519",
         "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 "
         "server-signature ECDSA (P-256) server-digest SHA256"},
        {"P256", "NORMAL:-GROUP-ALL:+GROUP-SECP256R1:-CIPHER-ALL:+AES-128-GCM",
         "TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits) key-exchange ECDHE (P-256) "
         "server-signature ECDSA (P-256) server-digest SHA256"},
        {"Dhe", "NORMAL:-GROUP-ALL:+GROUP-FFDHE2048:-CIPHER-ALL:+CHACHA20-POLY1305",
         "TLSv1.3 with cipher TLS_CHACHA20_POLY1305_SHA256 (256/256 bits) key-exchange DHE (2048 "
         "bits) server-signature ECDSA (P-256) server-digest SHA256"},
        {"Anonymous",
         "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ANON-ECDH:-CIPHER-ALL:+AES-128-GCM:+AES-256-CBC",
         "TLSv1.2 with cipher AECDH-AES256-SHA (256/256 bits)"},
        {"Cbc", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+3DES-CBC",
         "TLSv1.2 with cipher ECDHE-ECDSA-DES-CBC3-SHA (112/168 bits)"},
        {"Tls12", kTls12, "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)"},
    }),
    [](const auto& param) { return param.param.name; });

std::string last_session(TlsStream& client) {
  const std::vector<std::string> sessions = client.take_sessions();
  return sessions.empty() ? std::string() : sessions.back();
}

TEST(TlsSessions, ResumeOnceEach) {
  for (const char* priority : {kNormal, kTls12}) {
    ev::Loop loop;
    std::string session;
    std::vector<std::string> chain;
    {
      TestPair pair(loop);
      pair.client_wish.priority = priority;
      pair.shake_hands();
      ASSERT_TRUE(pair.client);
      EXPECT_FALSE(pair.client->facts().resumed);
      ASSERT_TRUE(pair.server_writes("250 ok\r\n").ok());
      EXPECT_EQ(pair.client_reads(8), "250 ok\r\n");
      session = last_session(*pair.client);
      EXPECT_FALSE(session.empty());
      EXPECT_TRUE(pair.client->take_sessions().empty());
      chain = pair.client->chain();
    }
    TestPair again(loop);
    again.client_wish.priority = priority;
    again.client_wish.session = session;
    again.shake_hands();
    ASSERT_TRUE(again.client) << again.client_error().text();
    EXPECT_TRUE(again.client->facts().resumed);
    EXPECT_EQ(again.client->chain(), chain);
    ASSERT_TRUE(again.client_writes("NOOP\r\n").ok());
    EXPECT_EQ(again.server_reads(6), "NOOP\r\n");
  }
}

// A server gives several at once, so that as many connections can follow side by side.
TEST(TlsSessions, OfAServerWithSeveralTicketsAreAllKept) {
  ev::Loop loop;
  TestPair pair(loop);
  pair.shake_hands();
  ASSERT_TRUE(pair.client && pair.server_writes("250 ok\r\n").ok());
  EXPECT_EQ(pair.client_reads(8), "250 ok\r\n");
  const std::vector<std::string> sessions = pair.client->take_sessions();
  ASSERT_EQ(sessions.size(), 2U); // as many as GnuTLS's servers send
  EXPECT_NE(sessions[0], sessions[1]);
  for (const std::string& session : sessions) {
    TestPair again(loop);
    again.client_wish.session = session;
    again.shake_hands();
    ASSERT_TRUE(again.client) << again.client_error().text();
    EXPECT_TRUE(again.client->facts().resumed);
  }
}

// One session with data, and what it leaves behind for the next.
std::string session_of(ev::Loop& loop, const char* priority) {
  TestPair pair(loop);
  pair.client_wish.priority = priority;
  pair.shake_hands();
  EXPECT_TRUE(pair.client && pair.server_writes("250 ok\r\n").ok());
  EXPECT_EQ(pair.client_reads(8), "250 ok\r\n");
  return last_session(*pair.client);
}

// A cache that gives back something else costs a full handshake and nothing more.
TEST(TlsSessions, DamagedOnesAreNotOffered) {
  for (const char* priority : {kNormal, kTls12}) {
    ev::Loop loop;
    const std::string good = session_of(loop, priority);
    ASSERT_FALSE(good.empty());
    std::vector<std::string> bad{"",
                                 "PRT1",
                                 "garbage",
                                 std::string(5000, '\0'),
                                 good.substr(0, good.size() / 2),
                                 good + "x",
                                 "PRT1" + std::string(300, '\xff')};
    for (std::size_t at = 0; at < good.size(); at += 97) {
      bad.push_back(good);
      bad.back()[at] = static_cast<char>(bad.back()[at] ^ 1);
    }
    for (const std::string& session : bad) {
      TestPair pair(loop);
      pair.client_wish.priority = priority;
      pair.client_wish.session = session;
      pair.shake_hands();
      ASSERT_TRUE(pair.client && pair.server);
      EXPECT_FALSE(pair.client->facts().resumed);
    }
  }
}

TEST(TlsSessions, BelongToOnePriorityAndServerName) {
  for (const char* priority : {kNormal, kTls12}) {
    ev::Loop loop;
    const std::string session = session_of(loop, priority);
    for (const bool other_name : {true, false}) {
      TestPair pair(loop);
      pair.client_wish.priority =
          std::string(priority) + (other_name ? "" : ":-CIPHER-ALL:+AES-128-GCM");
      if (other_name) pair.client_wish.server_name = "other.example.com";
      pair.client_wish.session = session;
      pair.shake_hands();
      ASSERT_TRUE(pair.client && pair.server);
      EXPECT_FALSE(pair.client->facts().resumed);
      EXPECT_EQ(pair.client->chain().size(), 1U); // there is something to judge
    }
  }
}

// The server's keys have changed: it declines, and a full handshake follows at once.
TEST(TlsSessions, DeclinedOnesCostNothing) {
  for (const char* priority : {kNormal, kTls12}) {
    ev::Loop loop;
    const std::string session = session_of(loop, priority);
    TestPair pair(loop);
    pair.client_wish.priority = priority;
    pair.client_wish.session = session;
    pair.server_wish.ticket_keys = {std::string(64, 'n')};
    pair.shake_hands();
    ASSERT_TRUE(pair.client && pair.server) << pair.client_error().text();
    EXPECT_FALSE(pair.client->facts().resumed);
    ASSERT_TRUE(pair.server_writes("250 ok\r\n").ok());
    EXPECT_EQ(pair.client_reads(8), "250 ok\r\n");
    EXPECT_FALSE(pair.client->take_sessions().empty());
  }
}

// Tickets of TLS 1.3 come behind the handshake, perhaps when the connection has long been idle.
TEST(TlsSessions, LateTicketsAreFoundWithoutWaiting) {
  ev::Loop loop;
  TestPair pair(loop);
  pair.shake_hands();
  ASSERT_TRUE(pair.client && pair.server);
  EXPECT_TRUE(pair.client->is_quiet());
  EXPECT_FALSE(pair.client->take_sessions().empty());
  EXPECT_TRUE(pair.client->is_quiet());
  EXPECT_TRUE(pair.client->take_sessions().empty());
  ASSERT_TRUE(pair.server_writes("421 4.4.2 timeout\r\n").ok());
  EXPECT_FALSE(pair.client->is_quiet());
}

// After QUIT: the reply, close_notify, FIN; what the tickets before them gave is still there.
TEST(TlsSessions, OutliveTheConnection) {
  for (const char* priority : {kNormal, kTls12})
    for (const bool politely : {true, false}) {
      ev::Loop loop;
      TestPair pair(loop);
      pair.client_wish.priority = priority;
      pair.shake_hands();
      ASSERT_TRUE(pair.client && pair.server);
      ASSERT_TRUE(pair.server_writes("221 bye\r\n").ok());
      if (politely) pair.server->shutdown_write();
      pair.server.reset();
      EXPECT_EQ(pair.client_reads(9), "221 bye\r\n");
      EXPECT_EQ(pair.client_reads(1), "");
      EXPECT_EQ(pair.end->kind(), ErrorKind::closed);
      const std::string session = last_session(*pair.client);
      ASSERT_FALSE(session.empty());
      TestPair again(loop);
      again.client_wish.priority = priority;
      again.client_wish.session = session;
      again.shake_hands();
      ASSERT_TRUE(again.client && again.server);
      EXPECT_TRUE(again.client->facts().resumed);
    }
}

TEST(TlsSessions, ServersWithoutTicketsLeaveNone) {
  ev::Loop loop;
  TestPair pair(loop);
  pair.server_wish.ticket_keys.clear();
  pair.shake_hands();
  ASSERT_TRUE(pair.client && pair.server);
  EXPECT_TRUE(pair.client->is_quiet());
  EXPECT_TRUE(pair.client->take_sessions().empty());
}

std::string log_of(TestPair& pair, bool with_data) {
  pair.client_wish.trace = "mx.example.com[192.0.2.1]:25";
  pair.client_wish.trace_data = with_data;
  log::flush();
  testing::internal::CaptureStderr();
  pair.shake_hands();
  if (pair.client) {
    EXPECT_TRUE(pair.client_writes("EHLO secret\r\n").ok());
    EXPECT_EQ(pair.server_reads(13), "EHLO secret\r\n");
    EXPECT_TRUE(pair.server_writes("250 ok\r\n").ok());
    EXPECT_EQ(pair.client_reads(8), "250 ok\r\n");
    pair.client->shutdown_write();
  }
  log::flush();
  return testing::internal::GetCapturedStderr();
}

TEST(TlsTrace, NamesMessagesAndAlerts) {
  ev::Loop loop;
  for (const bool with_data : {false, true}) {
    TestPair pair(loop);
    const std::string text = log_of(pair, with_data);
    for (const char* line :
         {": sent CLIENT HELLO, ", ": received SERVER HELLO, ", ": received CERTIFICATE, ",
          ": received FINISHED, ", ": received NEW SESSION TICKET, ", ": sent alert: Close notify"})
      EXPECT_NE(text.find("mx.example.com[192.0.2.1]:25" + std::string(line)), text.npos)
          << line << "\n"
          << text;
    EXPECT_EQ(text.find(": sent data, 13 bytes") != text.npos, with_data) << text;
    EXPECT_EQ(text.find(": received data, 8 bytes") != text.npos, with_data) << text;
    EXPECT_EQ(text.find("secret"), text.npos) << text;
  }
  TestPair old(loop);
  old.server_wish.priority = kTls12;
  old.client_wish.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3";
  const std::string text = log_of(old, false);
  EXPECT_NE(text.find(": received alert: Handshake failed"), text.npos) << text;
}

TEST(TlsTrace, IsBounded) {
  ev::Loop loop;
  TestPair pair(loop);
  pair.client_wish.trace = "it";
  pair.client_wish.trace_data = true;
  log::flush();
  testing::internal::CaptureStderr();
  pair.shake_hands();
  ASSERT_TRUE(pair.client);
  for (int i = 0; i < 300; ++i) {
    EXPECT_TRUE(pair.client_writes("NOOP\r\n").ok());
    EXPECT_EQ(pair.server_reads(6), "NOOP\r\n");
  }
  log::flush();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 200);
  EXPECT_NE(text.find("it: no more of it is logged\n"), text.npos);
}

TEST(TlsQuiet, ClosedConnectionsAreNot) {
  for (const bool politely : {true, false}) {
    ev::Loop loop;
    TestPair pair(loop);
    pair.shake_hands();
    ASSERT_TRUE(pair.client && pair.server);
    EXPECT_TRUE(pair.client->is_quiet());
    if (politely)
      pair.server->shutdown_write();
    else
      pair.server.reset();
    EXPECT_FALSE(pair.client->is_quiet());
    EXPECT_FALSE(pair.client->is_quiet());
  }
}

struct NameCase {
  std::string name;
  bool fine;
};
TEST(TlsServerName, OnlyHostNamesAreSent) {
  for (const NameCase& each : std::vector<NameCase>{{"mx.example.com.", true},
                                                    {"_tcp.example.com", true}, // not sent
                                                    {"192.0.2.1", true},
                                                    {"2001:db8::1", true},
                                                    {std::string(63, 'a') + ".example.com", true},
                                                    {std::string(255, 'a'), false},
                                                    {std::string(70000, 'a'), false},
                                                    {std::string("mx\0.example.com", 15), false},
                                                    {"m\xc3\xbcller.example", false},
                                                    {" ", false}}) {
    ev::Loop loop;
    TestPair pair(loop);
    pair.client_wish.server_name = each.name;
    pair.shake_hands();
    ASSERT_TRUE(pair.client_result);
    EXPECT_EQ(pair.client != nullptr, each.fine)
        << each.name << ": " << (pair.client ? "" : pair.client_error().text());
    if (!each.fine) {
      EXPECT_EQ(pair.client_error().kind(), ErrorKind::config);
    }
  }
}

TEST(TlsVersions, APeerThatIsTooOldIsSentAway) {
  for (const char* old : {"NORMAL:-VERS-ALL:+VERS-TLS1.0", "NORMAL:-VERS-ALL:+VERS-TLS1.1"}) {
    ev::Loop loop;
    TestPair pair(loop);
    pair.client_wish.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
    pair.server_wish.priority = old;
    pair.shake_hands();
    ASSERT_FALSE(pair.client);
    EXPECT_EQ(pair.client_error().kind(), ErrorKind::protocol);
    EXPECT_THAT(pair.client_error().text(), testing::HasSubstr("unsupported version"));
  }
}

TEST(TlsPriority, BadOnesAreConfigurationErrors) {
  ev::Loop loop;
  TestPair pair(loop);
  pair.client_wish.priority = "NORMAL:+NO-SUCH-THING";
  pair.shake_hands();
  ASSERT_FALSE(pair.client);
  EXPECT_EQ(pair.client_error().kind(), ErrorKind::config);
  EXPECT_THAT(pair.client_error().text(), testing::HasSubstr("NO-SUCH-THING"));
}

} // namespace
} // namespace postrider::tls
