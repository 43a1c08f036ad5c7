// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

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

TEST(TlsStreamTest, ResumesOnce) {
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
      session = pair.client->take_session();
      EXPECT_FALSE(session.empty());
      EXPECT_EQ(pair.client->take_session(), "");
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

} // namespace
} // namespace postrider::tls
