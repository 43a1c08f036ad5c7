// SPDX-License-Identifier: MIT
// The form in which a session is kept for resumption. Holds key material and the peer's
// certificates: for caches that only we read. What comes back is checked: data that changed on its
// way, or was made under another priority or for another server name, is as good as none, where
// the server would end the handshake.
//
//   "PRT1" crc32c(rest)   u16 length, priority   u16 length, server name   GnuTLS's data
#pragma once

#include <string>
#include <string_view>

namespace postrider::tls {

inline constexpr std::size_t kSessionLimit = 64 * 1024;

// Empty: it would be too long.
std::string pack_session(std::string_view priority, std::string_view server_name,
                         std::string_view data);
// A view into `session`; empty: unusable.
std::string_view unpack_session(std::string_view session, std::string_view priority,
                                std::string_view server_name);

} // namespace postrider::tls
