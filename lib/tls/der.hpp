// SPDX-License-Identifier: MIT
// The few parts of a certificate that are needed as bytes, each in one pass (X.690, RFC 5280
// section 4.1). Pure, in bounded time, whatever the bytes are.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.hpp"

namespace postrider::tls {

struct DerElement {
  unsigned char tag = 0;
  ByteView content;
  ByteView whole; // with tag and length
};
// The element at the front of `in`, which then begins behind it. Empty: there is none.
std::optional<DerElement> take_element(ByteView& in);

struct CertificateParts {
  ByteView signed_part; // tbsCertificate
  ByteView public_key;  // SubjectPublicKeyInfo
  ByteView alt_names;   // content of the extensions, empty where there are none
  ByteView name_constraints;
};
// Empty: not a certificate.
std::optional<CertificateParts> parse_certificate(ByteView der);

// The dNSNames of a subjectAltName; a name may hold any byte.
std::vector<ByteView> dns_names(ByteView alt_names);

} // namespace postrider::tls
