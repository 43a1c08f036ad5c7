// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <random>

#include "base/ascii.hpp"
#include "base/crc32c.hpp"
#include "base/fields.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

namespace postrider {
namespace {

// RFC 3720 appendix B.4.
TEST(Crc32cTest, PublishedVectors) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  std::string up;
  for (char c = 0; c < 32; ++c)
    up += c;
  EXPECT_EQ(crc32c(up), 0x46dd794eU);
}

TEST(Crc32cTest, PiecesEqualTheWhole) {
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += static_cast<char>(i * 7);
  for (std::size_t cut = 0; cut <= text.size(); cut += 13)
    EXPECT_EQ(crc32c(ByteView(text).substr(cut), crc32c(ByteView(text).substr(0, cut))),
              crc32c(text));
}

struct Utf8Case {
  std::string text;
  std::size_t length;
};
TEST(Utf8Test, LengthOfTheFirstCharacter) {
  for (const auto& [text, length] : std::vector<Utf8Case>{{"a", 1},
                                                          {"\xc3\xa9", 2},
                                                          {"\xe2\x82\xac", 3},
                                                          {"\xf0\x9f\x93\xae", 4},
                                                          {"\xc0\x80", 0},
                                                          {"\xc3", 0},
                                                          {"\xe0\x80\x80", 0},
                                                          {"\xed\xa0\x80", 0},
                                                          {"\xf4\x90\x80\x80", 0},
                                                          {"\xff", 0},
                                                          {"\x80", 0}})
    EXPECT_EQ(utf8_length(text), length);
}

TEST(DecimalTest, WholeTextNoSignNoOverflow) {
  EXPECT_EQ(parse_decimal("0"), 0u);
  EXPECT_EQ(parse_decimal("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1e3"})
    EXPECT_EQ(parse_decimal(bad), std::nullopt) << bad;
}

TEST(LogText, CannotForgeALine) {
  EXPECT_EQ(log::printable("a\r\nb\tc\x1b[31m\x7f"), "a??b?c?[31m?");
  EXPECT_EQ(log::printable("caf\xc3\xa9 \xff \xc2\x9b"), "caf\xc3\xa9 ? ?");
  EXPECT_EQ(log::printable("a\xe2\x80\xa8"
                           "b\xe2\x80\xae"
                           "c\xe2\x81\xa7\xc2\x85"),
            "a?b?c??");
  EXPECT_EQ(log::printable("\xc2\xa0\xe2\x80\xaf\xe2\x81\xaa\xf0\x9f\x93\xa7"),
            "\xc2\xa0\xe2\x80\xaf\xe2\x81\xaa\xf0\x9f\x93\xa7");
}

Result<int> half(int n) {
  if (n % 2 != 0) return Error(ErrorKind::limit, "odd");
  return n / 2;
}
Result<int> quarter(int n) {
  POSTRIDER_TRY(const int h, half(n));
  POSTRIDER_TRY(const int q, half(h));
  return q;
}

TEST(ResultTest, TryPassesTheErrorUp) {
  EXPECT_EQ(*quarter(12), 3);
  ASSERT_FALSE(quarter(6).ok());
  EXPECT_EQ(quarter(6).error().text(), "odd");
}

using ResultDeathTest = testing::Test;
TEST(ResultDeathTest, ValueOfAnErrorPanics) { EXPECT_DEATH((void)quarter(1).value(), "odd"); }

enum class Colour : std::uint8_t { red, green };
constexpr Colour highest(Colour) { return Colour::green; }

struct Inner {
  std::string text;
  std::int64_t number = 0;
  bool operator==(const Inner&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("text", s.text);
    v("number", s.number);
  }
};
struct Outer {
  bool flag = false;
  Colour colour = Colour::red;
  std::vector<Inner> inners;
  std::vector<std::string> words;
  std::uint16_t small = 0;
  bool operator==(const Outer&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("flag", s.flag);
    v("colour", s.colour);
    v("inners", s.inners);
    v.optional("words", s.words);
    v("small", s.small);
  }
};

TEST(FieldsTest, NestedValuesRoundTrip) {
  const Outer outer{.flag = true,
                    .colour = Colour::green,
                    .inners = {{"a", -1}, {"", INT64_MIN}, {std::string("\0x", 2), 7}},
                    .words = {"", "w"},
                    .small = 65535};
  const auto back = decode<Outer>(encode(outer));
  ASSERT_TRUE(back.ok()) << back.error().text();
  EXPECT_EQ(*back, outer);
}

// Every byte changed, every prefix: an Error or a value, never a crash (run under ASan too).
TEST(FieldsTest, DamageIsAnErrorOrAnotherValue) {
  const std::string whole = encode(Outer{.inners = {{"abc", 1}, {"d", 2}}, .words = {"x", "yy"}});
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const char bit : {'\x01', '\x80', '\xff'}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ bit);
      if (!decode<Outer>(damaged).ok()) ++refused;
    }
  EXPECT_GT(refused, 0);
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 64, '\0');
    for (char& c : bytes)
      c = static_cast<char>(random());
    EXPECT_FALSE(decode<Outer>(bytes).ok());
  }
}

TEST(FieldsTest, OutOfRangeNamesTheField) {
  struct Wide {
    bool flag = false;
    Colour colour = Colour::red;
    std::vector<Inner> inners;
    std::uint64_t small = 65536;
    static void fields(fields_detail::Writer& v, const Wide& s) {
      v("flag", s.flag);
      v("colour", s.colour);
      v("inners", s.inners);
      v("small", s.small);
    }
  };
  const auto read = decode<Outer>(encode(Wide{}));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().text(), "field small is out of range");
}

} // namespace
} // namespace postrider
