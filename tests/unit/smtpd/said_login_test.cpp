// SPDX-License-Identifier: MIT
#include "said_login.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace postrider::smtpd {
namespace {

struct SaidCase {
  std::string name, mechanism;
  std::vector<std::string> responses;
  std::string user, password; // empty: not known
};
class Said : public testing::TestWithParam<SaidCase> {};
TEST_P(Said, IsUnderstood) {
  const SaidCase& c = GetParam();
  SaidLogin said(c.mechanism);
  for (const std::string& response : c.responses)
    said.add(response);
  EXPECT_EQ(said.complete(), !c.password.empty());
  if (!said.complete()) return;
  EXPECT_EQ(said.user, c.user);
  EXPECT_EQ(said.password.view(), c.password);
}
std::string plain(const std::string& as, const std::string& user, const std::string& password) {
  return as + '\0' + user + '\0' + password;
}
INSTANTIATE_TEST_SUITE_P(
    Mechanisms, Said,
    testing::ValuesIn<SaidCase>({
        {"Plain", "PLAIN", {plain("", "tim", "secret")}, "tim", "secret"},
        {"PlainAsAnother", "PLAIN", {plain("joe", "tim", "secret")}, "tim", "secret"},
        {"PlainBehindAChallenge", "PLAIN", {"", plain("", "tim", "secret")}, "tim", "secret"},
        {"PlainCut", "PLAIN", {"tim"}, "", ""},
        {"PlainHalf", "PLAIN", {std::string("\0tim", 4)}, "", ""},
        {"PlainWithoutPassword", "PLAIN", {plain("", "tim", "")}, "", ""},
        {"Login", "LOGIN", {"tim", "secret"}, "tim", "secret"},
        {"LoginHalf", "LOGIN", {"tim"}, "", ""},
        {"Other", "CRAM-MD5", {"tim 1234"}, "", ""},
    }),
    [](const auto& row) { return row.param.name; });

} // namespace
} // namespace postrider::smtpd
