// SPDX-License-Identifier: MIT
// TlsStream: TLS over another Stream, as client (as server: with smtpd's TLS). GnuTLS never touches
// a socket: records go through the buffers of the stream below, so every wait is a wait of that
// stream and has its deadline, and a record once given to GnuTLS is taken as a whole.
//
//   T1  no byte that came before the handshake is ever seen behind it
//   T2  the end of the stream is an Error, whether close_notify came (closed) or not (protocol)
//   T3  never renegotiated; what a peer can make us do without sending data is counted and bounded
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/stream.hpp"
#include "tls/credentials.hpp"

namespace postrider::tls {

struct ClientHandshake {
  std::shared_ptr<const Credentials> credentials;
  std::string priority;
  std::string server_name; // SNI, A-labels; empty: none is sent (RFC 6066 section 3)
  std::string session; // of session() of an earlier connection; empty or unusable: full handshake
};

struct Facts {
  std::string protocol; // "TLSv1.3"
  std::string cipher;   // in OpenSSL's names, as Postfix logs: "TLS_AES_256_GCM_SHA384"
  int bits = 0;         // of the cipher, in use and of the algorithm
  int algorithm_bits = 0;
  std::string
      details; // "key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"
  bool resumed = false;
  std::vector<std::string> chain; // DER, the server's own first; of the first session when resumed
};

class TlsStream final : public net::Stream {
 public:
  // WAITS for the handshake. REQUIRES below->buffered().empty() (T1). Certificates are not judged
  // here: see verify.hpp. Errors: timeout, closed, protocol (with the reason of the library or of
  // the peer's alert: "A TLS fatal alert has been received: handshake failure"), config.
  static ev::Task<Result<std::unique_ptr<TlsStream>>>
  connect(std::unique_ptr<net::Stream>& below, ev::Lent<const ClientHandshake> handshake,
          ev::Deadline deadline);
  ~TlsStream() override;

  ev::Task<Result<void>> fill(ev::Deadline deadline) override;
  ev::Task<Result<void>> write(ByteView bytes, ev::Deadline deadline) override;
  ev::Task<Result<std::size_t>> write_some(ByteView bytes, ev::Deadline deadline) override;
  void shutdown_write() override; // close_notify, as far as the kernel takes it now
  bool is_quiet() override;

  const Facts& facts() const;
  // For the next connection to the same server: what ClientHandshake::session takes. Tickets of
  // TLS 1.3 come behind the handshake, and each is good once: ask when the connection ends, or when
  // it becomes idle. Empty: there is none, or none that was not asked for before.
  std::string take_session();

 private:
  struct Impl;
  explicit TlsStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

} // namespace postrider::tls
