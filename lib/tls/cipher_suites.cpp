// SPDX-License-Identifier: MIT
#include "tls/cipher_suites.hpp"

#include <algorithm>
#include <array>

#include "base/ascii.hpp"

namespace postrider::tls {
namespace {

// In OpenSSL's order, which is by forward secrecy, then by strength.
constexpr std::array kSuites = std::to_array<Suite>({
    {0x1302, "TLS_AES_256_GCM_SHA384", Kx::any, Enc::aes256_gcm, Mac::aead, Ver::tls13},
    {0x1303, "TLS_CHACHA20_POLY1305_SHA256", Kx::any, Enc::chacha20, Mac::aead, Ver::tls13},
    {0x1301, "TLS_AES_128_GCM_SHA256", Kx::any, Enc::aes128_gcm, Mac::aead, Ver::tls13},
    {0x1304, "TLS_AES_128_CCM_SHA256", Kx::any, Enc::aes128_ccm, Mac::aead, Ver::tls13},
    {0x1305, "TLS_AES_128_CCM_8_SHA256", Kx::any, Enc::aes128_ccm8, Mac::aead, Ver::tls13},
    {0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384", Kx::ecdhe_ecdsa, Enc::aes256_gcm, Mac::aead,
     Ver::tls12},
    {0xc030, "ECDHE-RSA-AES256-GCM-SHA384", Kx::ecdhe_rsa, Enc::aes256_gcm, Mac::aead, Ver::tls12},
    {0x009f, "DHE-RSA-AES256-GCM-SHA384", Kx::dhe_rsa, Enc::aes256_gcm, Mac::aead, Ver::tls12},
    {0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305", Kx::ecdhe_ecdsa, Enc::chacha20, Mac::aead,
     Ver::tls12},
    {0xcca8, "ECDHE-RSA-CHACHA20-POLY1305", Kx::ecdhe_rsa, Enc::chacha20, Mac::aead, Ver::tls12},
    {0xccaa, "DHE-RSA-CHACHA20-POLY1305", Kx::dhe_rsa, Enc::chacha20, Mac::aead, Ver::tls12},
    {0xc0af, "ECDHE-ECDSA-AES256-CCM8", Kx::ecdhe_ecdsa, Enc::aes256_ccm8, Mac::aead, Ver::tls12},
    {0xc0ad, "ECDHE-ECDSA-AES256-CCM", Kx::ecdhe_ecdsa, Enc::aes256_ccm, Mac::aead, Ver::tls12},
    {0xc0a3, "DHE-RSA-AES256-CCM8", Kx::dhe_rsa, Enc::aes256_ccm8, Mac::aead, Ver::tls12},
    {0xc09f, "DHE-RSA-AES256-CCM", Kx::dhe_rsa, Enc::aes256_ccm, Mac::aead, Ver::tls12},
    {0x00a7, "ADH-AES256-GCM-SHA384", Kx::dh_anon, Enc::aes256_gcm, Mac::aead, Ver::tls12},
    {0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256", Kx::ecdhe_ecdsa, Enc::aes128_gcm, Mac::aead,
     Ver::tls12},
    {0xc02f, "ECDHE-RSA-AES128-GCM-SHA256", Kx::ecdhe_rsa, Enc::aes128_gcm, Mac::aead, Ver::tls12},
    {0x009e, "DHE-RSA-AES128-GCM-SHA256", Kx::dhe_rsa, Enc::aes128_gcm, Mac::aead, Ver::tls12},
    {0xc0ae, "ECDHE-ECDSA-AES128-CCM8", Kx::ecdhe_ecdsa, Enc::aes128_ccm8, Mac::aead, Ver::tls12},
    {0xc0ac, "ECDHE-ECDSA-AES128-CCM", Kx::ecdhe_ecdsa, Enc::aes128_ccm, Mac::aead, Ver::tls12},
    {0xc0a2, "DHE-RSA-AES128-CCM8", Kx::dhe_rsa, Enc::aes128_ccm8, Mac::aead, Ver::tls12},
    {0xc09e, "DHE-RSA-AES128-CCM", Kx::dhe_rsa, Enc::aes128_ccm, Mac::aead, Ver::tls12},
    {0x00a6, "ADH-AES128-GCM-SHA256", Kx::dh_anon, Enc::aes128_gcm, Mac::aead, Ver::tls12},
    {0xc07d, "TLS_DHE_RSA_WITH_CAMELLIA_256_GCM_SHA384", Kx::dhe_rsa, Enc::camellia256_gcm,
     Mac::aead, Ver::tls12},
    {0xc087, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_GCM_SHA384", Kx::ecdhe_ecdsa, Enc::camellia256_gcm,
     Mac::aead, Ver::tls12},
    {0xc08b, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_GCM_SHA384", Kx::ecdhe_rsa, Enc::camellia256_gcm,
     Mac::aead, Ver::tls12},
    {0xc07c, "TLS_DHE_RSA_WITH_CAMELLIA_128_GCM_SHA256", Kx::dhe_rsa, Enc::camellia128_gcm,
     Mac::aead, Ver::tls12},
    {0xc086, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_GCM_SHA256", Kx::ecdhe_ecdsa, Enc::camellia128_gcm,
     Mac::aead, Ver::tls12},
    {0xc08a, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256", Kx::ecdhe_rsa, Enc::camellia128_gcm,
     Mac::aead, Ver::tls12},
    {0xc024, "ECDHE-ECDSA-AES256-SHA384", Kx::ecdhe_ecdsa, Enc::aes256_cbc, Mac::sha384,
     Ver::tls12},
    {0xc028, "ECDHE-RSA-AES256-SHA384", Kx::ecdhe_rsa, Enc::aes256_cbc, Mac::sha384, Ver::tls12},
    {0x006b, "DHE-RSA-AES256-SHA256", Kx::dhe_rsa, Enc::aes256_cbc, Mac::sha256, Ver::tls12},
    {0xc073, "ECDHE-ECDSA-CAMELLIA256-SHA384", Kx::ecdhe_ecdsa, Enc::camellia256_cbc, Mac::sha384,
     Ver::tls12},
    {0xc077, "ECDHE-RSA-CAMELLIA256-SHA384", Kx::ecdhe_rsa, Enc::camellia256_cbc, Mac::sha384,
     Ver::tls12},
    {0x00c4, "DHE-RSA-CAMELLIA256-SHA256", Kx::dhe_rsa, Enc::camellia256_cbc, Mac::sha256,
     Ver::tls12},
    {0x006d, "ADH-AES256-SHA256", Kx::dh_anon, Enc::aes256_cbc, Mac::sha256, Ver::tls12},
    {0x00c5, "ADH-CAMELLIA256-SHA256", Kx::dh_anon, Enc::camellia256_cbc, Mac::sha256, Ver::tls12},
    {0xc023, "ECDHE-ECDSA-AES128-SHA256", Kx::ecdhe_ecdsa, Enc::aes128_cbc, Mac::sha256,
     Ver::tls12},
    {0xc027, "ECDHE-RSA-AES128-SHA256", Kx::ecdhe_rsa, Enc::aes128_cbc, Mac::sha256, Ver::tls12},
    {0x0067, "DHE-RSA-AES128-SHA256", Kx::dhe_rsa, Enc::aes128_cbc, Mac::sha256, Ver::tls12},
    {0xc072, "ECDHE-ECDSA-CAMELLIA128-SHA256", Kx::ecdhe_ecdsa, Enc::camellia128_cbc, Mac::sha256,
     Ver::tls12},
    {0xc076, "ECDHE-RSA-CAMELLIA128-SHA256", Kx::ecdhe_rsa, Enc::camellia128_cbc, Mac::sha256,
     Ver::tls12},
    {0x00be, "DHE-RSA-CAMELLIA128-SHA256", Kx::dhe_rsa, Enc::camellia128_cbc, Mac::sha256,
     Ver::tls12},
    {0x006c, "ADH-AES128-SHA256", Kx::dh_anon, Enc::aes128_cbc, Mac::sha256, Ver::tls12},
    {0x00bf, "ADH-CAMELLIA128-SHA256", Kx::dh_anon, Enc::camellia128_cbc, Mac::sha256, Ver::tls12},
    {0xc00a, "ECDHE-ECDSA-AES256-SHA", Kx::ecdhe_ecdsa, Enc::aes256_cbc, Mac::sha1, Ver::tls1},
    {0xc014, "ECDHE-RSA-AES256-SHA", Kx::ecdhe_rsa, Enc::aes256_cbc, Mac::sha1, Ver::tls1},
    {0x0039, "DHE-RSA-AES256-SHA", Kx::dhe_rsa, Enc::aes256_cbc, Mac::sha1, Ver::ssl3},
    {0x0088, "DHE-RSA-CAMELLIA256-SHA", Kx::dhe_rsa, Enc::camellia256_cbc, Mac::sha1, Ver::ssl3},
    {0xc019, "AECDH-AES256-SHA", Kx::ecdh_anon, Enc::aes256_cbc, Mac::sha1, Ver::tls1},
    {0x003a, "ADH-AES256-SHA", Kx::dh_anon, Enc::aes256_cbc, Mac::sha1, Ver::ssl3},
    {0x0089, "ADH-CAMELLIA256-SHA", Kx::dh_anon, Enc::camellia256_cbc, Mac::sha1, Ver::ssl3},
    {0xc009, "ECDHE-ECDSA-AES128-SHA", Kx::ecdhe_ecdsa, Enc::aes128_cbc, Mac::sha1, Ver::tls1},
    {0xc013, "ECDHE-RSA-AES128-SHA", Kx::ecdhe_rsa, Enc::aes128_cbc, Mac::sha1, Ver::tls1},
    {0x0033, "DHE-RSA-AES128-SHA", Kx::dhe_rsa, Enc::aes128_cbc, Mac::sha1, Ver::ssl3},
    {0x0045, "DHE-RSA-CAMELLIA128-SHA", Kx::dhe_rsa, Enc::camellia128_cbc, Mac::sha1, Ver::ssl3},
    {0xc018, "AECDH-AES128-SHA", Kx::ecdh_anon, Enc::aes128_cbc, Mac::sha1, Ver::tls1},
    {0x0034, "ADH-AES128-SHA", Kx::dh_anon, Enc::aes128_cbc, Mac::sha1, Ver::ssl3},
    {0x0046, "ADH-CAMELLIA128-SHA", Kx::dh_anon, Enc::camellia128_cbc, Mac::sha1, Ver::ssl3},
    {0xc006, "ECDHE-ECDSA-NULL-SHA", Kx::ecdhe_ecdsa, Enc::none, Mac::sha1, Ver::tls1},
    {0xc010, "ECDHE-RSA-NULL-SHA", Kx::ecdhe_rsa, Enc::none, Mac::sha1, Ver::tls1},
    {0xc015, "AECDH-NULL-SHA", Kx::ecdh_anon, Enc::none, Mac::sha1, Ver::tls1},
    {0x009d, "AES256-GCM-SHA384", Kx::rsa, Enc::aes256_gcm, Mac::aead, Ver::tls12},
    {0xc0a1, "AES256-CCM8", Kx::rsa, Enc::aes256_ccm8, Mac::aead, Ver::tls12},
    {0xc09d, "AES256-CCM", Kx::rsa, Enc::aes256_ccm, Mac::aead, Ver::tls12},
    {0x009c, "AES128-GCM-SHA256", Kx::rsa, Enc::aes128_gcm, Mac::aead, Ver::tls12},
    {0xc0a0, "AES128-CCM8", Kx::rsa, Enc::aes128_ccm8, Mac::aead, Ver::tls12},
    {0xc09c, "AES128-CCM", Kx::rsa, Enc::aes128_ccm, Mac::aead, Ver::tls12},
    {0xc07b, "TLS_RSA_WITH_CAMELLIA_256_GCM_SHA384", Kx::rsa, Enc::camellia256_gcm, Mac::aead,
     Ver::tls12},
    {0xc085, "TLS_DH_anon_WITH_CAMELLIA_256_GCM_SHA384", Kx::dh_anon, Enc::camellia256_gcm,
     Mac::aead, Ver::tls12},
    {0xc07a, "TLS_RSA_WITH_CAMELLIA_128_GCM_SHA256", Kx::rsa, Enc::camellia128_gcm, Mac::aead,
     Ver::tls12},
    {0xc084, "TLS_DH_anon_WITH_CAMELLIA_128_GCM_SHA256", Kx::dh_anon, Enc::camellia128_gcm,
     Mac::aead, Ver::tls12},
    {0x003d, "AES256-SHA256", Kx::rsa, Enc::aes256_cbc, Mac::sha256, Ver::tls12},
    {0x00c0, "CAMELLIA256-SHA256", Kx::rsa, Enc::camellia256_cbc, Mac::sha256, Ver::tls12},
    {0x003c, "AES128-SHA256", Kx::rsa, Enc::aes128_cbc, Mac::sha256, Ver::tls12},
    {0x00ba, "CAMELLIA128-SHA256", Kx::rsa, Enc::camellia128_cbc, Mac::sha256, Ver::tls12},
    {0x003b, "NULL-SHA256", Kx::rsa, Enc::none, Mac::sha256, Ver::tls12},
    {0x0035, "AES256-SHA", Kx::rsa, Enc::aes256_cbc, Mac::sha1, Ver::ssl3},
    {0x0084, "CAMELLIA256-SHA", Kx::rsa, Enc::camellia256_cbc, Mac::sha1, Ver::ssl3},
    {0x002f, "AES128-SHA", Kx::rsa, Enc::aes128_cbc, Mac::sha1, Ver::ssl3},
    {0x0041, "CAMELLIA128-SHA", Kx::rsa, Enc::camellia128_cbc, Mac::sha1, Ver::ssl3},
    {0x000a, "DES-CBC3-SHA", Kx::rsa, Enc::triple_des, Mac::sha1, Ver::ssl3},
    {0x0016, "DHE-RSA-DES-CBC3-SHA", Kx::dhe_rsa, Enc::triple_des, Mac::sha1, Ver::ssl3},
    {0x001b, "ADH-DES-CBC3-SHA", Kx::dh_anon, Enc::triple_des, Mac::sha1, Ver::ssl3},
    {0xc008, "ECDHE-ECDSA-DES-CBC3-SHA", Kx::ecdhe_ecdsa, Enc::triple_des, Mac::sha1, Ver::tls1},
    {0xc012, "ECDHE-RSA-DES-CBC3-SHA", Kx::ecdhe_rsa, Enc::triple_des, Mac::sha1, Ver::tls1},
    {0xc017, "AECDH-DES-CBC3-SHA", Kx::ecdh_anon, Enc::triple_des, Mac::sha1, Ver::tls1},
    {0x0004, "RC4-MD5", Kx::rsa, Enc::rc4, Mac::md5, Ver::ssl3},
    {0x0005, "RC4-SHA", Kx::rsa, Enc::rc4, Mac::sha1, Ver::ssl3},
    {0x0018, "ADH-RC4-MD5", Kx::dh_anon, Enc::rc4, Mac::md5, Ver::ssl3},
    {0xc007, "ECDHE-ECDSA-RC4-SHA", Kx::ecdhe_ecdsa, Enc::rc4, Mac::sha1, Ver::tls1},
    {0xc011, "ECDHE-RSA-RC4-SHA", Kx::ecdhe_rsa, Enc::rc4, Mac::sha1, Ver::tls1},
    {0xc016, "AECDH-RC4-SHA", Kx::ecdh_anon, Enc::rc4, Mac::sha1, Ver::tls1},
    {0x0002, "NULL-SHA", Kx::rsa, Enc::none, Mac::sha1, Ver::ssl3},
    {0x0001, "NULL-MD5", Kx::rsa, Enc::none, Mac::md5, Ver::ssl3},
});

// Suites that OpenSSL has or had and GnuTLS never offers without what this client has not (PSK,
// SRP, DSA keys, GOST) or at all: naming one changes nothing.
constexpr std::string_view kNeverOffered =
    "ADH-DES-CBC-SHA ADH-SEED-SHA ARIA128-GCM-SHA256 ARIA256-GCM-SHA384 DES-CBC-MD5 DES-CBC-SHA "
    "DES-CBC3-MD5 DH-DSS-AES128-GCM-SHA256 DH-DSS-AES128-SHA DH-DSS-AES128-SHA256 "
    "DH-DSS-AES256-GCM-SHA384 DH-DSS-AES256-SHA DH-DSS-AES256-SHA256 DH-DSS-CAMELLIA128-SHA "
    "DH-DSS-CAMELLIA256-SHA DH-DSS-DES-CBC3-SHA DH-DSS-SEED-SHA DH-RSA-AES128-GCM-SHA256 "
    "DH-RSA-AES128-SHA DH-RSA-AES128-SHA256 DH-RSA-AES256-GCM-SHA384 DH-RSA-AES256-SHA "
    "DH-RSA-AES256-SHA256 DH-RSA-CAMELLIA128-SHA DH-RSA-CAMELLIA256-SHA DH-RSA-DES-CBC3-SHA "
    "DH-RSA-SEED-SHA DHE-DSS-AES128-GCM-SHA256 DHE-DSS-AES128-SHA DHE-DSS-AES128-SHA256 "
    "DHE-DSS-AES256-GCM-SHA384 DHE-DSS-AES256-SHA DHE-DSS-AES256-SHA256 "
    "DHE-DSS-ARIA128-GCM-SHA256 DHE-DSS-ARIA256-GCM-SHA384 DHE-DSS-CAMELLIA128-SHA "
    "DHE-DSS-CAMELLIA128-SHA256 DHE-DSS-CAMELLIA256-SHA DHE-DSS-CAMELLIA256-SHA256 "
    "DHE-DSS-DES-CBC3-SHA DHE-DSS-RC4-SHA DHE-DSS-SEED-SHA DHE-PSK-3DES-EDE-CBC-SHA "
    "DHE-PSK-AES128-CBC-SHA DHE-PSK-AES128-CBC-SHA256 DHE-PSK-AES128-CCM DHE-PSK-AES128-CCM8 "
    "DHE-PSK-AES128-GCM-SHA256 DHE-PSK-AES256-CBC-SHA DHE-PSK-AES256-CBC-SHA384 "
    "DHE-PSK-AES256-CCM DHE-PSK-AES256-CCM8 DHE-PSK-AES256-GCM-SHA384 DHE-PSK-ARIA128-GCM-SHA256 "
    "DHE-PSK-ARIA256-GCM-SHA384 DHE-PSK-CAMELLIA128-SHA256 DHE-PSK-CAMELLIA256-SHA384 "
    "DHE-PSK-CHACHA20-POLY1305 DHE-PSK-NULL-SHA DHE-PSK-NULL-SHA256 DHE-PSK-NULL-SHA384 "
    "DHE-PSK-RC4-SHA DHE-RSA-ARIA128-GCM-SHA256 DHE-RSA-ARIA256-GCM-SHA384 DHE-RSA-SEED-SHA "
    "ECDH-ECDSA-AES128-GCM-SHA256 ECDH-ECDSA-AES128-SHA ECDH-ECDSA-AES128-SHA256 "
    "ECDH-ECDSA-AES256-GCM-SHA384 ECDH-ECDSA-AES256-SHA ECDH-ECDSA-AES256-SHA384 "
    "ECDH-ECDSA-DES-CBC3-SHA ECDH-ECDSA-NULL-SHA ECDH-ECDSA-RC4-SHA ECDH-RSA-AES128-GCM-SHA256 "
    "ECDH-RSA-AES128-SHA ECDH-RSA-AES128-SHA256 ECDH-RSA-AES256-GCM-SHA384 ECDH-RSA-AES256-SHA "
    "ECDH-RSA-AES256-SHA384 ECDH-RSA-DES-CBC3-SHA ECDH-RSA-NULL-SHA ECDH-RSA-RC4-SHA "
    "ECDHE-ARIA128-GCM-SHA256 ECDHE-ARIA256-GCM-SHA384 ECDHE-ECDSA-ARIA128-GCM-SHA256 "
    "ECDHE-ECDSA-ARIA256-GCM-SHA384 ECDHE-PSK-3DES-EDE-CBC-SHA ECDHE-PSK-AES128-CBC-SHA "
    "ECDHE-PSK-AES128-CBC-SHA256 ECDHE-PSK-AES256-CBC-SHA ECDHE-PSK-AES256-CBC-SHA384 "
    "ECDHE-PSK-CAMELLIA128-SHA256 ECDHE-PSK-CAMELLIA256-SHA384 ECDHE-PSK-CHACHA20-POLY1305 "
    "ECDHE-PSK-NULL-SHA ECDHE-PSK-NULL-SHA256 ECDHE-PSK-NULL-SHA384 ECDHE-PSK-RC4-SHA "
    "ECDHE-RSA-ARIA128-GCM-SHA256 ECDHE-RSA-ARIA256-GCM-SHA384 EDH-DSS-DES-CBC-SHA "
    "EDH-DSS-DES-CBC3-SHA EDH-RSA-DES-CBC-SHA EXP-ADH-DES-CBC-SHA EXP-ADH-RC4-MD5 EXP-DES-CBC-SHA "
    "EXP-EDH-DSS-DES-CBC-SHA EXP-EDH-RSA-DES-CBC-SHA EXP-RC2-CBC-MD5 EXP-RC4-MD5 "
    "EXP1024-DES-CBC-SHA EXP1024-DHE-DSS-DES-CBC-SHA EXP1024-DHE-DSS-RC4-SHA EXP1024-RC4-SHA "
    "GOST2001-GOST89-GOST89 GOST2001-NULL-GOST94 GOST2012-GOST8912-GOST8912 "
    "GOST2012-KUZNYECHIK-KUZNYECHIKOMAC GOST2012-MAGMA-MAGMAOMAC GOST2012-NULL-GOST12 "
    "GOST94-GOST89-GOST89 IANA-GOST2012-GOST8912-GOST8912 IDEA-CBC-MD5 IDEA-CBC-SHA "
    "LEGACY-GOST2012-GOST8912-GOST8912 PSK-3DES-EDE-CBC-SHA PSK-AES128-CBC-SHA "
    "PSK-AES128-CBC-SHA256 PSK-AES128-CCM PSK-AES128-CCM8 PSK-AES128-GCM-SHA256 "
    "PSK-AES256-CBC-SHA PSK-AES256-CBC-SHA384 PSK-AES256-CCM PSK-AES256-CCM8 "
    "PSK-AES256-GCM-SHA384 PSK-ARIA128-GCM-SHA256 PSK-ARIA256-GCM-SHA384 PSK-CAMELLIA128-SHA256 "
    "PSK-CAMELLIA256-SHA384 PSK-CHACHA20-POLY1305 PSK-NULL-SHA PSK-NULL-SHA256 PSK-NULL-SHA384 "
    "PSK-RC4-SHA RC2-CBC-MD5 RC4-64-MD5 RSA-PSK-3DES-EDE-CBC-SHA RSA-PSK-AES128-CBC-SHA "
    "RSA-PSK-AES128-CBC-SHA256 RSA-PSK-AES128-GCM-SHA256 RSA-PSK-AES256-CBC-SHA "
    "RSA-PSK-AES256-CBC-SHA384 RSA-PSK-AES256-GCM-SHA384 RSA-PSK-ARIA128-GCM-SHA256 "
    "RSA-PSK-ARIA256-GCM-SHA384 RSA-PSK-CAMELLIA128-SHA256 RSA-PSK-CAMELLIA256-SHA384 "
    "RSA-PSK-CHACHA20-POLY1305 RSA-PSK-NULL-SHA RSA-PSK-NULL-SHA256 RSA-PSK-NULL-SHA384 "
    "RSA-PSK-RC4-SHA SEED-SHA SRP-3DES-EDE-CBC-SHA SRP-AES-128-CBC-SHA SRP-AES-256-CBC-SHA "
    "SRP-DSS-3DES-EDE-CBC-SHA SRP-DSS-AES-128-CBC-SHA SRP-DSS-AES-256-CBC-SHA "
    "SRP-RSA-3DES-EDE-CBC-SHA SRP-RSA-AES-128-CBC-SHA SRP-RSA-AES-256-CBC-SHA";

// The words for sets of suites. A field of 0 stands for everything.
struct Word {
  std::string_view name;
  unsigned kx = 0;
  unsigned enc = 0;
  unsigned mac = 0;
  unsigned ver = 0;
};

constexpr unsigned bits(auto... values) { return (0U | ... | static_cast<unsigned>(values)); }

constexpr unsigned kAnon = bits(Kx::dh_anon, Kx::ecdh_anon);
constexpr unsigned kDhe = bits(Kx::dhe_rsa, Kx::dh_anon);
constexpr unsigned kEcdhe = bits(Kx::ecdhe_rsa, Kx::ecdhe_ecdsa, Kx::ecdh_anon);
constexpr unsigned kGcm = bits(Enc::aes128_gcm, Enc::aes256_gcm);
constexpr unsigned kCcm8 = bits(Enc::aes128_ccm8, Enc::aes256_ccm8);
constexpr unsigned kCcm = bits(Enc::aes128_ccm, Enc::aes256_ccm) | kCcm8;
constexpr unsigned kAes128 =
    bits(Enc::aes128_cbc, Enc::aes128_gcm, Enc::aes128_ccm, Enc::aes128_ccm8);
constexpr unsigned kAes256 =
    bits(Enc::aes256_cbc, Enc::aes256_gcm, Enc::aes256_ccm, Enc::aes256_ccm8);
constexpr unsigned kCamellia128 = bits(Enc::camellia128_cbc, Enc::camellia128_gcm);
constexpr unsigned kCamellia256 = bits(Enc::camellia256_cbc, Enc::camellia256_gcm);
constexpr unsigned kCamellia = kCamellia128 | kCamellia256;
constexpr unsigned kCbc = bits(Enc::triple_des, Enc::aes128_cbc, Enc::aes256_cbc,
                               Enc::camellia128_cbc, Enc::camellia256_cbc);
constexpr unsigned kMedium = bits(Enc::rc4, Enc::triple_des);
constexpr unsigned kHigh = kAes128 | kAes256 | kCamellia | bits(Enc::chacha20);

constexpr std::array kWords = std::to_array<Word>({
    {.name = "ALL", .enc = kHigh | kMedium},
    {.name = "COMPLEMENTOFALL", .enc = bits(Enc::none)},
    {.name = "HIGH", .enc = kHigh},
    {.name = "MEDIUM", .enc = kMedium},
    {.name = "eNULL", .enc = bits(Enc::none)},
    {.name = "NULL", .enc = bits(Enc::none)},
    {.name = "aNULL", .kx = kAnon},
    {.name = "ADH", .kx = bits(Kx::dh_anon)},
    {.name = "AECDH", .kx = bits(Kx::ecdh_anon)},
    {.name = "kRSA", .kx = bits(Kx::rsa)},
    {.name = "RSA", .kx = bits(Kx::rsa)},
    {.name = "aRSA", .kx = bits(Kx::rsa, Kx::dhe_rsa, Kx::ecdhe_rsa)},
    {.name = "aECDSA", .kx = bits(Kx::ecdhe_ecdsa)},
    {.name = "ECDSA", .kx = bits(Kx::ecdhe_ecdsa)},
    {.name = "kDHE", .kx = kDhe},
    {.name = "kEDH", .kx = kDhe},
    {.name = "DH", .kx = kDhe},
    {.name = "DHE", .kx = kDhe & ~kAnon},
    {.name = "EDH", .kx = kDhe & ~kAnon},
    {.name = "kECDHE", .kx = kEcdhe},
    {.name = "kEECDH", .kx = kEcdhe},
    {.name = "ECDH", .kx = kEcdhe},
    {.name = "ECDHE", .kx = kEcdhe & ~kAnon},
    {.name = "EECDH", .kx = kEcdhe & ~kAnon},
    {.name = "AES128", .enc = kAes128},
    {.name = "AES256", .enc = kAes256},
    {.name = "AES", .enc = kAes128 | kAes256},
    {.name = "AESGCM", .enc = kGcm},
    {.name = "AESCCM", .enc = kCcm},
    {.name = "AESCCM8", .enc = kCcm8},
    {.name = "CAMELLIA128", .enc = kCamellia128},
    {.name = "CAMELLIA256", .enc = kCamellia256},
    {.name = "CAMELLIA", .enc = kCamellia},
    {.name = "CHACHA20", .enc = bits(Enc::chacha20)},
    {.name = "CBC", .enc = kCbc},
    {.name = "RC4", .enc = bits(Enc::rc4)},
    {.name = "3DES", .enc = bits(Enc::triple_des)},
    {.name = "MD5", .mac = bits(Mac::md5)},
    {.name = "SHA1", .mac = bits(Mac::sha1)},
    {.name = "SHA", .mac = bits(Mac::sha1)},
    {.name = "SHA256", .mac = bits(Mac::sha256)},
    {.name = "SHA384", .mac = bits(Mac::sha384)},
    {.name = "SSLv3", .ver = bits(Ver::ssl3)},
    {.name = "TLSv1", .ver = bits(Ver::tls1)},
    {.name = "TLSv1.0", .ver = bits(Ver::tls1)},
    {.name = "TLSv1.2", .ver = bits(Ver::tls12)},
    {.name = "TLSv1.3", .ver = bits(Ver::tls13)},
});

// Properties that no suite of ours has.
constexpr std::string_view kEmptyWords =
    "LOW EXP EXPORT EXPORT40 EXPORT56 EXP40 EXP56 SSLv2 DES RC2 RC5 IDEA SEED FZA eFZA kFZA aFZA "
    "KRB5 kKRB5 aKRB5 DSS aDSS kDH kDHr kDHd kECDH kECDHr kECDHe aDH aECDH PSK aPSK kPSK kRSAPSK "
    "kDHEPSK kECDHEPSK SRP aSRP kSRP GOST kGOST kGOST18 aGOST aGOST01 aGOST12 aGOST94 GOST89 "
    "GOST94 "
    "GOST89MAC GOST2012256 MAGMA KUZNYECHIK ARIA ARIA128 ARIA256 ARIAGCM";

// Names under which OpenSSL knew suites before.
constexpr std::array kOlderNames = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"EDH-RSA-DES-CBC3-SHA", "DHE-RSA-DES-CBC3-SHA"},
});

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      const bool same = to_lower(a[i - 1]) == to_lower(b[j - 1]);
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string_view nearest(std::string_view word) {
  std::string_view best;
  std::size_t least = SIZE_MAX;
  const auto offer = [&](std::string_view known) {
    const std::size_t d = distance(word, known);
    if (d < least) best = known, least = d;
  };
  for (const Word& known : kWords)
    offer(known.name);
  for (const Suite& suite : kSuites)
    offer(suite.name);
  for (const std::string_view known : split(kEmptyWords, " "))
    offer(known);
  for (const std::string_view known : split(kNeverOffered, " "))
    offer(known);
  return best;
}

