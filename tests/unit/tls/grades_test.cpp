// SPDX-License-Identifier: MIT
// What priority.hpp makes of Postfix's words shakes hands with servers of today and of yesterday.
#include <gtest/gtest.h>

#include "test_pair.hpp"
#include "tls/facts.hpp"
#include "tls/priority.hpp"

namespace postrider::tls {
namespace {

struct GradeCase {
  std::string_view name, grade, exclude, server, facts;
};
class Grades : public testing::TestWithParam<GradeCase> {};
TEST_P(Grades, ShakeHands) {
  CipherRequest request;
  request.grade = GetParam().grade;
  request.protocols = ">=TLSv1";
  if (!GetParam().exclude.empty()) request.exclude = {std::string(GetParam().exclude)};
  ev::Loop loop;
  TestPair pair(loop);
  pair.client_wish.priority = to_priority(request).value();
  pair.server_wish.priority = GetParam().server;
  pair.shake_hands();
  if (GetParam().facts.empty()) {
    EXPECT_FALSE(pair.client);
    return;
  }
  ASSERT_TRUE(pair.client) << pair.client_error().text();
  EXPECT_EQ(to_string(pair.client->facts()).substr(0, GetParam().facts.size()), GetParam().facts);
}
INSTANTIATE_TEST_SUITE_P(
    All, Grades,
    testing::ValuesIn<GradeCase>({
        // On a curve, also where the server would rather have a group of RFC 7919.
        {"Medium", "medium", "", "NORMAL",
         "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519"},
        {"High", "high", "", "NORMAL", "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384"},
        {"Tls12", "medium", "aNULL", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
         "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384"},
        {"Tls10", "medium", "aNULL", "NORMAL:-VERS-ALL:+VERS-TLS1.0",
         "TLSv1 with cipher ECDHE-ECDSA-AES256-SHA"},
        {"NoAes256", "medium", "AES256", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CHACHA20-POLY1305",
         "TLSv1.2 with cipher ECDHE-ECDSA-AES128-GCM-SHA256"},
        {"NoSha1", "medium", "SHA1", "NORMAL:-VERS-ALL:+VERS-TLS1.0", ""},
        {"OnlyRc4", "medium", "",
         "NONE:+VERS-TLS1.2:+ARCFOUR-128:+SHA1:+ECDHE-ECDSA:+ECDHE-RSA:"
         "+RSA:+SIGN-ALL:+GROUP-ALL:+COMP-NULL:+CTYPE-X509",
         ""},
        {"NullNeedsNull", "null", "", "NORMAL", ""},
    }),
    [](const auto& i) { return std::string(i.param.name); });

} // namespace
} // namespace postrider::tls
