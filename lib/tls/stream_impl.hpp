// SPDX-License-Identifier: MIT
// What TlsStream has inside: a session of GnuTLS, whose records go through the buffers of the
// stream below, and what is remembered of it. Never included outside lib/tls.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tls/native.hpp"
#include "tls/stream.hpp"

namespace postrider::tls {

struct TlsStream::Impl {
  Impl(std::unique_ptr<net::Stream> stream, std::shared_ptr<const Credentials> c, bool is_server)
      : below(std::move(stream)), credentials(std::move(c)), server(is_server) {}
  Impl(const Impl&) = delete;
  ~Impl() {
    if (session != nullptr) gnutls_deinit(session);
  }

  Result<void> prepare(const std::string& priority);
  Result<void> send_server_name();
  Error trouble(int code);
  void abandon(int code);

  static ssize_t push(gnutls_transport_ptr_t self, const giovec_t* pieces, int count);
  static ssize_t pull(gnutls_transport_ptr_t self, void* into, std::size_t size);
  static int may_pull(gnutls_transport_ptr_t self, unsigned);
  static int saw_hello(gnutls_session_t session, unsigned, unsigned when, unsigned,
                       const gnutls_datum_t* message);
  static int choose_identity(gnutls_session_t session);
  int use(const std::shared_ptr<const Credentials>& its);
  int enable_tickets();
  static int saw_message(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                         const gnutls_datum_t* message);
  std::string packed_session();
  void trace_line(std::string_view what);
  void trace_alert(std::string_view direction, gnutls_alert_description_t alert);

  std::unique_ptr<net::Stream> below;
  std::shared_ptr<const Credentials> credentials;
  bool server;
  gnutls_session_t session = nullptr;
  std::string priority, server_name; // of a client, for take_sessions; of a server: if we know it
  std::string trace;                 // ClientHandshake's
  bool trace_data = false;
  int traced = 0;
  const ServerHandshake* asked = nullptr; // of a server, during the handshake
  std::string ticket_name;                // of the key of the ticket that the client has
  bool makes_tickets = false;
  bool established = false;
  std::string out;                          // records that `below` has not taken yet
  bool starved = false;                     // GnuTLS asked for more than `below` has buffered
  std::size_t taken = 0;                    // bytes of records since the last byte of data
  std::optional<char> first_byte;           // of what the peer sent
  std::vector<std::string> tickets;         // those of TLS 1.3 that nobody has taken yet
  bool has_session = false;                 // of TLS 1.2: nobody has taken it yet
  std::optional<Error> read_end, write_end; // no more of either
  Facts facts;
};

} // namespace postrider::tls
