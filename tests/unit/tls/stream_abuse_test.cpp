// SPDX-License-Identifier: MIT
// Peers that keep to TLS and mean harm, and peers that do not speak it. The bad peer is GnuTLS
// itself, driven by hand.
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gtest/gtest.h>

#include "test_pair.hpp"
#include "tls/native.hpp"

namespace postrider::tls {
namespace {

using test::MemoryStream;

// A side of TLS over one end of a MemoryStream pair, without any of TlsStream's caution.
class BadPeer {
 public:
  BadPeer(std::unique_ptr<net::Stream>& below, bool server, const char* priority,
          const Credentials* credentials)
      : below_(std::move(below)) {
    gnutls_init(&session_, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK);
    const char* where = nullptr;
    must(gnutls_priority_set_direct(session_, priority, &where));
    if (credentials != nullptr) {
      must(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials->native().handle));
    } else {
      must(gnutls_certificate_allocate_credentials(&none_));
      must(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, none_));
    }
    if (server) {
      must(gnutls_session_ticket_key_generate(&ticket_key_));
      must(gnutls_session_ticket_enable_server(session_, &ticket_key_));
    }
    gnutls_transport_set_ptr(session_, this);
    gnutls_transport_set_push_function(session_, push);
    gnutls_transport_set_pull_function(session_, pull);
    gnutls_transport_set_pull_timeout_function(session_, [](auto, unsigned) { return 1; });
  }
  ~BadPeer() {
    gnutls_deinit(session_);
    if (none_ != nullptr) gnutls_certificate_free_credentials(none_);
    gnutls_free(ticket_key_.data);
  }
  static void must(int rc) { POSTRIDER_CHECK(rc >= 0, gnutls_strerror(rc)); }

  ev::Task<Result<void>> shake_hands(ev::Deadline deadline) {
    while (true) {
      const int rc = gnutls_handshake(session_);
      if (rc == GNUTLS_E_SUCCESS) co_return Result<void>();
      if (gnutls_error_is_fatal(rc) != 0) co_return Error(ErrorKind::protocol, gnutls_strerror(rc));
      Result<void> more = co_await below_->fill(deadline);
      if (!more) co_return more.error();
    }
  }
  gnutls_session_t session() { return session_; }
  net::Stream& below() { return *below_; }

 private:
  static ssize_t push(gnutls_transport_ptr_t self, const void* data, std::size_t size) {
    const auto sent = static_cast<BadPeer*>(self)->below_->write_now(
        ByteView(static_cast<const char*>(data), size));
    return sent ? static_cast<ssize_t>(*sent) : -1;
  }
  static ssize_t pull(gnutls_transport_ptr_t self, void* into, std::size_t size) {
    BadPeer& peer = *static_cast<BadPeer*>(self);
    const ByteView have = peer.below_->buffered();
    if (have.empty()) {
      gnutls_transport_set_errno(peer.session_, EAGAIN);
      return -1;
    }
    const std::size_t count = std::min(size, have.size());
    std::memcpy(into, have.data(), count);
    peer.below_->consume(count);
    return static_cast<ssize_t>(count);
  }

  std::unique_ptr<net::Stream> below_;
  gnutls_session_t session_ = nullptr;
  gnutls_certificate_credentials_t none_ = nullptr;
  gnutls_datum_t ticket_key_{};
};

// GnuTLS does not send empty records: made with its keys (RFC 8446 section 5.2, RFC 5288 section
// 3).
int send_empty_record(gnutls_session_t session) {
  gnutls_datum_t iv{}, key{};
  unsigned char number[8];
  BadPeer::must(gnutls_record_get_state(session, 0, nullptr, &iv, &key, number));
  const bool tls13 = gnutls_protocol_get_version(session) >= GNUTLS_TLS1_3;
  std::string nonce(reinterpret_cast<char*>(iv.data), iv.size);
  std::string header("\x17\x03\x03", 3), extra, plain;
  if (tls13) {
    for (int i = 0; i < 8; ++i)
      nonce[nonce.size() - 8 + i] = static_cast<char>(nonce[nonce.size() - 8 + i] ^ number[i]);
    plain = "\x17";
    header += std::string("\0\x11", 2);
    extra = header;
  } else {
    nonce.resize(4);
    const std::string sequence(reinterpret_cast<char*>(number), 8);
    nonce += sequence;
    extra = sequence + header + std::string("\0\0", 2);
    header += std::string("\0\x18", 2) + sequence;
  }
  gnutls_aead_cipher_hd_t cipher = nullptr;
  BadPeer::must(gnutls_aead_cipher_init(&cipher, gnutls_cipher_get(session), &key));
  char sealed[64];
  std::size_t size = sizeof sealed;
  BadPeer::must(gnutls_aead_cipher_encrypt(cipher, nonce.data(), nonce.size(), extra.data(),
                                           extra.size(), 16, plain.data(), plain.size(), sealed,
                                           &size));
  gnutls_aead_cipher_deinit(cipher);
  for (int i = 7; i >= 0 && ++number[i] == 0; --i) {
  }
  BadPeer::must(gnutls_record_set_state(session, 0, number));
  auto* peer = static_cast<BadPeer*>(gnutls_transport_get_ptr(session));
  const auto sent = peer->below().write_now(header + std::string(sealed, size));
  return sent && *sent == header.size() + size ? 0 : -1;
}

