// SPDX-License-Identifier: MIT
#include "base/base64.hpp"

#include <utility>

#include <gtest/gtest.h>

#include "base/secret.hpp"

namespace postrider {
namespace {

TEST(Base64, GoesBothWays) { // RFC 4648 section 10
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (const auto& [plain, coded] : rows) {
    EXPECT_EQ(to_base64(plain), coded);
    EXPECT_EQ(from_base64(coded), plain);
  }
  std::string all;
  for (int i = 0; i < 256; ++i)
    all.push_back(static_cast<char>(i));
  EXPECT_EQ(from_base64(to_base64(all)), all);
}

TEST(Base64, RefusesWhatIsNone) {
  for (const std::string_view text : {"Z", "Zg", "Zg=", "=", "====", "Zg===", "Z===", "Zm9v=",
                                      "Zm=v", "Zm9 ", "Zm9v\n", "Zm9\x80", "Zm9-", "=m9v"})
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
}

TEST(Secret, MovesWithoutACopyAndCompares) {
  Secret a("tanstaaf");
  const char* place = a.view().data();
  Secret b = std::move(a);
  EXPECT_TRUE(a.empty()); // NOLINT: what is left behind is the point
  EXPECT_EQ(b.view().data(), place);
  EXPECT_EQ(Secret(b), b);
  EXPECT_FALSE(Secret("other") == b);
  std::string text = "tanstaaftanstaaftanstaaf";
  const char* bytes = text.data();
  wipe(text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(bytes[5], 0);
}

} // namespace
} // namespace postrider
