// SPDX-License-Identifier: MIT
// The header of the PROXY protocol, versions 1 (a line) and 2 (binary), that a proxy such as
// haproxy puts in front of a connection: who the client is, and where it connected to
// (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).
//
//   PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\n
//
// Exactly the header is taken off the connection, so that what follows it belongs to whoever reads
// on: the session, or a TLS handshake.
#pragma once

#include "ev/task.hpp"
#include "net/address.hpp"

namespace postrider::smtpd {

struct ProxyHeader {
  bool has_client = false; // no: the proxy speaks for itself (LOCAL), or does not know (UNKNOWN)
  net::Address client;
  net::Address server;
};

// Looks at what has come so far. `length` is that of the whole header, or 0 when more has to come;
// then all of `bytes` belongs to the header. Error protocol: this is none. Pure.
struct ProxyParse {
  std::size_t length = 0;
  ProxyHeader header;
};
Result<ProxyParse> parse_proxy_header(std::string_view bytes);

// WAITS. `fd` stays the caller's, who keeps it open meanwhile.
ev::Task<Result<ProxyHeader>> read_proxy_header(ev::Loop& loop, int fd, ev::Deadline deadline);

} // namespace postrider::smtpd
