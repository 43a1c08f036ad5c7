// SPDX-License-Identifier: MIT
#include "mail/address.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mail/domain.hpp"

namespace postrider::mail {
namespace {

struct Accepted {
  std::string_view text, address, external;
};

TEST(PathGrammar, Accepts) {
  for (const Accepted& c : std::vector<Accepted>{
           {"<>", "", ""},
           {"<a@b>", "a@b", "a@b"},
           {"a@b", "a@b", "a@b"},
           {"<A.b+c@Ex-1.example>", "A.b+c@Ex-1.example", "A.b+c@Ex-1.example"},
           {"<postmaster>", "postmaster", "postmaster"},
           {"<a@b.>", "a@b", "a@b"},
           {"<@r,@s.example:a@b>", "a@b", "a@b"},
           {"<\"a b\"@c>", "a b@c", "\"a b\"@c"},
           {"<\"a@b\"@c>", "a@b@c", "\"a@b\"@c"},
           {"<\"a\\\"b\\\\\"@c>", "a\"b\\@c", "\"a\\\"b\\\\\"@c"},
           {"<a..b@c>", "a..b@c", "\"a..b\"@c"},
           {"<a.@c>", "a.@c", "\"a.\"@c"},
           {"<user%dom@us>", "user%dom@us", "user%dom@us"},
           {"<-x@c>", "-x@c", "-x@c"},
           {"<a@[192.0.2.1]>", "a@[192.0.2.1]", "a@[192.0.2.1]"},
           {"<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
           {"<a@_dmarc.b>", "a@_dmarc.b", "a@_dmarc.b"},
       }) {
    const auto path = parse_path(c.text, Utf8::no);
    ASSERT_TRUE(path) << c.text << ": " << path.error().text();
    EXPECT_EQ(path->address, c.address);
    EXPECT_EQ(path->length, c.text.size());
    EXPECT_EQ(to_external(path->address), c.external);
  }
}

TEST(PathGrammar, Refuses) {
  using namespace std::literals;
  for (const std::string_view text : std::vector<std::string_view>{"",
                                                                   "<",
                                                                   "<@b>",
                                                                   "<a@b",
                                                                   "<a@>",
                                                                   "<a@b@c>",
                                                                   "<a b@c>",
                                                                   "<a@b c>",
                                                                   "<;cmd;>",
                                                                   "<\"\"@b>",
                                                                   "<\"a@b>",
                                                                   "<\"a@b> X=1\">",
                                                                   "\"a@b\"",
                                                                   "<\"a\\",
                                                                   "<a@-b>",
                                                                   "<a@b->",
                                                                   "<a@b..c>",
                                                                   "<a@.b>",
                                                                   "<a@[1.2.3]>",
                                                                   "<a@[2001:db8::1]>",
                                                                   "<a@[IPv6:1.2.3.4]>",
                                                                   "<a@[x>",
                                                                   "<@a a@b>",
                                                                   "<@a:@b:c@d>",
                                                                   "<\"a\nb\"@c>"sv,
                                                                   "<\"a\0b\"@c>"sv,
                                                                   "<a\x7f@b>",
                                                                   "<a@b\0>"sv,
                                                                   "<\xc3\xa9@b>",
                                                                   "<a@\xc3\xa9>",
                                                                   "<a@b/../c>",
                                                                   "<a,b@c>",
                                                                   "<(x)a@b>"}) {
    EXPECT_FALSE(parse_path(text, Utf8::no)) << text;
  }
}

TEST(PathGrammar, Limits) {
  const std::string local(kMaxLocalPart, 'a');
  const std::string label(kMaxLabel, 'b');
  EXPECT_TRUE(parse_path("<" + local + "@b>", Utf8::no));
  EXPECT_FALSE(parse_path("<" + local + "a@b>", Utf8::no));
  EXPECT_TRUE(parse_path("<a@" + label + ">", Utf8::no));
  EXPECT_FALSE(parse_path("<a@" + label + "b>", Utf8::no));
  const std::string longest = label + "." + label + "." + label + "." + label; // 255
  EXPECT_TRUE(parse_path("<a@" + longest + ">", Utf8::no));
  EXPECT_FALSE(parse_path("<a@" + longest + ".c>", Utf8::no));
  EXPECT_FALSE(parse_path("<" + std::string(65535, 'a') + "@b>", Utf8::no));
}

TEST(PathGrammar, Utf8OnlyWhenAllowedAndValid) {
  const auto path = parse_path("<\xc3\xa9@b\xc3\xbc.example>", Utf8::yes);
  ASSERT_TRUE(path);
  EXPECT_EQ(path->address, "\xc3\xa9@b\xc3\xbc.example");
  EXPECT_FALSE(parse_path("<\xc3@b>", Utf8::yes));
  EXPECT_FALSE(parse_path("<a@\xc3>", Utf8::yes));
}

TEST(Parts, DivideAtTheLastAt) {
  EXPECT_EQ(local_part("a@b@c"), "a@b");
  EXPECT_EQ(domain_part("a@b@c"), "c");
  EXPECT_EQ(local_part("postmaster"), "postmaster");
  EXPECT_EQ(domain_part("postmaster"), "");
}

TEST(Domains, ToAscii) {
  EXPECT_EQ(to_ascii("EXAMPLE.org").value(), "example.org");
  EXPECT_EQ(to_ascii("b\xc3\xbc"
                     "cher.example")
                .value(),
            "xn--bcher-kva.example");
  EXPECT_EQ(to_ascii("stra\xc3\x9f"
                     "e.example")
                .value(),
            "xn--strae-oqa.example");
  EXPECT_FALSE(to_ascii("a..b"));
  EXPECT_FALSE(to_ascii(""));
  EXPECT_FALSE(to_ascii("a b"));
}

TEST(Domains, LiteralsAndHostNames) {
  EXPECT_EQ(literal_address("[192.0.2.1]"), "192.0.2.1");
  EXPECT_EQ(literal_address("[ipv6:::1]"), "::1");
  EXPECT_EQ(literal_address("[::1]"), "::1");
  EXPECT_EQ(literal_address("[host]"), "");
  EXPECT_TRUE(is_hostname("mx1.example"));
  EXPECT_FALSE(is_hostname("192.0.2.1"));
  EXPECT_FALSE(is_hostname(""));
}

} // namespace
} // namespace postrider::mail
