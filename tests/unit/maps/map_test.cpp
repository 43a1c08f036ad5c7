// SPDX-License-Identifier: MIT
#include "maps/map.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "maps/build.hpp"
#include "maps/text_table.hpp"

namespace postrider::maps {
namespace {

class SettableClock final : public Clock {
 public:
  SteadyTime steady() override { return now_; }
  WallTime wall() override { return {}; }
  void pass(std::chrono::milliseconds time) { now_ += time; }

 private:
  SteadyTime now_{std::chrono::hours(1)};
};

class MapTest : public testing::Test {
 protected:
  MapTest() {
    char path[] = "/tmp/postrider-maps-XXXXXX";
    directory_ = ::mkdtemp(path);
  }
  ~MapTest() override { std::filesystem::remove_all(directory_); }
  // Replaces the file, so that its inode differs.
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name + ".tmp") << text;
    std::filesystem::rename(directory_ + "/" + name + ".tmp", directory_ + "/" + name);
  }
  Result<MapList> open(const std::string& spec) {
    return open_maps(spec, {.base_directory = directory_, .clock = &clock_});
  }
  std::string directory_;
  SettableClock clock_;
};

std::string get(MapList& maps, std::string_view key, Key kind = Key::whole) {
  auto answer = maps.lookup(key, kind);
  if (!answer) return "ERROR " + answer.error().text();
  return *answer ? **answer : "(none)";
}

TEST_F(MapTest, StaticAndInline) {
  auto maps = open("inline:{Key=value, { two = b c }, empty=} static:{all others}");
  ASSERT_TRUE(maps.ok()) << maps.error().text();
  EXPECT_EQ(get(*maps, "KEY"), "value");
  EXPECT_EQ(get(*maps, "two"), "b c");
  EXPECT_EQ(get(*maps, "x"), "all others");
  EXPECT_EQ(get(*maps, "empty").rfind("ERROR", 0), 0u);
}

TEST_F(MapTest, Texthash) {
  write("t", "# comment\nA@Example.com  first value\n"
             "b@example.com\n  # inside\n  on the next line\n"
             "\"with space\" x\n\"q\\\"\" y\na@example.com second\n");
  auto maps = open("texthash:t");
  ASSERT_TRUE(maps.ok());
  EXPECT_EQ(get(*maps, "a@example.COM"), "first value");
  EXPECT_EQ(get(*maps, "b@example.com"), "on the next line");
  EXPECT_EQ(get(*maps, "with space"), "x");
  EXPECT_EQ(get(*maps, "q\""), "y");
  EXPECT_EQ(get(*maps, "c"), "(none)");
  EXPECT_EQ(get(*maps, std::string(1 << 20, 'k')), "(none)");
}

TEST_F(MapTest, FirstMatchOfAListCounts) {
  write("a", "k 1\n");
  write("b", "k 2\nonly 3\n");
  auto maps = open("texthash:" + directory_ + "/a, texthash:" + directory_ + "/b");
  EXPECT_EQ(get(*maps, "k"), "1");
  EXPECT_EQ(get(*maps, "only"), "3");
}

TEST_F(MapTest, FileIsReadAgainWhenItChanged) {
  write("t", "k old\n");
  auto maps = open("texthash:t");
  write("t", "k new\n");
  clock_.pass(std::chrono::milliseconds(999));
  EXPECT_EQ(get(*maps, "k"), "old"); // looked at once a second at most
  clock_.pass(std::chrono::milliseconds(1));
  EXPECT_EQ(get(*maps, "k"), "new");
}

TEST_F(MapTest, OldContentStaysWhenTheNewIsBad) {
  write("t", "k old\n");
  auto maps = open("texthash:t");
  for (const char* bad : {"k new\nno_value\n", "k new\n\"open quote\n"}) {
    write("t", bad);
    clock_.pass(std::chrono::seconds(2));
    EXPECT_EQ(get(*maps, "k"), "old");
  }
  std::filesystem::remove(directory_ + "/t");
  clock_.pass(std::chrono::seconds(2));
  EXPECT_EQ(get(*maps, "k"), "old");
  write("t", "k new\n");
  clock_.pass(std::chrono::seconds(2));
  EXPECT_EQ(get(*maps, "k"), "new");
}

TEST_F(MapTest, MissingFileIsTemporaryTrouble) {
  auto maps = open("texthash:t");
  ASSERT_TRUE(maps.ok());
  EXPECT_EQ(get(*maps, "k").rfind("ERROR", 0), 0u);
  write("t", "k here\n");
  clock_.pass(std::chrono::seconds(1));
  EXPECT_EQ(get(*maps, "k"), "here");
}

TEST_F(MapTest, FileThatAnybodyMayWriteIsRefused) {
  write("t", "k v\n");
  ASSERT_EQ(::chmod((directory_ + "/t").c_str(), 0666), 0);
  auto maps = open("texthash:t");
  EXPECT_NE(get(*maps, "k").find("chmod o-w"), std::string::npos);
}

