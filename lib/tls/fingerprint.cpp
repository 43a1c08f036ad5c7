// SPDX-License-Identifier: MIT
#include <gnutls/crypto.h>

#include "base/ascii.hpp"
#include "tls/fingerprint.hpp"
#include "tls/verify.hpp"
#include "tls/x509.hpp"

namespace postrider::tls {
namespace {

Result<std::string> fingerprint(std::string_view bytes, std::string_view digest) {
  const std::optional<std::string> raw = digest_of(bytes, digest);
  if (!raw)
    return Error(ErrorKind::config, "no such digest: " + std::string(digest) +
                                        "; there are sha256, sha384, sha512, sha1 and md5");
  std::string text;
  for (const char c : *raw) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    if (!text.empty()) text.push_back(':');
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

} // namespace

std::optional<std::string> digest_of(std::string_view bytes, std::string_view digest) {
  for (const std::string_view known : {"sha256", "sha384", "sha512", "sha1", "md5"}) {
    if (!iequals(known, digest)) continue;
    const gnutls_digest_algorithm_t id = gnutls_digest_get_id(uppercase(known).c_str());
    std::string out(gnutls_hash_get_len(id), '\0');
    if (gnutls_hash_fast(id, bytes.data(), bytes.size(), out.data()) < 0) break;
    return out;
  }
  return std::nullopt;
}

bool same_fingerprint(std::string_view a, std::string_view b) {
  const auto hex = [](std::string_view text) {
    std::string out;
    for (const char c : text)
      if (c != ':') out.push_back(to_lower(c));
    return out;
  };
  return hex(a) == hex(b);
}

Result<std::string> certificate_fingerprint(std::string_view der, std::string_view digest) {
  return fingerprint(der, digest);
}

Result<std::string> public_key_fingerprint(std::string_view der, std::string_view digest) {
  const std::optional<CertificateParts> parts = parse_certificate(der);
  if (!parts) return Error(ErrorKind::protocol, "not a certificate");
  return fingerprint(parts->public_key, digest);
}

} // namespace postrider::tls
