// SPDX-License-Identifier: MIT
// CRC-32C (Castagnoli; RFC 3720 appendix B.4 has its test vectors). Uses SSE4.2 where present.
#pragma once

#include <cstdint>

#include "base/bytes.hpp"

namespace postrider {

// The checksum of `seed`'s bytes followed by `bytes`; start with seed 0.
std::uint32_t crc32c(ByteView bytes, std::uint32_t seed = 0);

} // namespace postrider
