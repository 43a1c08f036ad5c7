// SPDX-License-Identifier: MIT
#include "tls/digest.hpp"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "base/check.hpp"

namespace postrider::tls {

std::string sha256(ByteView bytes) {
  std::string out(kSha256, '\0');
  const int code = gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes.data(), bytes.size(), out.data());
  POSTRIDER_CHECK(code == 0, "SHA-256 is there");
  return out;
}

std::string keyed_digest(ByteView key, ByteView bytes) {
  std::string out(kSha256, '\0');
  const int code = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.data(), key.size(), bytes.data(),
                                    bytes.size(), out.data());
  POSTRIDER_CHECK(code == 0, "SHA-256 is there");
  return out;
}

} // namespace postrider::tls
