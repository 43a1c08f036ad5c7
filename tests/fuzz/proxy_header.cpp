// SPDX-License-Identifier: MIT
// The PROXY header, both versions: cut anywhere, it says the same once it is whole.
#include "proxy_header.hpp"

#include "base/crc32c.hpp"
#include "fuzz/target.hpp"

FUZZ(input) {
  using namespace postrider;
  std::string bytes(input);
  if (fuzz::take_byte(input) == 'B') { // binary, with its signature
    bytes = std::string("\r\n\r\n\0\r\nQUIT\n", 12) + std::string(input);
  }
  const auto whole = smtpd::parse_proxy_header(bytes);
  if (whole) {
    POSTRIDER_CHECK(whole->length <= bytes.size());
    if (whole->header.has_client)
      POSTRIDER_CHECK(whole->header.client.is_ip() && whole->header.server.is_ip() &&
                      whole->header.client.family() == whole->header.server.family());
  }
  for (std::size_t length = 0; length <= std::min<std::size_t>(bytes.size(), 300); ++length) {
    const auto part = smtpd::parse_proxy_header(std::string_view(bytes).substr(0, length));
    if (!part) {
      POSTRIDER_CHECK(!whole, "wrong from the beginning, and yet right");
      return;
    }
    if (part->length == 0) continue;
    POSTRIDER_CHECK(whole && whole->length == part->length && part->length == length,
                    "whole when its last byte is there");
    POSTRIDER_CHECK(part->header.client == whole->header.client);
    return;
  }
}
