// SPDX-License-Identifier: MIT
#include "maps/map.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>
#include <sys/stat.h>

#include "maps/build.hpp"

namespace postrider::maps {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

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
    const Warn warn = [this](std::string_view text) { warnings_.emplace_back(text); };
    return open_maps(spec, {.base_directory = directory_, .clock = &clock_, .warn = warn});
  }
  std::string directory_;
  SettableClock clock_;
  std::vector<std::string> warnings_;
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
             "\"with space\"@x y\n\"q\\\" z\" y\na@example.com second\n");
  auto maps = open("texthash:t");
  ASSERT_TRUE(maps.ok());
  EXPECT_EQ(get(*maps, "a@example.COM"), "first value");
  EXPECT_EQ(get(*maps, "b@example.com"), "on the next line");
  EXPECT_EQ(get(*maps, "\"with space\"@x"), "y");
  EXPECT_EQ(get(*maps, "\"q\\\" z\""), "y");
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

TEST_F(MapTest, OldContentStaysWhenTheNewCannotBeRead) {
  write("t", "k old\n");
  auto maps = open("texthash:t");
  std::filesystem::remove(directory_ + "/t");
  clock_.pass(std::chrono::seconds(2));
  EXPECT_EQ(get(*maps, "k"), "old");
  EXPECT_EQ(warnings_.size(), 1u);
  write("t", "k new\n");
  clock_.pass(std::chrono::seconds(2));
  EXPECT_EQ(get(*maps, "k"), "new");
}

TEST_F(MapTest, WrongLinesAreLeftOutWithAWarning) {
  write("t", "k good\nno_value\n\"open quote\nl good\nK again\n");
  auto maps = open("texthash:t");
  EXPECT_EQ(get(*maps, "k"), "good");
  EXPECT_EQ(get(*maps, "l"), "good");
  EXPECT_THAT(warnings_,
              ElementsAre(EndsWith("/t, line 2: expected format: key whitespace value -- ignoring "
                                   "this line"),
                          EndsWith("/t, line 3: unbalanced '\"' -- ignoring this line"),
                          EndsWith("/t, line 5: duplicate entry: \"k\"")));
  std::string many;
  for (int i = 0; i < 1000; ++i)
    many += "x\n";
  write("t", many);
  clock_.pass(std::chrono::seconds(2));
  EXPECT_EQ(get(*maps, "k"), "(none)");
  EXPECT_EQ(warnings_.size(), 3u + 21);
  EXPECT_THAT(warnings_.back(), EndsWith("/t: 980 more lines are wrong"));
}

TEST_F(MapTest, FilesOfOtherSystems) {
  write("t", "\xef\xbb\xbf"
             "bom v\r\ncr v\r\nlast v");
  auto maps = open("texthash:t");
  for (const char* key : {"bom", "cr", "last"})
    EXPECT_EQ(get(*maps, key), "v");
}

