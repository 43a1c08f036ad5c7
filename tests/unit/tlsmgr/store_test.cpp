// SPDX-License-Identifier: MIT
#include "store.hpp"

#include <fcntl.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "entry.hpp"
#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tlsmgr {
namespace {

using namespace std::chrono_literals;

struct Stage {
  test::ScratchDir dir;
  test::ManualClock clock;
  StoreSetup setup{.path = dir.path() + "/cache.lmdb", .limit = 1 << 20, .keep = 3, .longest = 24h};
  WallTime now() { return clock.wall(); }
  Store open() {
    Result<Store> store = Store::open(setup, now());
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().text());
    return std::move(*store);
  }
  std::string read_file() const {
    std::stringstream out;
    out << std::ifstream(setup.path).rdbuf();
    return out.str();
  }
  void write_file(const std::string& bytes) const {
    std::ofstream(setup.path, std::ios::trunc) << bytes;
  }
};

std::string value_of(const std::optional<Store::Found>& found) {
  return found ? found->value : "nothing";
}

TEST(Store, TakesTheNewestAndKeepsAsManyAsItMay) {
  Stage stage;
  Store store = stage.open();
  for (const char* value : {"1", "2", "3", "4"}) {
    ASSERT_TRUE(store.put("key", value, stage.now() + 1h));
    stage.clock.advance(1s);
  }
  EXPECT_EQ(store.size(), 3u);
  EXPECT_EQ(value_of(store.get("other", stage.now())), "nothing");
  for (const char* value : {"4", "3", "2", "nothing"})
    EXPECT_EQ(value_of(store.take("key", stage.now())), value);
  EXPECT_EQ(store.size(), 0u);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(Store, SeveralOfOneInstantAreAllKept) {
  Stage stage;
  Store store = stage.open();
  for (const char* value : {"1", "2", "3"})
    ASSERT_TRUE(store.put("key", value, stage.now() + 1h));
  for (const char* value : {"3", "2", "1", "nothing"})
    EXPECT_EQ(value_of(store.take("key", stage.now())), value);
}

TEST(Store, NothingComesBackBehindItsTime) {
  Stage stage;
  Store store = stage.open();
  ASSERT_TRUE(store.put("a", "early", stage.now() + 1min));
  ASSERT_TRUE(store.put("b", "late", stage.now() + 1h));
  stage.clock.advance(1min);
  EXPECT_EQ(value_of(store.get("a", stage.now())), "nothing");
  EXPECT_EQ(value_of(store.get("b", stage.now())), "late");
  EXPECT_EQ(store.size(), 2u);
  EXPECT_FALSE(store.sweep(stage.now()));
  EXPECT_EQ(store.size(), 1u);
}

TEST(Store, AtTheBoundTheFirstToExpireGo) {
  Stage stage;
  Store store = stage.open();
  const std::string value(3000, 'x'); // a page each, and keys
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(store.put("key" + std::to_string(i), value, stage.now() + 1h));
    stage.clock.advance(1s);
  }
  EXPECT_LE(store.bytes(), stage.setup.limit);
  EXPECT_GT(store.bytes(), stage.setup.limit - 8192);
  EXPECT_EQ(value_of(store.get("key0", stage.now())), "nothing");
  EXPECT_EQ(value_of(store.get("key999", stage.now())), value);
  struct stat st {};
  ASSERT_EQ(::stat(stage.setup.path.c_str(), &st), 0);
  EXPECT_LE(static_cast<std::uint64_t>(st.st_size), map_limit(stage.setup));
}

TEST(Store, WhatCannotFitIsRefusedAndHurtsNothing) {
  Stage stage;
  Store store = stage.open();
  ASSERT_TRUE(store.put("key", "value", stage.now() + 1h));
  EXPECT_FALSE(store.put("big", std::string(2 << 20, 'x'), stage.now() + 1h));
  EXPECT_EQ(value_of(store.get("key", stage.now())), "value");
}

TEST(Store, ARestartKeepsWhatIsGood) {
  Stage stage;
  {
    Store store = stage.open();
    ASSERT_TRUE(store.put("short", "s", stage.now() + 1min));
    ASSERT_TRUE(store.put("long", "l", stage.now() + 20h));
    ASSERT_TRUE(store.put("too long", "x", stage.now() + 25h)); // as if the clock had been wrong
    ASSERT_TRUE(store.put("large", std::string(100000, 'x'), stage.now() + 1h));
  }
  stage.clock.advance(2min);
  Store store = stage.open();
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(value_of(store.get("long", stage.now())), "l");
  EXPECT_EQ(value_of(store.get("short", stage.now())), "nothing");
  EXPECT_EQ(value_of(store.get("large", stage.now())), std::string(100000, 'x'));
}