ev::RootTask runs(BadPeer& peer, ev::Loop& loop, std::optional<Result<void>>& result) {
  result = co_await peer.shake_hands(loop.after(std::chrono::seconds(20)));
}

// Our client and a bad server, or our server and a bad client.
struct AbusedPair : TestPair {
  AbusedPair(ev::Loop& l, const char* priority, bool bad_server = true,
             const Credentials* credentials = shared_server().get())
      : TestPair(l, {.window = 8 << 20}, {.window = 8 << 20}) {
    client_wish.priority = priority;
    if (bad_server)
      bad = std::make_unique<BadPeer>(below_server, true, priority, credentials);
    else
      bad = std::make_unique<BadPeer>(below_client, false, priority, nullptr);
    begin(bad_server ? Who::client : Who::server);
    group.spawn(runs(*bad, loop, bad_result), "bad peer");
    while (!group.empty())
      loop.turn(true);
  }
  std::unique_ptr<BadPeer> bad;
  std::optional<Result<void>> bad_result;
};

struct Abuse {
  std::string name;
  const char* priority;
  int (*once)(gnutls_session_t session);
  int harmless; // so often it does no harm
};
std::ostream& operator<<(std::ostream& out, const Abuse& abuse) { return out << abuse.name; }

class TlsAbuse : public testing::TestWithParam<Abuse> {};

TEST_P(TlsAbuse, NowAndThenIsFine) {
  ev::Loop loop;
  AbusedPair pair(loop, GetParam().priority);
  ASSERT_TRUE(pair.client) << pair.client_error().text();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < GetParam().harmless; ++i)
      ASSERT_GE(GetParam().once(pair.bad->session()), 0);
    EXPECT_TRUE(pair.client->is_quiet());
    ASSERT_EQ(gnutls_record_send(pair.bad->session(), "250 ok\r\n", 8), 8);
    EXPECT_FALSE(pair.client->is_quiet());
    EXPECT_EQ(pair.client_reads(8), "250 ok\r\n");
  }
}

