// SPDX-License-Identifier: MIT
#include <gnutls/gnutls.h>

#include "base/text_file.hpp"
#include "tls/native.hpp"
#include "tls/pem.hpp"
#include "tls/x509.hpp"

namespace postrider::tls {
namespace {

constexpr std::size_t kFileLimit = std::size_t{1} << 20;
constexpr std::size_t kMaxAnchors = 1000;

Result<std::string> decoded(const PemBlock& block) {
  const gnutls_datum_t pem{reinterpret_cast<unsigned char*>(const_cast<char*>(block.text.data())),
                           static_cast<unsigned>(block.text.size())};
  gnutls_datum_t der;
  if (const int code = gnutls_pem_base64_decode2(nullptr, &pem, &der); code < 0)
    return Error(ErrorKind::config, gnutls_text(code));
  std::string bytes(reinterpret_cast<const char*>(der.data), der.size);
  gnutls_free(der.data);
  return bytes;
}

} // namespace

TrustAnchors::TrustAnchors(std::unique_ptr<Native> native) : native_(std::move(native)) {}
TrustAnchors::~TrustAnchors() = default;

Result<std::shared_ptr<const TrustAnchors>>
TrustAnchors::load(const std::vector<std::string>& files) {
  auto native = std::make_unique<Native>();
  for (const std::string& file : files) {
    Result<TextFile> read = read_text_file(file, kFileLimit);
    if (!read) return Error(ErrorKind::config, read.error().text(), read.error().saved_errno());
    std::size_t found = 0;
    for (const PemBlock& block : pem_blocks(read->text)) {
      if (block.kind == PemBlock::Kind::key) continue;
      const bool is_key = block.kind == PemBlock::Kind::public_key;
      Result<std::string> der = decoded(block);
      if (!der) return der.error().in(file);
      const bool good =
          is_key ? import_public_key(*der) != nullptr : import_certificate(*der).has_value();
      if (!good)
        return Error(ErrorKind::config, file + (is_key ? ": bad public key" : ": bad certificate"));
      (is_key ? native->key_der : native->certificate_der).push_back(std::move(*der));
      ++found;
    }
    if (found == 0)
      return Error(ErrorKind::config, file + ": no certificate and no public key (PEM)");
  }
  if (native->key_der.size() + native->certificate_der.size() > kMaxAnchors)
    return Error(ErrorKind::config, "more than " + std::to_string(kMaxAnchors) + " trust anchors");
  // The lists of bytes stand still from here on.
  for (const std::string& der : native->certificate_der)
    native->certificates.push_back(*import_certificate(der));
  for (const std::string& der : native->key_der)
    native->keys.push_back(import_public_key(der));
  return std::shared_ptr<const TrustAnchors>(new TrustAnchors(std::move(native)));
}

} // namespace postrider::tls