TEST(Store, ALifeLongerThanAllowedIsNotBelieved) {
  Stage stage;
  {
    Store store = stage.open();
    ASSERT_TRUE(store.put("key", "value", stage.now() + 2h));
  }
  stage.setup.longest = 1h;
  EXPECT_EQ(stage.open().size(), 0u);
}

TEST(Store, EachVisitsWhatHasNotExpired) {
  Stage stage;
  Store store = stage.open();
  ASSERT_TRUE(store.put("a", "1", stage.now() + 1min));
  ASSERT_TRUE(store.put("b", "2", stage.now() + 1h));
  ASSERT_TRUE(store.put("c", "3", stage.now() + 1h));
  ASSERT_TRUE(store.erase("c"));
  stage.clock.advance(1min);
  std::vector<std::string> seen;
  store.each(stage.now(), [&](const Store::Found& found) {
    seen.push_back(found.value);
    return true;
  });
  EXPECT_THAT(seen, testing::ElementsAre("2"));
}

TEST(Store, OneProcessOwnsTheFile) {
  Stage stage;
  const Store store = stage.open();
  stage.setup.owner_limit = 0s;
  const Result<Store> second = Store::open(stage.setup, stage.now());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
}

TEST(Store, ADirectoryThatIsNotThereIsAnError) {
  Stage stage;
  stage.setup.path = stage.dir.path() + "/no/cache.lmdb";
  EXPECT_FALSE(Store::open(stage.setup, stage.now()).ok());
}

// Whatever stands in the file: it opens, gives nothing that was not put there, and works.
class StoreDamage : public testing::Test {
 protected:
  Stage stage;
  std::string good;
  void SetUp() override {
    {
      Store store = stage.open();
      for (int i = 0; i < 300; ++i) {
        const std::string n = std::to_string(i);
        ASSERT_TRUE(store.put("key" + n, "value" + n + std::string(i % 7 == 0 ? 3000 : 10, 'v'),
                              stage.now() + 1h));
        if (i % 3 != 0) continue;
        ASSERT_TRUE(store.erase("key" + n)); // free pages as well
      }
    }
    good = stage.read_file();
    ASSERT_GT(good.size(), 40000u);
  }
  // How many values are still there.
  std::uint64_t survives(const std::string& bytes) {
    stage.write_file(bytes);
    Store store = stage.open();
    std::uint64_t wrong = 0;
    store.each(stage.now(), [&](const Store::Found& found) {
      if (!found.value.starts_with("value") || !found.value.ends_with("v")) ++wrong;
      return true;
    });
    EXPECT_EQ(wrong, 0u);
    const std::uint64_t size = store.size();
    EXPECT_TRUE(store.put("new", "value v", stage.now() + 1h));
    EXPECT_EQ(value_of(store.get("new", stage.now())), "value v");
    return size;
  }
};

TEST_F(StoreDamage, None) { EXPECT_EQ(survives(good), 200u); }

TEST_F(StoreDamage, CutAnywhere) {
  for (std::size_t length = 0; length < good.size(); length += length < 8192 ? 509 : 3581)
    survives(good.substr(0, length));
}

TEST_F(StoreDamage, GarbageAnywhere) {
  std::uint64_t state = 1;
  const auto random = [&] { return state = state * 6364136223846793005u + 1442695040888963407u; };
  for (std::size_t at = 0; at + 64 < good.size(); at += good.size() / 60) {
    std::string bytes = good;
    for (std::size_t i = 0; i < 64; ++i)
      bytes[at + i] = static_cast<char>(random() >> 40);
    survives(bytes);
  }
}

TEST_F(StoreDamage, PageHeadersOfAllOnes) {
  for (std::size_t at = 0; at < good.size(); at += 4096) {
    std::string bytes = good;
    bytes.replace(at, 64, std::string(64, '\xff'));
    survives(bytes);
  }
}

TEST_F(StoreDamage, NoDatabaseAtAll) {
  EXPECT_EQ(survives(std::string(20000, 'x')), 0u);
  EXPECT_EQ(survives(""), 0u);
}

TEST_F(StoreDamage, AnotherVersion) {
  {
    auto env = db::Env::open({.path = stage.setup.path});
    ASSERT_TRUE(env->write([](db::Txn& txn) { return txn.put(kVersionKey, "of next year"); }));
  }
  EXPECT_EQ(survives(stage.read_file()), 0u);
}

} // namespace
} // namespace postrider::tlsmgr
