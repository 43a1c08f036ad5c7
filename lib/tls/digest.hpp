// SPDX-License-Identifier: MIT
// SHA-256 of bytes, for keys that must not collide; with a key of its own, where something secret
// has to be told apart from something else and must not be kept itself. Pure.
#pragma once

#include <string>

#include "base/bytes.hpp"

namespace postrider::tls {

inline constexpr std::size_t kSha256 = 32; // bytes

std::string sha256(ByteView bytes);
// HMAC-SHA-256 (RFC 2104), as long.
std::string keyed_digest(ByteView key, ByteView bytes);

} // namespace postrider::tls
