// SPDX-License-Identifier: MIT
// Base64 (RFC 4648 section 4), as SASL challenges and fingerprints are written. Pure.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.hpp"

namespace postrider {

std::string to_base64(ByteView bytes);
// Strict: whole groups of four, padding at the end only, nothing else. nullopt: not base64.
std::optional<std::string> from_base64(std::string_view text);

} // namespace postrider
