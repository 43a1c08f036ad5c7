// SPDX-License-Identifier: MIT
// From a connection in the clear to one that is as secure as its policy asks: STARTTLS (RFC 3207)
// or TLS from the first byte on, the handshake, the judgement of the certificate, EHLO once more.
//
//   S1  at a mandatory level nothing but EHLO, STARTTLS and QUIT is ever said in the clear, and
//       nothing but QUIT to a server that did not prove what it has to
//   S2  what was learned in the clear is forgotten; what came in the clear behind the reply to
//       STARTTLS ends the connection
#pragma once

#include <optional>

#include "smtpclient/greet.hpp"

namespace postrider::smtpclient {

// WAITS. REQUIRES occasion->plan. In place of greet(). Fills session.security. A session that comes
// back with a Trouble is good for a goodbye only.
ev::Task<std::optional<Trouble>> greet_securely(Session& session, TlsClient& tls,
                                                ev::Lent<const Occasion> occasion);

// A session in the clear that another process has opened, under the same policy.
void describe_clear(Session& session, const TlsPlanPtr& plan);

} // namespace postrider::smtpclient
