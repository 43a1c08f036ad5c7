// SPDX-License-Identifier: MIT
// What was agreed in a handshake, in Postfix's words.
#pragma once

#include <gnutls/gnutls.h>

#include "tls/stream.hpp"

namespace postrider::tls {

Facts describe(gnutls_session_t session, bool server);

} // namespace postrider::tls
