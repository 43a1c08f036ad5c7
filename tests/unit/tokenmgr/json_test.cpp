// SPDX-License-Identifier: MIT
#include "json.hpp"

#include <gtest/gtest.h>

namespace postrider::tokenmgr {
namespace {

TEST(Json, GivesStringsAndNumbers) {
  const auto members =
      members_of(R"({"a":"x","n":3599,"f":1.5,"b":true,"o":{"a":"y"},"u":"\u00e9"})");
  ASSERT_TRUE(members);
  EXPECT_EQ(*members, (std::map<std::string, std::string>{
                          {"a", "x"}, {"f", "1.5"}, {"n", "3599"}, {"u", "\xc3\xa9"}}));
}

TEST(Json, RefusesWhatIsNone) {
  for (const std::string& text :
       {std::string(), std::string("token"), std::string("[1]"), std::string("{\"a\":"),
        std::string("\"x\""), std::string(100000, '['), "{\"a\":" + std::string(100000, '{'),
        std::string("{\"a\":\"\xff\"}")})
    EXPECT_FALSE(members_of(text)) << text.substr(0, 20);
}

TEST(Json, KeepsTheOtherMembersAndTheirOrder) {
  EXPECT_EQ(
      with_member(R"({"z":"1","refresh_token":"old","a":{"b":2}})", "refresh_token", "n\"w"),
      "{\n  \"z\": \"1\",\n  \"refresh_token\": \"n\\\"w\",\n  \"a\": {\n    \"b\": 2\n  }\n}\n");
}

} // namespace
} // namespace postrider::tokenmgr