TEST_P(TlsAbuse, WithoutEndIsEnded) {
  for (const bool waits : {true, false}) {
    ev::Loop loop;
    AbusedPair pair(loop, GetParam().priority);
    ASSERT_TRUE(pair.client) << pair.client_error().text();
    for (int i = 0; i < 10'000 && pair.raw_server->sent() < (1 << 20); ++i)
      if (GetParam().once(pair.bad->session()) < 0) break;
    if (waits) {
      EXPECT_EQ(pair.client_reads(1), "");
      EXPECT_EQ(pair.end->kind(), ErrorKind::protocol) << pair.end->text();
    }
    EXPECT_FALSE(pair.client->is_quiet());
    EXPECT_LT(pair.client->buffered().size(), net::Stream::kInputLimit);
    // It took no more than it had to.
    EXPECT_GT(pair.raw_client->waiting() + pair.raw_client->buffered().size(), 100'000U);
    EXPECT_FALSE(pair.client_writes("NOOP\r\n").ok());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, TlsAbuse,
    testing::ValuesIn<Abuse>({
        {"EmptyRecords13", kNormal, send_empty_record, 50},
        {"EmptyRecords12", kTls12, send_empty_record, 50},
        {"KeyUpdates", kNormal, [](gnutls_session_t s) { return gnutls_session_key_update(s, 0); },
         2},
        {"KeyUpdatesWithAnswer", kNormal,
         [](gnutls_session_t s) { return gnutls_session_key_update(s, GNUTLS_KU_PEER); }, 2},
        {"Tickets", kNormal, [](gnutls_session_t s) { return gnutls_session_ticket_send(s, 1, 0); },
         8},
        {"Warnings", kTls12,
         [](gnutls_session_t s) {
           return gnutls_alert_send(s, GNUTLS_AL_WARNING, GNUTLS_A_USER_CANCELED);
         },
         20},
        {"HelloRequests", kTls12, [](gnutls_session_t s) { return gnutls_rehandshake(s); }, 5},
    }),
    [](const auto& each) { return each.param.name; });

TEST(TlsRenegotiation, AClientThatAsksForItIsSentAway) {
  ev::Loop loop;
  AbusedPair pair(loop, kTls12, false);
  ASSERT_TRUE(pair.server);
  EXPECT_EQ(gnutls_handshake(pair.bad->session()), GNUTLS_E_AGAIN);
  EXPECT_EQ(pair.server_reads(1), "");
  EXPECT_EQ(pair.end->kind(), ErrorKind::protocol);
}

TEST(TlsRecords, OfOneByteAreReadAsTheyCome) {
  ev::Loop loop;
  AbusedPair pair(loop, kNormal);
  ASSERT_TRUE(pair.client);
  std::string text;
  for (int i = 0; i < 16 * 1024; ++i) {
    text += static_cast<char>('a' + i % 26);
    ASSERT_EQ(gnutls_record_send(pair.bad->session(), &text.back(), 1), 1);
  }
  EXPECT_TRUE(pair.client_reads(text.size()) == text);
}

// 256 kB may wait; what is more waits below and comes later.
TEST(TlsRecords, InputIsBounded) {
  ev::Loop loop;
  AbusedPair pair(loop, kNormal);
  ASSERT_TRUE(pair.client);
  const std::string piece(16 * 1024, 'x');
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(gnutls_record_send(pair.bad->session(), piece.data(), piece.size()),
              static_cast<ssize_t>(piece.size()));
  Result<void> full;
  while (full)
    full = test::run_task<Result<void>>(
        loop, [&] { return pair.client->fill(loop.after(std::chrono::seconds(5))); });
  EXPECT_EQ(full.error().kind(), ErrorKind::limit);
  EXPECT_EQ(pair.client->buffered().size(), net::Stream::kInputLimit);
  EXPECT_EQ(pair.client_reads(100 * piece.size()), std::string(100 * piece.size(), 'x'));
}

TEST(TlsAlerts, FatalOnesAreNamed) {
  for (const char* priority : {kNormal, kTls12}) {
    ev::Loop loop;
    AbusedPair pair(loop, priority);
    ASSERT_TRUE(pair.client);
    ASSERT_EQ(gnutls_record_send(pair.bad->session(), "250 ", 4), 4);
    ASSERT_GE(gnutls_alert_send(pair.bad->session(), GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR), 0);
    EXPECT_EQ(pair.client_reads(8), "250 "); // what came before it is told
    EXPECT_EQ(pair.client_reads(8), "");
    EXPECT_EQ(pair.end->text(), "A TLS fatal alert has been received: Internal error");
    EXPECT_EQ(pair.end->kind(), ErrorKind::protocol);
    EXPECT_FALSE(pair.client_writes("QUIT\r\n").ok());
  }
}

// Peers that speak something else, told to our client and to our server.
struct Stranger {
  std::string name, says, text;
};
class TlsStranger : public testing::TestWithParam<Stranger> {};
TEST_P(TlsStranger, IsRecognised) {
  for (const bool client : {true, false})
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1} << 20}) {
      ev::Loop loop;
      TestPair pair(loop, {.piece = piece}, {.piece = piece});
      (client ? pair.raw_server : pair.raw_client)->write_now(GetParam().says).value();
      (client ? pair.raw_server : pair.raw_client)->shutdown_write();
      pair.begin(client ? TestPair::Who::client : TestPair::Who::server);
      while (!pair.group.empty())
        loop.turn(true);
      const Result<void>& result = client ? *pair.client_result : *pair.server_result;
      ASSERT_FALSE(result.ok());
      EXPECT_THAT(result.error().text(), testing::HasSubstr(GetParam().text)) << client << piece;
    }
}
INSTANTIATE_TEST_SUITE_P(
    Kinds, TlsStranger,
    testing::ValuesIn<Stranger>({
        {"SmtpGreeting", "220 mx.example.com ESMTP Postfix\r\n", "the peer does not speak TLS"},
        {"Http", "HTTP/1.1 400 Bad Request\r\n\r\n", "the peer does not speak TLS"},
        {"Zeros", std::string(100, '\0'), "the peer does not speak TLS"},
        {"RecordTooLong", std::string("\x16\x03\x03\xff\xff", 5) + std::string(70000, 'x'), "TLS"},
        {"Nothing", "", "closed"},
    }),
    [](const auto& each) { return each.param.name; });

