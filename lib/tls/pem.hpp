// SPDX-License-Identifier: MIT
// The blocks of a PEM file in their order (RFC 7468). Pure. Parameters, requests and revocation
// lists are skipped.
#pragma once

#include <string_view>
#include <vector>

namespace postrider::tls {

struct PemBlock {
  enum class Kind { key, certificate, public_key };
  Kind kind = Kind::key;
  bool encrypted = false;
  std::string_view text; // from its BEGIN to its END line
};

std::vector<PemBlock> pem_blocks(std::string_view text);

} // namespace postrider::tls
