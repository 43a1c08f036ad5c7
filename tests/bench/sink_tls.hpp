// SPDX-License-Identifier: MIT
// The TLS of bench_sink: GnuTLS on a non-blocking socket. One certificate and one ticket key for
// all addresses; sessions are resumed by tickets alone. The calls are those of read(2) and send(2),
// with EAGAIN where they would wait.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <gnutls/gnutls.h>
#include <sys/types.h>

class SinkTls {
 public:
  // PEM: the key and the certificate.
  explicit SinkTls(const char* file) {
    check(gnutls_certificate_allocate_credentials(&credentials_));
    check(gnutls_certificate_set_x509_key_file(credentials_, file, file, GNUTLS_X509_FMT_PEM));
    check(gnutls_session_ticket_key_generate(&ticket_key_));
  }

  gnutls_session_t begin(int fd) const {
    gnutls_session_t session;
    check(gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL));
    // Curves only, as most servers have it: GnuTLS else takes FFDHE from whoever offers that at
    // all.
    check(gnutls_priority_set_direct(session, "NORMAL:-GROUP-DH-ALL", nullptr));
    check(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials_));
    check(gnutls_session_ticket_enable_server(session, &ticket_key_));
    gnutls_transport_set_int(session, fd);
    return session;
  }

  static ssize_t shake_hands(gnutls_session_t session) {
    return to_errno(gnutls_handshake(session));
  }
  static ssize_t read(gnutls_session_t session, char* into, size_t size) {
    return to_errno(gnutls_record_recv(session, into, size));
  }
  // After EAGAIN: again with nothing, which sends what was taken then, and returns how much it was.
  static ssize_t send(gnutls_session_t session, const char* from, size_t size) {
    return to_errno(gnutls_record_send(session, from, size));
  }

 private:
  static ssize_t to_errno(ssize_t result) {
    if (result >= 0) return result;
    errno = result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED ? EAGAIN : EIO;
    return -1;
  }
  static void check(int result) {
    if (result >= 0) return;
    std::fprintf(stderr, "bench_sink: TLS: %s\n", gnutls_strerror(result));
    std::exit(2);
  }

  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_datum_t ticket_key_{};
};
