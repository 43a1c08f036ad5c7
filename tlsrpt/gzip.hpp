// SPDX-License-Identifier: MIT
// RFC 1952, by zlib: reports are compressed (RFC 8460 section 5.2). Pure.
#pragma once

#include <string>
#include <string_view>

namespace postrider::tlsrpt {

std::string gzip(std::string_view text);

} // namespace postrider::tlsrpt
