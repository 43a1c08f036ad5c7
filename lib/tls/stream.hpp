// SPDX-License-Identifier: MIT
// TlsStream: TLS over another Stream, as client or as server. GnuTLS never touches a socket:
// records go through the buffers of the stream below, so every wait is a wait of that stream and
// has its deadline, and a record once given to GnuTLS is taken as a whole.
//
//   T1  no byte that came before the handshake is ever seen behind it
//   T2  the end of the stream is Error closed; its text tells whether close_notify came
//   T3  never renegotiated; what a peer can make us do without sending data is counted and bounded
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ev/lent.hpp"
#include "net/stream.hpp"
#include "tls/credentials.hpp"

namespace postrider::tls {

struct ClientHandshake {
  std::shared_ptr<const Credentials> credentials;
  std::string priority;    // GnuTLS's: to_priority()
  std::string server_name; // SNI, A-labels; empty: none is sent (RFC 6066 section 3)
  // One of take_sessions() of an earlier connection. Empty, damaged, or made with another priority
  // or server name: full handshake.
  std::string session;
  // Not empty: the log gets, behind these words, each message of the handshake and each alert by
  // its name, and with trace_data how much goes each way later; 200 lines of a connection at most.
  std::string trace;
  bool trace_data = false;
};

struct ServerHandshake {
  std::shared_ptr<const Credentials> credentials; // of files with `server` set
  std::string priority;
  bool ask_certificate = false; // of the client, which may have none
  // Keys of session tickets, 64 random bytes each: the first makes them, the others open those of
  // earlier. Empty: sessions are not resumed.
  std::vector<std::string> ticket_keys = {};
  // A ticket opens only where this, and the certificates, are the same.
  std::string ticket_context = {};
  std::chrono::seconds session_life{3600};
  // What a client gets that asks for this name (RFC 6066 section 3); null: the credentials above.
  // Never waits.
  std::function<std::shared_ptr<const Credentials>(std::string_view name)> named = {};
};

struct Facts {
  std::string protocol; // "TLSv1.3"
  std::string cipher;   // in OpenSSL's names, as Postfix logs: "TLS_AES_256_GCM_SHA384"
  int bits = 0;         // of the cipher, in use and of the algorithm
  int algorithm_bits = 0;
  // From TLS 1.3 on, where the cipher does not tell: "key-exchange X25519 server-signature RSA-PSS
  // (2048 bits) server-digest SHA256"
  std::string details;
  bool resumed = false;
  std::string server_name; // of a server: the one of ServerHandshake::named that was asked for
};
// "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 ..."
std::string to_string(const Facts& facts);

class TlsStream final : public net::Stream {
 public:
  // WAITS for the handshake. `below` is taken. Certificates are not judged here: see verify.hpp.
  // Errors: those of `below`; protocol (bytes that came too early (T1), or the reason of the
  // library or of the peer's alert: "A TLS fatal alert has been received: handshake failed");
  // config.
  static ev::Task<Result<std::unique_ptr<TlsStream>>>
  connect(std::unique_ptr<net::Stream>& below, ev::Lent<const ClientHandshake> handshake,
          ev::Deadline deadline);
  static ev::Task<Result<std::unique_ptr<TlsStream>>>
  accept(std::unique_ptr<net::Stream>& below, ev::Lent<const ServerHandshake> handshake,
         ev::Deadline deadline);
  ~TlsStream() override;

  ev::Task<Result<void>> fill(ev::Deadline deadline) override;
  ev::Task<Result<void>> write(ByteView bytes, ev::Deadline deadline) override;
  // One record, up to 16 kB. After an Error nothing more can be written: part of it may be gone.
  ev::Task<Result<std::size_t>> write_some(ByteView bytes, ev::Deadline deadline) override;
  void shutdown_write() override; // close_notify, as far as the kernel takes it now
  Result<bool> fill_now() override;

  const Facts& facts() const;
  // The peer's certificates, DER, its own first; those of the first session when this one is
  // resumed. Copied on each call, so that an idle connection does not hold them twice.
  std::vector<std::string> chain() const;
  // For connections to the same server that follow: what ClientHandshake::session takes, newest
  // last. Tickets of TLS 1.3 come behind the handshake, and each is good once: ask when the
  // connection ends, or when it becomes idle. Empty: there is none, or none that was not asked for
  // before.
  std::vector<std::string> take_sessions();
  static constexpr std::size_t kMostSessions = 4; // of one connection

 private:
  struct Impl;
  explicit TlsStream(std::unique_ptr<Impl> impl);
  ev::Task<Result<void>> shake_hands(ev::Deadline deadline);
  ev::Task<Result<void>> flush(ev::Deadline deadline);
  Result<bool> decrypt();

  std::unique_ptr<Impl> impl_;
};

} // namespace postrider::tls
