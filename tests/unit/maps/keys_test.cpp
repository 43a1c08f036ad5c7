// SPDX-License-Identifier: MIT
#include "maps/keys.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::maps {
namespace {

using testing::ElementsAre;

std::vector<std::string> texts(const std::vector<SearchKey>& keys) {
  std::vector<std::string> out;
  for (const SearchKey& key : keys)
    out.push_back(key.text);
  return out;
}

TEST(Keys, Transport) {
  EXPECT_THAT(texts(transport_keys("User+Ext@Sub.Example.com", {"+"})),
              ElementsAre("user+ext@sub.example.com", "user@sub.example.com", "sub.example.com",
                          ".example.com", ".com", "*"));
  EXPECT_THAT(texts(transport_keys("u@a.b.c", {.parents_match = true})),
              ElementsAre("u@a.b.c", "a.b.c", "b.c", "c", "*"));
  EXPECT_THAT(texts(transport_keys("u+x@[192.0.2.1]", {})),
              ElementsAre("u+x@[192.0.2.1]", "[192.0.2.1]", "*"));
}

TEST(Keys, OnlyTheFirstIsTheWholeAddress) {
  const auto keys = transport_keys("u+x@b.c", {"+"});
  EXPECT_EQ(keys.front().kind, Key::whole);
  for (std::size_t i = 1; i < keys.size(); ++i)
    EXPECT_EQ(keys[i].kind, Key::part);
}

TEST(Keys, Access) {
  EXPECT_THAT(texts(access_keys("u+x@b.c", {"+"})),
              ElementsAre("u+x@b.c", "u@b.c", "b.c", ".c", "u+x@", "u@"));
}

TEST(Keys, Address) {
  EXPECT_THAT(texts(address_keys("u+x@b.c", {"+"})), ElementsAre("u+x@b.c", "u@b.c", "@b.c"));
  EXPECT_THAT(texts(address_keys("<>", {"+"})), ElementsAre("<>"));
}

TEST(Keys, SplitAddress) {
  EXPECT_EQ(split_address("a@b@c", "").local, "a@b");
  EXPECT_EQ(split_address("a@b@c", "").domain, "c");
  EXPECT_EQ(split_address("+a@b", "+").extension, "");
  EXPECT_EQ(split_address("a-b+c@d", "+-").user, "a");
  EXPECT_EQ(split_address("double-bounce@d", "-").extension, "");
  EXPECT_EQ(split_address("user", "").domain, "");
}

TEST(Keys, ManyLabelsAreBounded) {
  std::string domain = "x";
  for (int i = 0; i < 100'000; ++i)
    domain += ".x";
  EXPECT_LT(domain_keys(domain, {}).size(), 200u);
  EXPECT_LT(domain_keys("a..b", {}).size(), 5u);
}

} // namespace
} // namespace postrider::maps
