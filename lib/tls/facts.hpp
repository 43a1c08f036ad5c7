// SPDX-License-Identifier: MIT
// What was agreed in a handshake, in Postfix's words.
#pragma once

#include <gnutls/gnutls.h>

#include "tls/stream.hpp"

namespace postrider::tls {

Facts describe(gnutls_session_t session, bool server);

// "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" is "ECDHE-RSA-AES256-GCM-SHA384". Names of TLS 1.3, and
// those that OpenSSL does not have, stay.
std::string openssl_cipher_name(std::string_view iana);

} // namespace postrider::tls
