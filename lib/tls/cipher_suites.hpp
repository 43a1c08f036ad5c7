// SPDX-License-Identifier: MIT
// The cipher suites of GnuTLS under OpenSSL's names, and OpenSSL's language of lists over them
// (ciphers(1)). Pure. Suites for PSK, SRP, DSA and GOST are left out: no side here has such keys.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider::tls {

// One bit per value, so that a word of a list is a set.
enum class Kx : std::uint8_t {
  any = 1, // TLS 1.3: not said by the suite
  rsa = 2,
  dhe_rsa = 4,
  ecdhe_rsa = 8,
  ecdhe_ecdsa = 16,
  dh_anon = 32,
  ecdh_anon = 64,
};
enum class Enc : std::uint16_t {
  none = 1,
  rc4 = 2,
  triple_des = 4,
  aes128_cbc = 8,
  aes256_cbc = 16,
  camellia128_cbc = 32,
  camellia256_cbc = 64,
  aes128_gcm = 128,
  aes256_gcm = 256,
  aes128_ccm = 512,
  aes256_ccm = 1024,
  aes128_ccm8 = 2048,
  aes256_ccm8 = 4096,
  camellia128_gcm = 8192,
  camellia256_gcm = 16384,
  chacha20 = 32768,
};
enum class Mac : std::uint8_t { md5 = 1, sha1 = 2, sha256 = 4, sha384 = 8, aead = 16 };
enum class Ver : std::uint8_t { ssl3 = 1, tls1 = 2, tls12 = 4, tls13 = 8 }; // that brought it

struct Suite {
  std::uint16_t code; // IANA's
  std::string_view name;
  Kx kx;
  Enc enc;
  Mac mac;
  Ver ver;
};

std::span<const Suite> all_suites();
// "" when there is none.
std::string_view suite_name(std::uint16_t code);

// The suites that a list chooses, in order of preference: "HIGH:!aNULL:+SHA1:@STRENGTH". Those of
// TLS 1.3 are left in unless "!" takes them out: OpenSSL's lists do not speak of them. Error
// config: a word that means nothing, with the nearest that does.
Result<std::vector<const Suite*>> choose(std::string_view list);

// Whether one word, or a+b, means this suite: of exclusions. Error as above.
Result<std::vector<const Suite*>> suites_of(std::string_view word);

} // namespace postrider::tls