TEST_F(MapTest, Cidr) {
  write("c", "192.0.2.128/25  upper\n192.0.2.0/24 lower\n"
             "if 10.0.0.0/8\n!10.1.0.0/16 not ten one\n10.1.1.1 exactly\nendif\n"
             "if !0.0.0.0/1\n if 198.51.100.0/24\n 198.51.100.7 seven\n endif\nendif\n"
             "2001:db8::/32 six\n[2001:db9::1] bracket\n");
  // Lines that start with white space continue others: the inner if needs the margin.
  write("c", "192.0.2.128/25  upper\n192.0.2.0/24 lower\n"
             "if 10.0.0.0/8\n!10.1.0.0/16 not ten one\n10.1.1.1 exactly\nendif\n"
             "if !0.0.0.0/1\nif 198.51.100.0/24\n198.51.100.7 seven\nendif\nendif\n"
             "2001:db8::/32 six\n[2001:db9::1] bracket\n");
  auto maps = open("cidr:c");
  ASSERT_TRUE(maps.ok());
  EXPECT_EQ(get(*maps, "192.0.2.200"), "upper");
  EXPECT_EQ(get(*maps, "192.0.2.1"), "lower");
  EXPECT_EQ(get(*maps, "::ffff:192.0.2.1"), "lower");
  EXPECT_EQ(get(*maps, "10.2.0.1"), "not ten one");
  EXPECT_EQ(get(*maps, "10.1.1.1"), "exactly");
  EXPECT_EQ(get(*maps, "10.1.1.2"), "(none)");
  EXPECT_EQ(get(*maps, "198.51.100.7"), "seven");
  EXPECT_EQ(get(*maps, "2001:db8:1::5"), "six");
  EXPECT_EQ(get(*maps, "2001:db9::1"), "bracket");
  EXPECT_EQ(get(*maps, "2001:dba::1"), "(none)");
  EXPECT_EQ(get(*maps, "example.com"), "(none)");
  EXPECT_EQ(get(*maps, "192.0.2.1", Key::part), "(none)");
}

TEST_F(MapTest, BadCidrTables) {
  for (const char* text : {"10.0.0.1/8 host bits\n", "10.0.0.0/33 x\n", "10.0.0.0/-1 x\n", "x y\n",
                           "10.0.0.0/8\n", "if 10.0.0.0/8\n", "endif\n", "if 10.0.0.0/8 x\nendif\n",
                           "10.0.0.0/18446744073709551624 x\n"}) {
    write("c", text);
    auto maps = open("cidr:c");
    EXPECT_NE(get(*maps, "10.0.0.1").find("/c"), std::string::npos) << text;
  }
}

TEST_F(MapTest, LmdbIsBuiltUsedAndReplaced) {
  const std::string path = directory_ + "/t.lmdb";
  auto built = build_lmdb("K one\nk two\nl three\n", "t", path);
  ASSERT_TRUE(built.ok()) << built.error().text();
  EXPECT_EQ(built->entries, 2u);
  EXPECT_EQ(built->doubles, 1u);
  auto maps = open("lmdb:t");
  EXPECT_EQ(get(*maps, "K"), "one");
  EXPECT_EQ(get(*maps, "l"), "three");
  EXPECT_EQ(get(*maps, std::string(5000, 'x')), "(none)");
  ASSERT_TRUE(build_lmdb("k changed\n", "t", path).ok());
  clock_.pass(std::chrono::seconds(1));
  EXPECT_EQ(get(*maps, "k"), "changed");
  EXPECT_EQ(get(*maps, "l"), "(none)");
  // Nothing but the table is left behind, also by a build that fails.
  EXPECT_FALSE(build_lmdb("k v\nbad\n", "t", path).ok());
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    ++files;
    EXPECT_EQ(entry.path().filename(), "t.lmdb");
  }
  EXPECT_EQ(files, 1);
  EXPECT_EQ(get(*maps, "k"), "changed");
}

TEST_F(MapTest, BadLmdbIsTemporaryTrouble) {
  write("t.lmdb", "not a database at all");
  auto maps = open("lmdb:t");
  ASSERT_TRUE(maps.ok());
  EXPECT_EQ(get(*maps, "k").rfind("ERROR", 0), 0u);
}

TEST_F(MapTest, LargeTableIsReadOnce) {
  std::string text;
  for (int i = 0; i < 200'000; ++i)
    text += "user" + std::to_string(i) + " v" + std::to_string(i) + "\n";
  write("t", text);
  auto maps = open("texthash:t");
  EXPECT_EQ(get(*maps, "user199999"), "v199999");
}

TEST_F(MapTest, BadSpecs) {
  for (const char* spec :
       {"/file", "hash:/etc/aliases", "texthash:", "inline:{novalue}", "inline:{a=b", "nosuch:x"})
    EXPECT_EQ(open(spec).error().kind(), ErrorKind::config) << spec;
  EXPECT_TRUE(open("").value().empty());
}

TEST(TextTable, RowErrorsNameTheLine) {
  auto table = parse_text_table("a b\n\nc\n", "f");
  EXPECT_EQ(table.error().text().rfind("f:3: ", 0), 0u);
  EXPECT_FALSE(parse_text_table(" a b\n", "f").ok());
  EXPECT_FALSE(parse_text_table(std::string("a b\0c\n", 6), "f").ok());
}

} // namespace
} // namespace postrider::maps
