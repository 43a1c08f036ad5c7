// SPDX-License-Identifier: MIT
// TLSA records against certificates. Inside lib/tls only; records themselves are in verify.hpp.
#pragma once

#include "tls/verify.hpp"

namespace postrider::tls {

struct Certificate;

// Whether certificate or key are the ones that the record describes. REQUIRES a usable one.
bool matches(const TlsaRecord& record, const Certificate& certificate);
// A trust anchor that comes whole, so that it need not be in the server's chain.
bool is_full_anchor(const TlsaRecord& record);

} // namespace postrider::tls
