// SPDX-License-Identifier: MIT
#include "mime/address_list.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider::mime {
namespace {

struct ListCase {
  std::string_view name, in;
  std::vector<std::string> addresses;
  std::string_view out; // with each a@in.example replaced by A@out.example
};

void PrintTo(const ListCase& c, std::ostream* out) { *out << c.name; }

class AddressListFormat : public testing::TestWithParam<ListCase> {};

TEST_P(AddressListFormat, FindsAndReplaces) {
  AddressList list = AddressList::parse(GetParam().in);
  std::vector<std::string> found;
  for (std::size_t i = 0; i < list.size(); ++i) {
    found.push_back(list.address(i));
    if (found.back() == "a@in.example") list.set_address(i, "A@out.example");
  }
  EXPECT_EQ(found, GetParam().addresses);
  EXPECT_EQ(list.format("To"), GetParam().out);
}

const ListCase kCases[] = {
    {"plain", " a@in.example", {"a@in.example"}, "To: A@out.example"},
    {"no_space", "a@in.example", {"a@in.example"}, "To: A@out.example"},
    {"spaces_around", "  \t a@in.example \t", {"a@in.example"}, "To: A@out.example"},
    {"spaces_inside", "a @ in . example", {"a@in.example"}, "To: A@out.example"},
    {"angle", "Joe Doe <a@in.example>", {"a@in.example"}, "To: Joe Doe <A@out.example>"},
    {"dots_in_phrase",
     "John Q. Public <a@in.example>",
     {"a@in.example"},
     "To: John Q. Public <A@out.example>"},
    {"quoted_phrase",
     "\"Doe, \\\"Joe\\\"\" <a@in.example>",
     {"a@in.example"},
     "To: \"Doe, \\\"Joe\\\"\" <A@out.example>"},
    {"comment",
     "a@in.example (John (nested \\)) Public), c@d",
     {"a@in.example", "c@d"},
     "To: A@out.example (John (nested \\)) Public), c@d"},
    {"comment_inside", "a(in)@in.example", {"a@in.example"}, "To: A@out.example (in)"},
    {"comments_everywhere",
     "(lead) Joe (mid) Doe <(in)a@in.example(in2)> (tail)",
     {"a@in.example"},
     "To: (lead) Joe (mid) Doe <A@out.example (in) (in2)>(tail)"},
    {"folded_comment", "c@x (one\n two)", {"c@x"}, "To: c@x (one  two)"},
    {"group",
     "list : a@in.example , Joe <c@d> ; , e@f",
     {"a@in.example", "c@d", "e@f"},
     "To: list: A@out.example, Joe <c@d>;, e@f"},
    {"empty_group", "undisclosed-recipients:;", {}, "To: undisclosed-recipients: ;"},
    {"missing_comma", "joe@x a@in.example", {"joe@x", "a@in.example"}, "To: joe@x, A@out.example"},
    {"semicolon_for_comma", "a@in.example;b@c", {"a@in.example", "b@c"}, "To: A@out.example;, b@c"},
    {"empty_entries", "a@in.example,,b@c", {"a@in.example", "b@c"}, "To: A@out.example, , b@c"},
    {"behind_angle", "<a@in.example> b@c", {"a@in.example", "b@c"}, "To: <A@out.example>, b@c"},
    {"unterminated_angle", "Joe <a@in.example", {"Joe<a@in.example"}, "To: \"Joe<a\"@in.example"},
    {"route",
     "<@r1,@r2:b@c>, a@in.example",
     {"@r1,@r2:b@c", "a@in.example"},
     "To: <@r1,@r2:b@c>, A@out.example"},
    {"quoted_local_part",
     "\"x y\"@z, \"a\"@in.example",
     {"x y@z", "a@in.example"},
     "To: \"x y\"@z, A@out.example"},
    {"literal",
     "a@[127.0.0.1], a@in.example",
     {"a@[127.0.0.1]", "a@in.example"},
     "To: a@[127.0.0.1], A@out.example"},
    {"decnet", "node::user@x", {"node::user@x"}, "To: \"node::user\"@x"},
    {"routing_characters", "foo!b%c@d", {"foo!b%c@d"}, "To: foo!b%c@d"},
    {"escaped_comma", "Joe\\, <a@in.example>", {"a@in.example"}, "To: \"Joe,\" <A@out.example>"},
    {"trailing_dots",
     "b.@c, a@in.example",
     {"b.@c", "a@in.example"},
     "To: \"b.\"@c, A@out.example"},
    {"eight_bit", "J\xf6rg <a@in.example>", {"a@in.example"}, "To: J\xf6rg <A@out.example>"},
    {"unterminated_quote",
     "\"never <a@in.example>",
     {"never <a@in.example>"},
     "To: \"never <a\"@in.example>"},
    {"empty", "", {}, "To:"},
    {"only_a_comma", ",", {}, "To: , "},
};
INSTANTIATE_TEST_SUITE_P(Rfc5322Section34, AddressListFormat, testing::ValuesIn(kCases),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(AddressListTest, LongListsAreBrokenBehindCommas) {
  std::string in;
  for (int i = 10; i < 18; ++i)
    in += "verylongname" + std::to_string(i) + "@in.example, ";
  const AddressList list = AddressList::parse(in + "Joe Doe <x@y>");
  EXPECT_EQ(list.format("To"),
            "To: verylongname10@in.example, verylongname11@in.example,\n"
            "\tverylongname12@in.example, verylongname13@in.example,\n"
            "\tverylongname14@in.example, verylongname15@in.example,\n"
            "\tverylongname16@in.example, verylongname17@in.example, Joe Doe <x@y>");
}

TEST(AddressListTest, TheTabInFrontOfALineDoesNotCount) {
  const AddressList list = AddressList::parse("\"u v\"@outer.example, \"u v\"@outer.example, "
                                              "\"Joe\\\"s\" <A@out.example>, u@outer.example, "
                                              "\"Q. D.\" <A@out.example>(c)");
  EXPECT_EQ(list.format("From"),
            "From: \"u v\"@outer.example, \"u v\"@outer.example,\n"
            "\t\"Joe\\\"s\" <A@out.example>, u@outer.example, \"Q. D.\" <A@out.example>(c)");
}

TEST(AddressListTest, HostileTextIsLinear) {
  for (const std::string unit :
       {"(", "<", "\"", "\\", ":", ";", "a ", "a,", "<a>", "[", "@", ")"}) {
    std::string in;
    while (in.size() < 100000)
      in += unit;
    const std::string out = AddressList::parse(in).format("To");
    EXPECT_GE(out.size(), 4U) << unit;
    EXPECT_LE(out.size(), 4 * in.size()) << unit;
  }
}

} // namespace
} // namespace postrider::mime
