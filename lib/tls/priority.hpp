// SPDX-License-Identifier: MIT
// From OpenSSL's words, as Postfix has them, to a GnuTLS priority string. Pure. What cannot be
// translated is an Error at configuration check and never ignored: a cipher that the administrator
// excluded must not come back because nobody knew its name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace postrider::tls {

struct CipherRequest {
  std::string grade = "medium"; // high, medium, null; low and export are medium
  std::string cipherlist;       // OpenSSL list that takes the place of the grade; empty: built in
  std::vector<std::string> exclude; // "RC4", "aNULL", "kDHE+AES", "ECDHE-RSA-AES128-GCM-SHA256"
  std::string protocols; // ">=TLSv1.2, <=TLSv1.3", "!SSLv2, !SSLv3", "TLSv1.2"; empty: all
  std::string native;    // GnuTLS priority in place of grade and exclusions
  // The built-in lists let anonymous suites in, as Postfix does: where a certificate has to prove
  // something, exclude aNULL.
};

struct Translation {
  std::string priority;
  // OpenSSL chooses among suites, GnuTLS among their parts: to keep one suite out, others that
  // share a part with it may have to go. These were allowed and are not offered.
  std::vector<std::string> lost;
};

// A string that gnutls_priority_init() takes; the Error names the word. No cipher or no version
// left is an Error too.
Result<Translation> translate(const CipherRequest& request);
Result<std::string> to_priority(const CipherRequest& request);

} // namespace postrider::tls