TEST_F(MapTest, LongLines) {
  const std::string key(100'000, 'k');
  const std::string value(1'000'000, 'v');
  write("t", key + " " + value + "\n");
  auto maps = open("texthash:t");
  EXPECT_EQ(get(*maps, key), value);
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

TEST_F(MapTest, BadCidrRulesAreLeftOut) {
  for (const char* text :
       {"10.0.0.1/8 host bits\n", "10.0.0.0/33 x\n", "10.0.0.0/-1 x\n", "x y\n", "10.0.0.0/8\n",
        "endif\n", "10.0.0.0/18446744073709551624 x\n", "if x\n10.0.0.1 not for all\nendif\n",
        "if 10.0.0.0/8 x\n10.0.0.1 not for all\nendif\n"}) {
    write("c", text + std::string("10.0.0.0/8 good\n"));
    warnings_.clear();
    auto maps = open("cidr:c");
    EXPECT_EQ(get(*maps, "10.0.0.1"), "good") << text;
    ASSERT_EQ(warnings_.size(), 1u) << text;
    EXPECT_NE(warnings_[0].find("/c, line 1: "), std::string::npos);
  }
  write("c", "if 10.0.0.0/8\n10.0.0.1 x\n");
  auto maps = open("cidr:c");
  EXPECT_EQ(get(*maps, "10.0.0.1"), "x");
  EXPECT_THAT(warnings_.back(), EndsWith("/c, line 1: IF without ENDIF"));
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
  const auto bad = build_lmdb("k v\n" + std::string(1000, 'x') + " key too long\n", "t", path);
  EXPECT_NE(bad.error().text().find("t, line 2"), std::string::npos);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    ++files;
    EXPECT_EQ(entry.path().filename(), "t.lmdb");
  }
  EXPECT_EQ(files, 1);
  EXPECT_EQ(get(*maps, "k"), "changed");
}

TEST_F(MapTest, LmdbOfATableWithWrongLines) {
  const auto built = build_lmdb("k v\nbad\nK w\n", "t", directory_ + "/t.lmdb");
  ASSERT_TRUE(built.ok());
  EXPECT_THAT(built->problems,
              ElementsAre("t, line 2: expected format: key whitespace value -- ignoring this line",
                          "t, line 3: duplicate entry: \"k\""));
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

TEST_F(MapTest, CompiledTypesAreReadFromTheirSource) {
  write("t", "k v\n");
  for (const char* type : {"hash", "btree", "dbm", "sdbm", "cdb"}) {
    warnings_.clear();
    auto maps = open(type + std::string(":") + directory_ + "/t");
    ASSERT_TRUE(maps.ok());
    EXPECT_EQ(get(*maps, "K"), "v");
    ASSERT_EQ(warnings_.size(), 1u);
    EXPECT_THAT(warnings_[0], EndsWith("write texthash:" + directory_ + "/t"));
  }
  auto missing = open("hash:/nonexistent/t");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind(), ErrorKind::config);
  EXPECT_THAT(missing.error().text(),
              EndsWith("use texthash:/nonexistent/t or lmdb:/nonexistent/t"));
}

TEST_F(MapTest, BadSpecs) {
  for (const char* spec : {"/file",
                           "hash:/nonexistent",
                           "texthash:",
                           "lmdb:",
                           "cidr:",
                           "pcre:",
                           "hash:",
                           "inline:{novalue}",
                           "inline:{a=b",
                           "inline:{}",
                           "inline:a=b",
                           "nosuch:x",
                           "static:",
                           "unionmap:{}",
                           "unionmap:static:a",
                           "unionmap:{static}",
                           "pipemap:{nosuch:x}",
                           "randmap:{}",
                           "randmap:a",
                           "pcre:{/x/ y}",
                           "regexp:{ /x/ y }",
                           "cidr:{10.0.0.0/8 x}",
                           "socketmap:x",
                           "socketmap:inet:127.0.0.1:name",
                           "socketmap:inet:127.0.0.1:99999:name",
                           "socketmap:unix:/path",
                           "socketmap:inet:127.0.0.1:25:",
                           "socketmap:tcp:127.0.0.1:25:n"}) {
    auto opened = open(spec);
    ASSERT_FALSE(opened.ok()) << spec;
    EXPECT_EQ(opened.error().kind(), ErrorKind::config) << spec;
  }
  EXPECT_TRUE(open("").value().empty());
}

struct SimpleCase {
  const char* spec;
  const char* key;
  const char* answer;
};

TEST_F(MapTest, TablesWithoutFiles) {
  write("domains", "a.example 1\n");
  ::setenv("POSTRIDER_TEST_Variable", "its value", 1);
  for (const SimpleCase& c : std::initializer_list<SimpleCase>{
           {"static:{ a, b }", "x", "a, b"},
           {"{static:a b}", "x", "a b"},
           {"inline:{a=1, A=2}", "a", "2"},  // unlike in files
           {"inline:{a = b}", "a", "ERROR"}, // three items
           {"inline:{{a = b}}", "a", "b"},
           {"inline:{ {a=b=c} }", "a", "b=c"},
           {"randmap:{x}", "any", "x"},
           {"randmap:{ {x y} }", "any", "x y"},
           {"fail:what", "any", "ERROR"},
           {"environ:", "POSTRIDER_TEST_Variable", "its value"},
           {"environ:x", "POSTRIDER_TEST_VARIABLE", "(none)"},
           {"unionmap:{static:a, static:b}", "x", "a,b"},
           {"unionmap:{inline:{x=1}, inline:{y=2}}", "x", "1"},
           {"unionmap:{inline:{x=1}, inline:{y=2}}", "y", "2"},
           {"unionmap:{inline:{x=1}, inline:{y=2}}", "z", "(none)"},
           {"unionmap:{static:a, fail:}", "x", "ERROR"},
           {"unionmap:{inline:{x=}, static:b}", "x", "b"},
           {"pipemap:{inline:{a=b}, inline:{b=c}}", "a", "c"},
           {"pipemap:{inline:{a=b}, inline:{b=c}}", "b", "(none)"},
           {"pipemap:{inline:{a=b} fail:}", "b", "(none)"},
           {"pipemap:{inline:{a=b} fail:}", "a", "ERROR"},
           {"pipemap:{texthash:domains, unionmap:{static:y static:z}}", "A.Example", "y,z"},
           {"cidr:{ {10.0.0.0/8 ten}, {::/0 six} }", "10.1.2.3", "ten"},
           {"cidr:{ {10.0.0.0/8 ten}, {::/0 six} }", "2001:db8::1", "six"},
           {"regexp:{ {/^(a)b/ <$1>}, {/c/ d} }", "ABX", "<A>"},
           {"regexp:{{/^(a)b/ <$1>},{/c/ d}}", "c", "d"},
           {"pcre:{ {/^(?<name>a{2})b/ <$1>}, {/c, d/ e} }", "aab", "<aa>"},
           {"pcre:{ {if /^a/} {/b/ c} {endif} {/./ other} }", "ab", "c"},
           {"pcre:{ {if /^a/} {/b/ c} {endif} {/./ other} }", "b", "other"},
       }) {
    auto maps = open(c.spec);
    const std::string got = maps.ok() ? get(*maps, c.key) : "ERROR";
    EXPECT_EQ(got.substr(0, got.rfind("ERROR", 0) == 0 ? 5 : got.npos), c.answer)
        << c.spec << " " << c.key;
  }
}

TEST_F(MapTest, RandmapGivesEachOfItsTexts) {
  auto maps = open("randmap:{a, b}");
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i)
    seen.insert(get(*maps, "x"));
  EXPECT_EQ(seen.size(), 2u);
}

