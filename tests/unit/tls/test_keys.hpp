// SPDX-License-Identifier: MIT
// Keys and certificates for the tests of lib/tls, made by GnuTLS when they are asked for.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "support/scratch_dir.hpp"
#include "tls/stream.hpp"

namespace postrider::tls {

struct TestCertificate {
  std::string key, cert; // PEM
};

enum class TestKey { ed25519, ecdsa, rsa, rsa1024 };

struct TestCertificateWish {
  TestKey key = TestKey::ecdsa;
  std::string name = "mx.example.com";
  const TestCertificate* issuer = nullptr; // none: signed by itself
  bool ca = false;
  std::chrono::seconds age{3600};    // it began so long ago
  std::chrono::seconds lasts{86400}; // from its beginning
};
TestCertificate make_certificate(const TestCertificateWish& wish = {});

void write_file(const std::string& path, const std::string& text);

// A server's and a client's credentials, in files of `dir`. Key and chain are one file.
std::shared_ptr<const Credentials> server_credentials(const test::ScratchDir& dir,
                                                      const std::vector<TestCertificate>& pairs);
std::shared_ptr<const Credentials> client_credentials(const test::ScratchDir& dir,
                                                      const std::vector<TestCertificate>& pairs);

} // namespace postrider::tls
