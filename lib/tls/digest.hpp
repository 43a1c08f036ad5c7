// SPDX-License-Identifier: MIT
// SHA-256 of bytes, for keys that must not collide.
#pragma once

#include <string>

#include "base/bytes.hpp"

namespace postrider::tls {

inline constexpr std::size_t kSha256 = 32; // bytes

std::string sha256(ByteView bytes);

} // namespace postrider::tls