// What a server says that has no cipher in common with us.
TEST(TlsAlerts, InTheHandshakeAreNamed) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{1} << 20}) {
    ev::Loop loop;
    TestPair pair(loop, {.piece = piece}, {});
    (void)pair.raw_server->write_now(ByteView("\x15\x03\x03\x00\x02\x02\x28", 7));
    pair.begin(TestPair::Who::client);
    while (!pair.group.empty())
      loop.turn(true);
    ASSERT_FALSE(pair.client);
    EXPECT_EQ(pair.client_error().text(), "A TLS fatal alert has been received: Handshake failed");
    EXPECT_EQ(pair.client_error().kind(), ErrorKind::protocol);
  }
}

TEST(TlsGarbage, EndsTheHandshake) {
  std::uint32_t state = 1;
  for (int round = 0; round < 300; ++round) {
    std::string noise(round % 3 == 0 ? "\x16\x03\x03" : "");
    for (int i = 0; i < 600; ++i) {
      state = state * 1664525 + 1013904223;
      noise += static_cast<char>(state >> 24);
    }
    ev::Loop loop;
    TestPair pair(loop);
    (void)pair.raw_server->write_now(noise);
    pair.raw_server->shutdown_write();
    pair.begin(TestPair::Who::client);
    while (!pair.group.empty())
      loop.turn(true);
    ASSERT_FALSE(pair.client);
  }
}

// T1: what came in the same segment as the answer to STARTTLS.
TEST(TlsEarlyBytes, AreRefused) {
  ev::Loop loop;
  TestPair pair(loop);
  (void)pair.raw_server->write_now("250 injected\r\n");
  ASSERT_TRUE(*pair.raw_client->fill_now());
  pair.begin(TestPair::Who::client);
  while (!pair.group.empty())
    loop.turn(true);
  ASSERT_FALSE(pair.client);
  EXPECT_EQ(pair.client_error().kind(), ErrorKind::protocol);
  EXPECT_EQ(pair.client_error().text(), "data came before the TLS handshake");
  EXPECT_EQ(pair.raw_server == nullptr ? 0U : pair.below_server->buffered().size(), 0U);
}

TEST(TlsServerName, ReachesTheServer) {
  ev::Loop loop;
  AbusedPair pair(loop, kNormal);
  char name[256];
  std::size_t size = sizeof name;
  unsigned type = 0;
  ASSERT_EQ(gnutls_server_name_get(pair.bad->session(), name, &size, &type, 0), 0);
  EXPECT_EQ(std::string_view(name, size), "mx.example.com");
}

// 512 bits, a safe prime; made by openssl dhparam.
// 512 bits, 768 bits.
constexpr const char* kTinyDh[] = {
    "-----BEGIN DH PARAMETERS-----\n"
    "MEYCQQCQ8rzTiJfySnG4/P9A74cdgzFJQTQZopCJN5TfgrsnrIpwq3UL3pfwPtDc\n"
    "HFcKAUdyMFuDjCSJfZrMx0kkJka/AgEC\n"
    "-----END DH PARAMETERS-----\n",
    "-----BEGIN DH PARAMETERS-----\n"
    "MGYCYQDOSYHqKFtxz3Jn5cJ1ttjImAIj/a4UQ2ssKau740hw5f/kpsZSVwsP/RzT\n"
    "hxVOyMfxhHvY2whRbCuPZ6qe+kUv2oPqWlI3iqgIjKmomvRJ9yYBzHbyKfZbU8gd\n"
    "BdNy4gcCAQI=\n"
    "-----END DH PARAMETERS-----\n"};

class TlsTinyDh : public testing::TestWithParam<const char*> {};
TEST_P(TlsTinyDh, IsRefused) {
  test::ScratchDir dir;
  const auto rsa = server_credentials(dir, {make_certificate({.key = TestKey::rsa})});
  gnutls_dh_params_t params = nullptr;
  BadPeer::must(gnutls_dh_params_init(&params));
  const gnutls_datum_t pem{reinterpret_cast<unsigned char*>(const_cast<char*>(GetParam())),
                           static_cast<unsigned>(std::strlen(GetParam()))};
  BadPeer::must(gnutls_dh_params_import_pkcs3(params, &pem, GNUTLS_X509_FMT_PEM));
  gnutls_certificate_set_dh_params(rsa->native().handle, params);
  {
    ev::Loop loop;
    // Without groups of RFC 7919, so that the server's own parameters are used.
    const char* priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA:-GROUP-DH-ALL";
    AbusedPair pair(loop, priority, true, rsa.get());
    ASSERT_FALSE(pair.client);
    EXPECT_EQ(pair.client_error().kind(), ErrorKind::protocol);
    EXPECT_THAT(pair.client_error().text(), testing::HasSubstr("Diffie-Hellman prime"));
  }
  gnutls_dh_params_deinit(params);
}
INSTANTIATE_TEST_SUITE_P(All, TlsTinyDh, testing::ValuesIn(kTinyDh));

} // namespace
} // namespace postrider::tls
