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
              ElementsAre("User+Ext@Sub.Example.com", "User@Sub.Example.com", "Sub.Example.com",
                          ".Example.com", ".com", "*"));
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
}

// The null sender is asked for by a name that is no address.
TEST(Keys, NullSender) {
  EXPECT_THAT(texts(address_keys("<>", {"+"})), ElementsAre("\"<>\"", "<>"));
}

TEST(Keys, Generic) {
  EXPECT_THAT(texts(generic_keys("U+x@b.c", {"+"}, false)),
              ElementsAre("U+x@b.c", "U@b.c", "@b.c"));
  EXPECT_THAT(texts(generic_keys("U+x@b.c", {"+"}, true)),
              ElementsAre("U+x@b.c", "U@b.c", "U+x", "U", "@b.c"));
  EXPECT_THAT(texts(generic_keys("u+x@b.c", {}, true)), ElementsAre("u+x@b.c", "u+x", "@b.c"));
  EXPECT_THAT(texts(generic_keys("u+x", {"+"}, true)), ElementsAre("u+x", "u"));
}

TEST(Keys, GenericTellsWhereTheExtensionIsLeftOut) {
  std::vector<bool> without;
  for (const SearchKey& key : generic_keys("u+x@b.c", {"+"}, true))
    without.push_back(key.without_extension);
  EXPECT_THAT(without, ElementsAre(false, true, false, true, false));
}

TEST(Keys, QuotedFormComesFirst) {
  EXPECT_THAT(texts(generic_keys("a b+x@c.d", {"+"}, true)),
              ElementsAre("\"a b+x\"@c.d", "a b+x@c.d", "\"a b\"@c.d", "a b@c.d", "\"a b+x\"",
                          "a b+x", "\"a b\"", "a b", "@c.d"));
  const auto keys = transport_keys("a b@c", {});
  EXPECT_EQ(keys[0].kind, Key::whole);
  EXPECT_EQ(keys[1].kind, Key::whole);
}

TEST(Keys, SplitAddress) {
  EXPECT_EQ(split_address("a@b@c", "").local, "a@b");
  EXPECT_EQ(split_address("a@b@c", "").domain, "c");
  EXPECT_EQ(split_address("+a@b", "+").extension, "");
  EXPECT_EQ(split_address("a-b+c@d", "+-").user, "a");
  for (const char* whole : {"double-bounce@d", "Postmaster@d", "owner-list@d", "list-request@d"})
    EXPECT_EQ(split_address(whole, "-").delimiter, 0) << whole;
  EXPECT_EQ(split_address("owner-list+x@d", "+").extension, "x");
  EXPECT_EQ(split_address("a-request@d", "+-").delimiter, 0);
  EXPECT_EQ(split_address("a+@d", "+").delimiter, '+');
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