bool contains_word(std::string_view list, std::string_view word) {
  const auto words = split(list, " ");
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool has(unsigned set, auto value) { return set == 0 || (set & bits(value)) != 0; }

bool is_in(const Word& word, const Suite& suite) {
  return has(word.kx, suite.kx) && has(word.enc, suite.enc) && has(word.mac, suite.mac) &&
         has(word.ver, suite.ver);
}

// What DEFAULT leaves out of ALL.
bool is_default(const Suite& suite) {
  const unsigned out = kCamellia | kCcm | kMedium | bits(Enc::none);
  return (bits(suite.enc) & out) == 0 && (bits(suite.kx) & kAnon) == 0;
}

int strength(const Suite& suite) {
  const unsigned enc = bits(suite.enc);
  if (suite.enc == Enc::none) return 0;
  if (suite.enc == Enc::triple_des) return 112;
  if ((enc & (kAes256 | kCamellia256 | bits(Enc::chacha20))) != 0) return 256;
  return 128;
}

bool is_one(std::string_view word, const Suite& suite) {
  if (word == "DEFAULT") return is_default(suite);
  if (word == "COMPLEMENTOFDEFAULT") return !is_default(suite) && suite.enc != Enc::none;
  for (const auto& [older, name] : kOlderNames)
    if (word == older) return suite.name == name;
  const auto known =
      std::find_if(kWords.begin(), kWords.end(), [&](const Word& w) { return w.name == word; });
  return known != kWords.end() ? is_in(*known, suite) : suite.name == word;
}

bool is_known(std::string_view word) {
  if (word == "DEFAULT" || word == "COMPLEMENTOFDEFAULT") return true;
  const auto named = [&](const auto& entry) { return entry.name == word; };
  return std::any_of(kWords.begin(), kWords.end(), named) ||
         std::any_of(kSuites.begin(), kSuites.end(), named) ||
         std::any_of(kOlderNames.begin(), kOlderNames.end(),
                     [&](const auto& entry) { return entry.first == word; }) ||
         contains_word(kEmptyWords, word) || contains_word(kNeverOffered, word);
}

struct Candidate {
  const Suite* suite;
  bool chosen;
};

// Moves those that `which` names to the back, or to the front, and keeps their order.
void move(std::vector<Candidate>& list, auto which, bool to_back) {
  std::stable_partition(list.begin(), list.end(),
                        [&](const Candidate& c) { return which(c) != to_back; });
}

} // namespace

