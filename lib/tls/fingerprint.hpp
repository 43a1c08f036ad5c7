// SPDX-License-Identifier: MIT
// Digests by name. Inside lib/tls only; fingerprints themselves are in verify.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postrider::tls {

// Raw. Empty: no such digest. MD5 and SHA-1 are for administrators who ask for them.
std::optional<std::string> digest_of(std::string_view bytes, std::string_view digest);
// Colons and case do not count.
bool same_fingerprint(std::string_view a, std::string_view b);

} // namespace postrider::tls