TEST_F(MapTest, WhichTablesTakePartsOfAddresses) {
  const auto part_of = [&](const char* spec) {
    auto maps = open(spec);
    return get(*maps, "k", Key::part);
  };
  for (const char* spec : {"static:x", "inline:{k=x}", "unionmap:{inline:{k=x} regexp:{{/y/ x}}}",
                           "pipemap:{static:x regexp:{{/x/ x}}}"})
    EXPECT_EQ(part_of(spec), "x") << spec;
  for (const char* spec :
       {"regexp:{{/k/ x}}", "pcre:{{/k/ x}}", "randmap:{x}",
        "fail:", "unionmap:{pcre:{{/k/ x}} inline:{k=x}}", "pipemap:{pcre:{{/k/ x}} static:x}"})
    EXPECT_EQ(part_of(spec), "(none)") << spec;
}

TEST_F(MapTest, SubstitutionCanBeForbidden) {
  write("p", "/(x)/ $1\n/./ literal\n");
  for (const char* spec : {"pcre:p", "regexp:p", "pcre:{{/(x)/ $1}, {/./ literal}}"}) {
    warnings_.clear();
    const Warn warn = [this](std::string_view text) { warnings_.emplace_back(text); };
    auto maps =
        open_maps(spec, {.base_directory = directory_, .warn = warn, .substitution = false});
    EXPECT_EQ(get(*maps, "x"), "literal") << spec;
    EXPECT_EQ(warnings_.size(), 1u) << spec;
  }
}

TEST_F(MapTest, PatternFilesAreReadAgain) {
  write("p", "/old/ 1\n");
  auto maps = open("pcre:p regexp:p");
  EXPECT_EQ(get(*maps, "old"), "1");
  write("p", "/new/ 2\n/(/ bad\n");
  clock_.pass(std::chrono::seconds(1));
  EXPECT_EQ(get(*maps, "new"), "2");
  EXPECT_EQ(get(*maps, "old"), "(none)");
  EXPECT_EQ(warnings_.size(), 2u);
}

TEST(MapTypes, AreListedInOrder) {
  const auto types = map_types();
  EXPECT_TRUE(std::is_sorted(types.begin(), types.end()));
  EXPECT_TRUE(is_map_type("hash"));
  EXPECT_FALSE(is_map_type("mysql"));
}

} // namespace
} // namespace postrider::maps