std::span<const Suite> all_suites() { return kSuites; }

std::string_view suite_name(std::uint16_t code) {
  for (const Suite& suite : kSuites)
    if (suite.code == code) return suite.name;
  return {};
}

Result<std::vector<const Suite*>> suites_of(std::string_view word) {
  const std::vector<std::string_view> parts = split(word, "+");
  if (parts.empty()) return Error(ErrorKind::config, "no cipher: \"" + std::string(word) + '"');
  for (const std::string_view part : parts)
    if (!is_known(part))
      return Error(ErrorKind::config, "no such cipher or property: " + std::string(part) +
                                          "; the nearest is " + std::string(nearest(part)));
  std::vector<const Suite*> found;
  for (const Suite& suite : kSuites)
    if (std::all_of(parts.begin(), parts.end(),
                    [&](std::string_view part) { return is_one(part, suite); }))
      found.push_back(&suite);
  return found;
}

// The rules of ciphers(1): a word adds at the end, "-" takes out and lets it come back, "+" moves
// to the end, "!" takes out for good.
Result<std::vector<const Suite*>> choose(std::string_view text) {
  std::vector<Candidate> list;
  for (const Suite& suite : kSuites)
    list.push_back({&suite, suite.ver == Ver::tls13});
  for (std::string_view word : split(text, ": ,;\t\r\n")) {
    if (word == "@STRENGTH") {
      std::stable_sort(list.begin(), list.end(), [](const Candidate& a, const Candidate& b) {
        return strength(*a.suite) > strength(*b.suite);
      });
      continue;
    }
    if (word == "@SECLEVEL=0" || word == "@SECLEVEL=1") continue;
    if (word.front() == '@')
      return Error(ErrorKind::config, "cannot be translated: " + std::string(word) +
                                          "; use a GnuTLS priority string instead");
    const char rule = word.find_first_of("!-+") == 0 ? word.front() : ' ';
    if (rule != ' ') word.remove_prefix(1);
    POSTRIDER_TRY(const std::vector<const Suite*> meant, suites_of(word));
    const auto is_meant = [&](const Candidate& c) {
      return std::find(meant.begin(), meant.end(), c.suite) != meant.end() &&
             (rule == '!' || c.suite->ver != Ver::tls13);
    };
    const auto was_chosen = [&](const Candidate& c) { return is_meant(c) && c.chosen; };
    const auto is_new = [&](const Candidate& c) { return is_meant(c) && !c.chosen; };
    if (rule == '!') {
      std::erase_if(list, is_meant);
    } else if (rule == '+') {
      move(list, was_chosen, true);
    } else if (rule == '-') {
      move(list, was_chosen, false);
      for (Candidate& c : list)
        if (is_meant(c)) c.chosen = false;
    } else {
      move(list, is_new, true);
      for (Candidate& c : list)
        if (is_meant(c)) c.chosen = true;
    }
  }
  std::vector<const Suite*> chosen;
  for (const Candidate& c : list)
    if (c.chosen) chosen.push_back(c.suite);
  return chosen;
}

} // namespace postrider::tls
